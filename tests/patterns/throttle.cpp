#include <sluice/patterns/throttle.hpp>

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

// What a throttle must show of them, by the clock.
std::vector<shown> expected(const std::vector<shown>& sent, std::chrono::microseconds period) {
    std::vector<shown> seen;
    std::optional<int> kept;
    std::chrono::microseconds clock = 0ms;
    std::chrono::microseconds free_at = 0ms;
    for (const shown& v : sent) {
        clock += v.at;
        if (kept && clock > free_at) {
            seen.push_back(shown(*kept, free_at));
            free_at += period;
            kept.reset();
        }
        if (clock > free_at || seen.empty()) {
            seen.push_back(shown(v.value, clock));
            free_at = clock + period;
        } else {
            kept = v.value;
        }
    }
    if (kept) seen.push_back(shown(*kept, free_at));
    return seen;
}

// Values in rows and with gaps. The odd microseconds keep them off the ends of periods, which would
// be a draw.
task<> values_at_any_time() {
    std::vector<shown> values;
    for (int i = 0; i < 20; ++i)
        values.push_back(shown(i, 2ms * static_cast<int>(random_bits() % 12) + 1us));
    const auto in = make_chan<int>();
    const auto out = throttle(background(), in, 10ms);
    const auto start = now();
    go(send_all, in, values);
    const auto seen = co_await watch(out, start);
    EXPECT(seen == expected(values, 10ms));
    for (std::size_t i = 1; i < seen.size(); ++i) EXPECT(seen[i].at - seen[i - 1].at >= 10ms);
    EXPECT(seen.front().value == 0 && seen.back().value == 19);
}

task<> steps(chan<int> to) {
    for (int i = 0; i < 100; ++i) {
        co_await to.send(i);
        if (i % 3 == 0) co_await yield();
    }
    to.close();
}

}  // namespace

TEST_CASE("throttle: values come a period apart, in order, the first and the last among them") {
    simulated(values_at_any_time, 1'000);
    on_real_workers([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = throttle(background(), in, 1ns);
        go(steps, in);
        int last = -1;
        while (auto v = co_await out.recv()) {
            EXPECT(*v > last);
            last = *v;
        }
        EXPECT(last == 99);
    });
}

TEST_CASE("throttle: at its end a context closes the output, and the rest stays in the source") {
    simulated_cancelled([](context ctx) -> task<> {
        const auto in = make_chan<int>(10);
        for (int i = 0; i < 5; ++i) co_await in.send(i);
        const auto out = throttle(ctx, in, 10ms);
        std::vector<int> seen;
        while (auto v = co_await out.recv()) {
            seen.push_back(*v);
            if (seen.size() == 2) in.close();
        }
        if (ctx.err()) {
            EXPECT(seen.size() <= 2);
            EXPECT(seen.empty() || seen[0] <= 4);
        } else {
            EXPECT(seen.size() == 2 && seen.back() == 4);
        }
        // In order, and none of them seen.
        int last = seen.empty() ? -1 : seen.back();
        while (auto v = in.try_recv()) {
            EXPECT(*v > last);
            last = *v;
        }
    });
}

TEST_CASE("throttle: the first value passes at once, then the latest at the end of each period") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = throttle(background(), in, 10ms);
        const auto start = now();
        go(send_all, in,
           std::vector{shown(1, 3ms), shown(2, 1ms), shown(3, 1ms), shown(4, 12ms),
                       shown(5, 30ms)});
        const auto seen = co_await watch(out, start);
        EXPECT(seen == std::vector{shown(1, 3ms), shown(3, 13ms), shown(4, 23ms), shown(5, 47ms)});
    });
}

TEST_CASE("throttle: after a period without a value the next one passes at once again") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = throttle(background(), in, 10ms);
        const auto start = now();
        go(send_all, in, std::vector{shown(1, 0ms), shown(2, 11ms), shown(3, 25ms)});
        const auto seen = co_await watch(out, start);
        EXPECT(seen == std::vector{shown(1, 0ms), shown(2, 11ms), shown(3, 36ms)});
    });
}

TEST_CASE("throttle: closing gives what was kept at the end of its period, and then ends") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = throttle(background(), in, 10ms);
        const auto start = now();
        go(send_all, in, std::vector{shown(1, 0ms), shown(2, 4ms)});
        const auto seen = co_await watch(out, start);
        EXPECT(seen == std::vector{shown(1, 0ms), shown(2, 10ms)});
        EXPECT(now() == start + 10ms);

        const auto one = make_chan<int>(1);
        co_await one.send(1);
        one.close();
        const auto single = co_await watch(throttle(background(), one, 1h), now());
        EXPECT(single == std::vector{shown(1, 0ms)});
        EXPECT(now() == start + 10ms);  // nothing is kept, so nothing waits

        const auto none = make_chan<int>();
        none.close();
        const auto nothing = co_await throttle(background(), none, 1h).recv();
        EXPECT(!nothing);
    });
}

TEST_CASE("throttle: a source that is always ready does not hold up the end of a period") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = throttle(background(), in, 10ms);
        go(
            [](chan<int> to) -> task<> {
                for (int i = 0; i < 100; ++i) {
                    co_await to.send(i);
                    co_await sleep_for(1ms);
                }
                to.close();
            },
            in);
        const auto seen = co_await watch(out, now());
        EXPECT(seen.size() == 11);
    });
}

TEST_CASE("throttle: a reader that comes late gets the newest value only") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto out = throttle(background(), in, 1ms);
        for (int i = 1; i <= 3; ++i) {
            co_await in.send(i);
            co_await sleep_for(5ms);
        }
        EXPECT(out.try_recv() == 3);
        EXPECT(!out.try_recv());
        co_await in.send(4);
        in.close();
        co_await sleep_for(5ms);
        EXPECT(num_tasks() == 1);
        EXPECT(out.try_recv() == 4);
    });
}

TEST_CASE("throttle: a deadline of the context ends it without the value that was kept") {
    simulated([]() -> task<> {
        for (const bool closes : {false, true}) {
            const auto in = make_chan<int>(2);
            auto [ctx, cancel] = with_timeout(background(), 5ms);
            const auto out = throttle(ctx, in, 10ms);
            const auto start = now();
            co_await in.send(1);
            co_await in.send(2);
            if (closes) in.close();
            const auto seen = co_await watch(out, start);
            EXPECT(seen == std::vector{shown(1, 0ms)});
            EXPECT(now() == start + 5ms);
        }
    });
}

TEST_CASE("throttle: a nil source waits for the context") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 5ms);
        const auto got = co_await throttle(ctx, recv_chan<int>(), 1ms).recv();
        EXPECT(!got);
    });
}

TEST_CASE("throttle: events without a value, and values that can only be moved") {
    simulated([]() -> task<> {
        const auto events = make_chan();
        const auto paced = throttle(background(), events, 10ms);
        for (int i = 0; i < 5; ++i) co_await events.send();
        int seen = 0;
        events.close();
        while (co_await paced.recv()) ++seen;
        EXPECT(seen == 2);  // the first, and those of its period as one

        const auto owners = make_chan<std::unique_ptr<int>>();
        const auto some = throttle(background(), owners, 10ms);
        for (int i = 1; i <= 3; ++i) co_await owners.send(std::make_unique<int>(i));
        owners.close();
        int last = 0;
        while (auto v = co_await some.recv()) last = **v;
        EXPECT(last == 3);
    });
}

TEST_CASE("throttle: a period that is not positive and a call outside of tasks are errors") {
    const auto in = make_chan<int>();
    CHECK_THROWS_AS(throttle(background(), in, 0ns), std::invalid_argument);
    CHECK_THROWS_AS(throttle(background(), in, -1ns), std::invalid_argument);
    CHECK_THROWS_AS(throttle(background(), in, 1s), std::logic_error);
}
