#include <sluice/patterns/debounce.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"
#include "timed_values.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace timed_values;

namespace {

// What a debounce must show of them, by the clock.
std::vector<shown> expected(const std::vector<shown>& sent, std::chrono::microseconds quiet) {
    std::vector<shown> seen;
    std::chrono::microseconds clock = 0ms;
    for (std::size_t i = 0; i < sent.size(); ++i) {
        clock += sent[i].at;
        if (i + 1 == sent.size()) {
            seen.push_back(shown(sent[i].value, clock));  // closed at once
        } else if (sent[i + 1].at > quiet) {
            seen.push_back(shown(sent[i].value, clock + quiet));
        }
    }
    return seen;
}

task<> bursts() {
    std::vector<shown> values;
    for (int i = 0; i < 20; ++i) {
        const auto pause = std::chrono::milliseconds(random_bits() % 20);
        values.push_back(shown(i, pause == 10ms ? 11ms : pause));  // 10 ms are a draw
    }
    const auto in = make_chan<int>();
    const auto out = debounce(background(), in, 10ms);
    const auto start = now();
    go(send_all, in, values);
    const auto seen = co_await watch(out, start);
    EXPECT(seen == expected(values, 10ms));
}

task<> steps(chan<int> to) {
    for (int i = 0; i < 100; ++i) {
        co_await to.send(i);
        if (i % 3 == 0) co_await yield();
    }
    to.close();
}

}  // namespace

TEST_CASE("debounce: of each burst the last value comes, once it has been quiet") {
    simulated(bursts, 1'000);
}

TEST_CASE("debounce: the last value of all comes, on any worker") {
    on_real_workers([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = debounce(background(), in, 1h);
        go(steps, in);
        int last = -1;
        while (auto v = co_await out.recv()) {
            EXPECT(*v > last);
            last = *v;
        }
        EXPECT(last == 99);
    });
}

TEST_CASE("debounce: at its end a context closes the output, and the rest stays in the source") {
    simulated_cancelled([](context ctx) -> task<> {
        const auto in = make_chan<int>(10);
        for (int i = 0; i < 3; ++i) co_await in.send(i);
        const auto out = debounce(ctx, in, 10ms);
        co_await sleep_for(5ms);
        EXPECT(in.size() == 0 || ctx.err());
        co_await in.send(3);
        const auto first = co_await out.recv();
        EXPECT(first ? *first == 3 : ctx.err() == errc::canceled);
        co_await in.send(4);
        in.close();
        const auto second = co_await out.recv();
        EXPECT(second ? *second == 4 : ctx.err() == errc::canceled);
        const auto end = co_await out.recv();
        EXPECT(!end);
        std::optional<int> left;
        while (auto v = in.try_recv()) left = *v;
        EXPECT(first || left == 4);  // it had ended before 4 came
        EXPECT(!second || !left);
    });
}

TEST_CASE("debounce: each value begins the quiet time anew, and none passes before it is over") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = debounce(background(), in, 10ms);
        const auto start = now();
        go(send_all, in, std::vector{shown(1, 0ms), shown(2, 9ms), shown(3, 9ms), shown(4, 30ms)});
        const auto seen = co_await watch(out, start);
        EXPECT(seen == std::vector{shown(3, 28ms), shown(4, 48ms)});
    });
}

TEST_CASE("debounce: closing gives what was kept at once, and then ends") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = debounce(background(), in, 1h);
        const auto start = now();
        go(send_all, in, std::vector{shown(1, 0ms), shown(2, 5ms)});
        const auto seen = co_await watch(out, start);
        EXPECT(seen == std::vector{shown(2, 5ms)});
        const auto none = make_chan<int>();
        none.close();
        const auto nothing = co_await debounce(background(), none, 1h).recv();
        EXPECT(!nothing);
    });
}

TEST_CASE("debounce: a reader that comes late gets the newest value only") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = debounce(background(), in, 1ms);
        for (int i = 1; i <= 3; ++i) {
            co_await in.send(i);
            co_await sleep_for(5ms);
        }
        EXPECT(out.try_recv() == 3);
        EXPECT(!out.try_recv());
        co_await in.send(4);
        in.close();
        co_await sleep_for(1ms);
        EXPECT(out.try_recv() == 4);  // buffered, though the source is closed and its task gone
        EXPECT(num_tasks() == 1);
    });
}

TEST_CASE("debounce: a deadline of the context ends it without the value that was kept") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>(1);
        auto [ctx, cancel] = with_timeout(background(), 5ms);
        const auto out = debounce(ctx, in, 10ms);
        co_await in.send(1);
        const auto got = co_await out.recv();
        EXPECT(!got);
        EXPECT(ctx.err() == errc::deadline_exceeded);
    });
}

TEST_CASE("debounce: a nil source waits for the context") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 5ms);
        const auto got = co_await debounce(ctx, recv_chan<int>(), 1ms).recv();
        EXPECT(!got);
    });
}

TEST_CASE("debounce: events without a value, and values that can only be moved") {
    simulated([]() -> task<> {
        const auto events = make_chan();
        const auto calm = debounce(background(), events, 10ms);
        for (int i = 0; i < 3; ++i) co_await events.send();
        const bool one = co_await calm.recv();
        EXPECT(one);
        EXPECT(!calm.try_recv());
        for (int i = 0; i < 2; ++i) {
            co_await events.send();
            co_await sleep_for(20ms);
        }
        EXPECT(calm.try_recv());
        EXPECT(!calm.try_recv());  // two that are unread are one
        events.close();
        const bool more = co_await calm.recv();
        EXPECT(!more);

        const auto owners = make_chan<std::unique_ptr<int>>();
        const auto last = debounce(background(), owners, 10ms);
        co_await owners.send(std::make_unique<int>(1));
        co_await owners.send(std::make_unique<int>(2));
        co_await sleep_for(20ms);
        co_await owners.send(std::make_unique<int>(3));
        owners.close();
        co_await sleep_for(1ms);
        const auto got = co_await last.recv();
        EXPECT(got && **got == 3);
    });
}

TEST_CASE("debounce: a time that is not positive and a call outside of tasks are errors") {
    const auto in = make_chan<int>();
    CHECK_THROWS_AS(debounce(background(), in, 0ns), std::invalid_argument);
    CHECK_THROWS_AS(debounce(background(), in, -1ns), std::invalid_argument);
    CHECK_THROWS_AS(debounce(background(), in, 1s), std::logic_error);
}
