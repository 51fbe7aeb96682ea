#include <sluice/patterns/hedge.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const std::error_code lost = std::make_error_code(std::errc::connection_reset);
const std::error_code busy = std::make_error_code(std::errc::resource_unavailable_try_again);

// What an attempt does: it takes that long, and then succeeds with its number or fails.
struct course {
    std::chrono::nanoseconds time;
    std::error_code error = {};
};

// A service whose first and second call go as told.
struct service {
    std::array<course, 2> courses;
    int started = 0;
    int running = 0;
    int cut = 0;

    // Counts an attempt until its frame is gone.
    struct presence {
        explicit presence(service& s) : of(s) { ++of.running; }
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;
        ~presence() { --of.running; }
        service& of;
    };
};

task<result<int>> call(context ctx, service* s) {
    service::presence here(*s);
    const int number = ++s->started;
    const course c = s->courses.at(static_cast<std::size_t>(number - 1));
    const result<> slept = co_await within(ctx, sleep_for(c.time));
    if (!slept) {
        ++s->cut;
        co_return fail(slept.error());
    }
    if (c.error) co_return fail(c.error);
    co_return number;
}

auto calling(service& s) {
    return [to = &s](context c) { return call(std::move(c), to); };
}

}  // namespace

TEST_CASE("hedge: an answer within the delay is the answer, and there is one call") {
    simulated([]() -> task<> {
        service s{{{{9ms}}}};
        const auto start = now();
        auto ask = calling(s);
        const result<int> got = co_await hedge(background(), 10ms, ask);
        EXPECT(got == 1);
        EXPECT(s.started == 1);
        EXPECT(now() - start == 9ms);
    });
}

TEST_CASE("hedge: a failure within the delay is an answer too") {
    simulated([]() -> task<> {
        service s{{{{9ms, lost}}}};
        auto ask = calling(s);
        const result<int> got = co_await hedge(background(), 10ms, ask);
        EXPECT(!got && got.error() == lost);
        EXPECT(s.started == 1);

        int calls = 0;
        auto throws = [&calls](context) -> task<int> {
            ++calls;
            co_await yield();
            throw std::runtime_error("broken");
        };
        std::string what;
        try {
            const result<int> never = co_await hedge(background(), 10ms, throws);
            EXPECT(!never);
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        EXPECT(what == "broken");
        EXPECT(calls == 1);
    });
}

TEST_CASE("hedge: after the delay a second attempt runs beside the first, and may overtake it") {
    simulated([]() -> task<> {
        service s{{{{1h}, {5ms}}}};
        const auto start = now();
        auto ask = calling(s);
        const result<int> got = co_await hedge(background(), 10ms, ask);
        EXPECT(got == 2);
        EXPECT(now() - start == 15ms);
        EXPECT(s.started == 2);
        EXPECT(s.cut == 1);      // the slower one's context was cancelled
        EXPECT(s.running == 0);  // and it has ended
    });
}

TEST_CASE("hedge: the first attempt may still be the faster one") {
    simulated([]() -> task<> {
        service s{{{{12ms}, {5ms}}}};
        const auto start = now();
        auto ask = calling(s);
        const result<int> got = co_await hedge(background(), 10ms, ask);
        EXPECT(got == 1);
        EXPECT(now() - start == 12ms);
        EXPECT(s.started == 2);
        EXPECT(s.cut == 1);
        EXPECT(s.running == 0);
    });
}

TEST_CASE("hedge: a failure does not win over an attempt that still runs") {
    simulated([]() -> task<> {
        const auto start = now();
        service first_fails{{{{11ms, lost}, {50ms}}}};
        auto ask = calling(first_fails);
        const result<int> second = co_await hedge(background(), 10ms, ask);
        EXPECT(second == 2);
        EXPECT(now() - start == 60ms);
        EXPECT(first_fails.cut == 0);

        service second_fails{{{{100ms}, {1ms, lost}}}};
        auto ask_again = calling(second_fails);
        const result<int> first = co_await hedge(background(), 10ms, ask_again);
        EXPECT(first == 1);
        EXPECT(now() - start == 160ms);
        EXPECT(second_fails.running == 0);
    });
}

TEST_CASE("hedge: if both fail it gives the failure that came first, as it came") {
    simulated([]() -> task<> {
        service s{{{{30ms, lost}, {5ms, busy}}}};
        auto ask = calling(s);
        const result<int> second = co_await hedge(background(), 10ms, ask);
        EXPECT(!second && second.error() == busy);
        service other{{{{12ms, lost}, {5ms, busy}}}};
        auto ask_other = calling(other);
        const result<int> first = co_await hedge(background(), 10ms, ask_other);
        EXPECT(!first && first.error() == lost);
        EXPECT(s.started == 2 && other.started == 2);

        int calls = 0;
        auto throws = [&calls](context) -> task<> {
            const int number = ++calls;
            co_await sleep_for(number * 20ms);
            throw std::runtime_error(std::to_string(number));
        };
        std::string what;
        try {
            const result<> never = co_await hedge(background(), 1ms, throws);
            EXPECT(!never);
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        EXPECT(what == "1");
        EXPECT(calls == 2);
    });
}

TEST_CASE("hedge: a delay of zero or less starts both attempts at once") {
    simulated([]() -> task<> {
        for (const auto delay : {0s, -1s}) {
            service s{{{{20ms}, {30ms}}}};
            const auto start = now();
            auto ask = calling(s);
            const result<int> got = co_await hedge(background(), delay, ask);
            EXPECT(got == 1);
            EXPECT(s.started == 2);
            EXPECT(now() - start == 20ms);
        }
    });
}

TEST_CASE("hedge: an attempt that does not heed its context holds the answer up, and has ended") {
    simulated([]() -> task<> {
        int calls = 0;
        bool over = false;
        auto stubborn = [&calls, &over](context) -> task<int> {
            const int number = ++calls;
            co_await sleep_for(number == 1 ? 100ms : 1ms);
            if (number == 1) over = true;
            co_return number;
        };
        const auto start = now();
        const result<int> got = co_await hedge(background(), 10ms, stubborn);
        EXPECT(got == 2);
        EXPECT(over);
        EXPECT(now() - start == 100ms);
    });
}

TEST_CASE("hedge: the context of the attempts has the values and the deadline of the caller's") {
    static const context_key<int> key("key");
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 1h);
        const context carrying = with_value(ctx, key, 7);
        auto look = [deadline = ctx.deadline()](context c) {
            EXPECT(c.deadline() == deadline);
            const int* const value = c.value(key);
            return value == nullptr ? 0 : *value;
        };
        const result<int> got = co_await hedge(carrying, 1s, look);
        EXPECT(got == 7);
    });
}

TEST_CASE("hedge: takes plain functions, and results that can only be moved") {
    simulated([]() -> task<> {
        const result<> nothing = co_await hedge(background(), 1s, [](context) {});
        EXPECT(nothing);
        auto slow = [](context) -> task<std::unique_ptr<int>> {
            co_await sleep_for(1s);
            co_return std::make_unique<int>(5);
        };
        const result<std::unique_ptr<int>> moved = co_await hedge(background(), 1ms, slow);
        EXPECT(moved && **moved == 5);
    });
}

TEST_CASE("hedge: each attempt has a function of its own") {
    simulated([]() -> task<> {
        auto counts = [mine = 0](context) mutable -> task<int> {
            ++mine;
            co_await sleep_for(1s);
            co_return mine;
        };
        const result<int> got = co_await hedge(background(), 1ms, counts);
        EXPECT(got == 1);
    });
}

TEST_CASE("hedge: a context that has ended lets nothing start") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        service s{{{{1ms}}}};
        auto ask = calling(s);
        const result<int> got = co_await hedge(ctx, 10ms, ask);
        EXPECT(!got && got.error() == errc::canceled);
        EXPECT(s.started == 0);
    });
}

TEST_CASE("hedge: a context that ends cuts the attempts, and no second one starts then") {
    simulated([]() -> task<> {
        auto [soon, stop] = with_timeout(background(), 5ms);
        service one{{{{1h}, {1h}}}};
        const auto start = now();
        auto ask = calling(one);
        const result<int> got = co_await hedge(soon, 10ms, ask);
        EXPECT(!got && got.error() == errc::deadline_exceeded);
        EXPECT(one.started == 1 && one.cut == 1);
        EXPECT(now() - start == 5ms);

        auto [later, stop_later] = with_timeout(background(), 15ms);
        service two{{{{1h}, {1h}}}};
        auto ask_two = calling(two);
        const result<int> cut = co_await hedge(later, 10ms, ask_two);
        EXPECT(!cut && cut.error() == errc::deadline_exceeded);
        EXPECT(two.started == 2 && two.cut == 2);

        // An attempt that goes on all the same is waited for, alone.
        auto [brief, stop_brief] = with_timeout(background(), 5ms);
        int calls = 0;
        auto stubborn = [&calls](context) -> task<int> {
            ++calls;
            co_await sleep_for(1s);
            co_return calls;
        };
        const result<int> alone = co_await hedge(brief, 10ms, stubborn);
        EXPECT(alone == 1);
    });
}

namespace {

// The main program: calls that are mostly fast and sometimes slow or lost. Whatever an attempt
// refers to lives until hedge() returns.
task<> calls() {
    for (int i = 0; i < 4; ++i) {
        auto running = std::make_unique<std::atomic<int>>(0);
        auto ask = [count = running.get()](context c) -> task<result<int>> {
            count->fetch_add(1);
            const auto time = std::chrono::microseconds(random_bits() % 60);
            const result<> slept = co_await within(c, sleep_for(time));
            count->fetch_sub(1);
            if (!slept) co_return fail(slept.error());
            if (random_bits() % 4 == 0) co_return fail(lost);
            co_return 1;
        };
        const result<int> got = co_await hedge(background(), 20us, ask);
        EXPECT(got ? *got == 1 : got.error() == lost);
        EXPECT(running->load() == 0);
    }
}

}  // namespace

TEST_CASE("hedge: on return both attempts have ended, in a thousand orders") {
    simulated(calls, 1'000);
}

TEST_CASE("hedge: on return both attempts have ended on real workers") {
    on_real_workers(calls);
}

TEST_CASE("hedge: cancelled at any step it ends, with an answer or an error, and nothing runs on") {
    simulated_cancelled([](context ctx) -> task<> {
        service s{{{{30ms}, {5ms}}}};
        auto ask = calling(s);
        const result<int> got = co_await hedge(ctx, 10ms, ask);
        EXPECT(got ? *got == 2 : ctx.err() && got.error() == errc::canceled);
        EXPECT(s.running == 0);
        EXPECT(s.started <= 2);
    });
}
