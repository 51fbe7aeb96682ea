#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <sluice/patterns/circuit_breaker.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "circuit_breaker_steps.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace circuit_breaker_steps;

namespace {

task<> call_back(circuit_breaker* b, int* answers, wait_group* calls) {
    const auto got = co_await b->call(works);
    *answers += got.has_value();
    EXPECT(got || got.error() == refusal::circuit_open);
    calls->done();
}

}  // namespace

TEST_CASE("circuit_breaker 7.7: every callback may call the breaker") {
    simulated([]() -> task<> {
        circuit_breaker* self = nullptr;
        wait_group calls;
        int answers = 0;
        const auto use = [&] {
            static_cast<void>(self->state());
            EXPECT(self->counts().requests < 100);
            if (auto ticket = self->allow()) ticket->done(errc::canceled);
            calls.add();
            go(call_back, self, &answers, &calls);
        };
        std::vector<circuit_state> told;
        circuit_settings s;
        s.timeout = 1s;
        s.ready_to_trip = [&](const circuit_counts& c) {
            use();
            return c.consecutive_failures == 2;
        };
        s.on_state_change = [&](const std::string&, circuit_state, circuit_state to) {
            told.push_back(to);
            EXPECT(self->state() == to);
            if (to != circuit_state::half_open) use();
        };
        s.is_successful = [&](const failure& why) {
            EXPECT(self->state() != circuit_state::open);
            EXPECT(self->counts().requests > 0);
            return !why;
        };
        s.is_excluded = [&](const failure& why) {
            static_cast<void>(self->state());
            return why.code() == errc::canceled;
        };
        circuit_breaker b(s);
        self = &b;
        auto first = admitted(b);
        auto second = admitted(b);
        first.done(down);
        second.done(down);
        EXPECT(told == std::vector{circuit_state::open});
        co_await calls.wait();
        co_await sleep_for(1s);
        co_await work_often(b, 1);
        co_await calls.wait();
        EXPECT(told ==
               std::vector{circuit_state::open, circuit_state::half_open, circuit_state::closed});
        EXPECT(answers >= 1);
    });
}

TEST_CASE("circuit_breaker 7.7: a change made while one is told of is told of next") {
    simulated([]() -> task<> {
        circuit_breaker* self = nullptr;
        std::vector<std::string> told;
        int depth = 0;
        circuit_breaker b(trips_after(
            1,
            {.name = "db",
             .timeout = 1ns,
             .on_state_change = [&](const std::string& name, circuit_state from, circuit_state to) {
                 EXPECT(++depth == 1);
                 told.push_back(name + ": " + to_string(from) + " to " + to_string(to));
                 if (to == circuit_state::half_open) admitted(*self).done();
                 --depth;
             }}));
        self = &b;
        admitted(b).done(down);
        co_await sleep_for(1ns);
        EXPECT(b.state() == circuit_state::half_open);  // as it was when asked
        EXPECT(told == std::vector<std::string>{"db: closed to open", "db: open to half-open",
                                                "db: half-open to closed"});
        EXPECT(b.state() == circuit_state::closed);
    });
}

TEST_CASE("circuit_breaker: an exception of a callback goes to the caller") {
    simulated([]() -> task<> {
        int thrown = 0;
        const auto thrower = [&](auto&&...) -> bool { throw std::runtime_error("callback"); };
        const auto count = [&thrown](auto&& fn) {
            try {
                fn();
            } catch (const std::runtime_error& e) {
                EXPECT(e.what() == std::string("callback"));
                ++thrown;
            }
        };
        circuit_breaker excluding({.is_excluded = thrower});
        count([&] { admitted(excluding).done(); });
        EXPECT(excluding.counts() == circuit_counts(1, 0, 0, 1, 0, 0));
        circuit_breaker judging({.is_successful = thrower});
        count([&] { admitted(judging).done(); });
        EXPECT(judging.counts() == circuit_counts(1, 0, 0, 1, 0, 0));
        circuit_breaker asking({.ready_to_trip = thrower});
        count([&] { admitted(asking).done(down); });
        EXPECT(asking.counts() == circuit_counts(1, 0, 1, 0, 0, 1));
        circuit_breaker telling(trips_after(
            1, {.timeout = 1s, .on_state_change = [&](auto&&... a) { thrower(a...); }}));
        count([&] { admitted(telling).done(down); });
        co_await sleep_for(1s);
        count([&] { static_cast<void>(telling.allow()); });
        EXPECT(thrown == 5);
        EXPECT(telling.counts() == circuit_counts(1, 0, 0, 1, 0, 0));
        count([&] { admitted(telling).done(); });
        EXPECT(thrown == 6);
        EXPECT(telling.state() == circuit_state::closed);
        std::string text;
        try {
            static_cast<void>(co_await judging.call(works));
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        EXPECT(text == "callback");
    });
}

TEST_CASE("circuit_breaker 7.8: what is excluded counts as neither, and frees its place") {
    simulated([]() -> task<> {
        std::vector<failure> asked;
        const auto note = [&](const failure& why) {
            asked.push_back(why);
            return why.code() == not_found;
        };
        bool judged = false;
        circuit_breaker b({.timeout = 1s,
                           .ready_to_trip = [](const circuit_counts&) { return true; },
                           .is_successful =
                               [&](const failure& why) {
                                   judged = true;
                                   return !why;
                               },
                           .is_excluded = note});
        const auto missing = co_await b.call([]() -> result<> { return fail(not_found); });
        EXPECT(!missing && missing.error() == not_found);
        EXPECT(!judged);
        EXPECT(asked == std::vector<failure>{not_found});
        EXPECT(b.counts() == circuit_counts(1, 0, 0, 1, 0, 0));
        co_await work_often(b, 1);
        EXPECT(asked.back() == failure());  // asked of what ended well too
        EXPECT(judged);
        co_await fail_often(b, 1);
        co_await sleep_for(1s);
        for (int i = 0; i < 5; ++i) {
            auto trial = admitted(b);
            EXPECT(refused(b) == refusal::too_many_requests);
            trial.done(not_found);
            EXPECT(b.state() == circuit_state::half_open);
        }
        co_await work_often(b, 1);
        EXPECT(b.state() == circuit_state::closed);
    });
}

TEST_CASE("circuit_breaker 7.8: by default a call that is cancelled is excluded, a late one not") {
    simulated([]() -> task<> {
        circuit_breaker b;
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        const auto left = co_await b.call(
            [](context c) -> task<result<>> { co_return co_await within(c, sleep_for(1s)); }, ctx);
        EXPECT(!left && left.error() == errc::canceled);
        EXPECT(b.counts() == circuit_counts(1, 0, 0, 1, 0, 0));
        admitted(b).done(std::make_exception_ptr(std::system_error(errc::canceled)));
        EXPECT(b.counts() == circuit_counts(2, 0, 0, 2, 0, 0));
        const auto late = co_await b.call(
            []() -> task<result<>> { co_return co_await within(1s, sleep_for(2s)); });
        EXPECT(!late && late.error() == errc::deadline_exceeded);
        EXPECT(b.counts() == circuit_counts(3, 0, 1, 2, 0, 1));
    });
}

TEST_CASE("circuit_breaker 7.8: a caller that is destroyed on its way frees its place") {
    circuit_breaker b(trips_after(1, {.timeout = 1s}));
    simulator world;
    const auto program = [&b]() -> task<> {
        admitted(b).done(down);
        co_await sleep_for(1s);
        go(
            [](circuit_breaker* breaker) -> task<> {
                static_cast<void>(
                    co_await breaker->call([]() -> task<> { co_await sleep_for(1h); }));
            },
            &b);
        co_await sleep_for(1s);
        EXPECT(refused(b) == refusal::too_many_requests);
        throw std::runtime_error("the end");
    };
    CHECK_THROWS_AS(world.run(1, program), std::runtime_error);
    report_expectations();
    CHECK(b.counts() == circuit_counts(1, 0, 0, 1, 0, 0));
    CHECK_FALSE(refused(b));
}

TEST_CASE("circuit_breaker 7.9: a failure that is_successful accepts counts as a success") {
    simulated([]() -> task<> {
        circuit_breaker b(
            {.timeout = 1s,
             .ready_to_trip = [](const circuit_counts&) { return true; },
             .is_successful = [](const failure& why) { return !why || why == not_found; }});
        for (int i = 0; i < 3; ++i) {
            const auto got = co_await b.call([]() -> result<int> { return fail(not_found); });
            EXPECT(!got && got.error() == not_found);
        }
        EXPECT(b.counts() == circuit_counts(3, 3, 0, 0, 3, 0));
        co_await fail_often(b, 1);
        EXPECT(b.state() == circuit_state::open);
        co_await sleep_for(1s);
        static_cast<void>(co_await b.call([]() -> result<int> { return fail(not_found); }));
        EXPECT(b.state() == circuit_state::closed);
    });
}

TEST_CASE("circuit_breaker 7.10: an exception counts by the same predicates, and goes on") {
    simulated([]() -> task<> {
        circuit_breaker b(
            {.is_successful = [](const failure& why) { return why.message() != "bad"; },
             .is_excluded = [](const failure& why) { return why.message() == "no matter"; }});
        for (const char* text : {"good", "bad", "no matter"}) {
            for (const bool waits : {false, true}) {
                std::string caught;
                try {
                    static_cast<void>(co_await b.call(
                        [](const char* what, bool yields) -> task<int> {
                            if (yields) co_await yield();
                            throw std::runtime_error(what);
                        },
                        text, waits));
                } catch (const std::runtime_error& e) {
                    caught = e.what();
                }
                EXPECT(caught == text);
            }
        }
        EXPECT(b.counts() == circuit_counts(6, 2, 2, 2, 0, 2));
        bool thrown = false;
        try {
            static_cast<void>(co_await b.call([]() -> int { throw std::runtime_error("bad"); }));
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        EXPECT(thrown);
        EXPECT(b.counts().consecutive_failures == 3);
    });
}

TEST_CASE("circuit_breaker 7.11: in two steps, a ticket is told how the request ended") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(2, {.timeout = 1s}));
        admitted(b).done();
        admitted(b).done(down);
        EXPECT(b.counts() == circuit_counts(2, 1, 1, 0, 0, 1));
        auto twice = admitted(b);
        twice.done(down);
        EXPECT(b.state() == circuit_state::open);
        co_await sleep_for(1s);
        EXPECT(b.state() == circuit_state::half_open);
        twice.done();
        EXPECT(b.counts() == circuit_counts());
        static_assert(!std::is_copy_constructible_v<circuit_ticket>);
    });
}

TEST_CASE("circuit_breaker 7.11: a ticket that is let go counts as excluded, once") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(1, {.timeout = 1s}));
        {
            const auto dropped = admitted(b);
            EXPECT(b.counts().total_exclusions == 0);
        }
        EXPECT(b.counts() == circuit_counts(1, 0, 0, 1, 0, 0));
        auto first = admitted(b);
        auto second = std::move(first);
        auto third = admitted(b);
        third = std::move(second);  // lets go of its own
        EXPECT(b.counts() == circuit_counts(3, 0, 0, 2, 0, 0));
        first.done(down);
        second.done(down);
        EXPECT(b.counts().total_failures == 0);
        third.done(down);
        EXPECT(b.state() == circuit_state::open);
        co_await sleep_for(1s);
        {
            const auto trial = admitted(b);
        }
        EXPECT(!refused(b));
    });
}

TEST_CASE("circuit_breaker 7.12: each kind of end is counted, in all and in a row") {
    simulated([]() -> task<> {
        circuit_breaker b;
        auto under_way = admitted(b);
        co_await work_often(b, 3);
        EXPECT(b.counts() == circuit_counts(4, 3, 0, 0, 3, 0));
        co_await fail_often(b, 2);
        EXPECT(b.counts() == circuit_counts(6, 3, 2, 0, 0, 2));
        admitted(b).done(errc::canceled);
        EXPECT(b.counts() == circuit_counts(7, 3, 2, 1, 0, 2));  // no run ends by it
        under_way.done();
        EXPECT(b.counts() == circuit_counts(7, 4, 2, 1, 1, 0));
    });
}

TEST_CASE("circuit_breaker: call hands on whatever a function gives") {
    on_workers([]() -> task<> {
        circuit_breaker b;
        const result<> nothing = co_await b.call([] {});
        EXPECT(nothing.has_value());
        const result<> later = co_await b.call([]() -> task<> { co_await yield(); });
        EXPECT(later.has_value());
        auto moved = co_await b.call(
            [](std::unique_ptr<int> p) -> task<std::unique_ptr<int>> {
                ++*p;
                co_return p;
            },
            std::make_unique<int>(1));
        EXPECT(moved && **moved == 2);
        auto plain =
            co_await b.call([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(3));
        EXPECT(plain && **plain == 3);
        const result<int> inner = co_await b.call([]() -> task<result<int>> { co_return 4; });
        EXPECT(inner == 4);
        int place = 0;
        const auto ref = co_await b.call([&]() -> int& { return place; });
        EXPECT(ref && &ref->get() == &place);
        EXPECT(b.counts().total_successes == 6);
    });
}

TEST_CASE("circuit_breaker: a call that is never awaited lets nothing in") {
    simulated([]() -> task<> {
        circuit_breaker b;
        {
            const auto unused = b.call(works);
        }
        EXPECT(b.counts() == circuit_counts());
        co_return;
    });
}

TEST_CASE("circuit_breaker: half-open never lets more in than max_requests, on any worker") {
    on_workers([]() -> task<> {
        for (int round = 0; round < 20; ++round) {
            circuit_breaker b(trips_after(1, {.max_requests = 3, .timeout = 1ns}));
            admitted(b).done(down);
            while (b.state() != circuit_state::half_open) co_await sleep_for(1ns);
            std::atomic<int> in = 0;
            std::atomic<int> out = 0;
            wait_group all;
            for (int i = 0; i < 8; ++i) {
                all.go(
                    [](circuit_breaker* breaker, std::atomic<int>* let_in,
                       std::atomic<int>* kept_out) -> task<> {
                        auto ticket = breaker->allow();
                        ++*(ticket ? let_in : kept_out);
                        while (*let_in + *kept_out < 8) co_await yield();
                        if (ticket) ticket->done();
                    },
                    &b, &in, &out);
            }
            co_await all.wait();
            EXPECT(in == 3);
            EXPECT(b.state() == circuit_state::closed);
        }
    });
}
