// What Go's own tests of timers assert beyond the numbered promises: see docs/go-tests.md.
#include <sluice/channels/timer.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include <sluice/channels/after.hpp>
#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

// Where a test says how long something takes it is simulated: virtual time is exact.

TEST_CASE("ticker: five ticks and, after a reset to twice the period, five more take 15 periods") {
    simulated([]() -> task<> {
        const auto start = now();
        const ticker t(20ms);
        for (int i = 1; i <= 5; ++i) {
            const auto due = co_await t.recv();
            EXPECT(due == start + i * 20ms);
            EXPECT(now() == due);
        }
        t.reset(40ms);
        for (int i = 1; i <= 5; ++i) {
            const auto due = co_await t.recv();
            EXPECT(due == start + 100ms + i * 40ms);
        }
        t.stop();
        const auto none = co_await within(1h, t.recv());
        EXPECT(!none);
    });
}

TEST_CASE("ticker: one of a nanosecond ticks on, and holds up nobody") {
    on_workers([]() -> task<> {
        const ticker t(1ns);
        int others = 0;
        wait_group all;
        all.go(
            [](int* n) -> task<> {
                for (int i = 0; i < 100; ++i) {
                    co_await sleep_for(1ns);
                    ++*n;
                }
            },
            &others);
        for (int i = 0; i < 1'000; ++i) co_await t.recv();
        co_await all.wait();
        EXPECT(others == 100);
        t.stop();
    });
}

TEST_CASE("ticker: one that is stopped or let go after a tick lets the next one be made, at once") {
    on_workers([]() -> task<> {
        for (int i = 0; i < 20; ++i) {
            const ticker t(20us);
            co_await t.recv();
            if (i % 2 == 0) t.stop();
        }
    });
}

TEST_CASE("after: it is never early, and a row of them adds up") {
    simulated([]() -> task<> {
        const auto start = now();
        for (int i = 1; i <= 10; ++i) {
            co_await after(100ms);
            EXPECT(now() == start + i * 100ms);
        }
    });
}

TEST_CASE("after: those that are due earlier come first, in whatever order they were made") {
    simulated([]() -> task<> {
        constexpr std::array slots{5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
        using arrival = std::pair<int, std::chrono::steady_clock::time_point>;
        const auto arrived = make_chan<arrival>(slots.size());
        const auto start = now();
        for (const int slot : slots) {
            go(
                [](chan<arrival> to, int s) -> task<> {
                    co_await after(s * 20ms);
                    co_await to.send(arrival(s, now()));
                },
                arrived, slot);
        }
        int before = 0;
        for (std::size_t i = 0; i < slots.size(); ++i) {
            const auto got = co_await arrived.recv();
            EXPECT(got->first >= before);
            EXPECT(got->second == start + got->first * 20ms);
            before = got->first;
        }
    });
}

TEST_CASE("timer: of many that are stopped in time none fires, while others do") {
    simulated([]() -> task<> {
        wait_group all;
        int fired = 0;
        for (int i = 0; i < 100; ++i) {
            all.go(
                [](int me, int* count) -> task<> {
                    const timer t(2s);
                    co_await sleep_for(1s);
                    if (me % 2 == 0) EXPECT(t.stop());
                    const auto got = co_await within(5s, t.recv());
                    EXPECT(got.has_value() == (me % 2 == 1));
                    *count += got.has_value();
                },
                i, &fired);
        }
        co_await all.wait();
        EXPECT(fired == 50);
    });
}

TEST_CASE("timer: a reset moves the firing, and says whether there was one to move") {
    simulated([]() -> task<> {
        const auto start = now();
        const timer t(2s);
        co_await sleep_for(1s);
        EXPECT(t.reset(3s));
        co_await sleep_for(2s);
        const auto early = co_await select(t.recv(), otherwise);
        EXPECT(early.index() == 1);
        const auto due = co_await t.recv();
        EXPECT(due == start + 4s);
        EXPECT(!t.reset(50ms));
        const auto again = co_await t.recv();
        EXPECT(again == start + 4s + 50ms);
    });
}

TEST_CASE("timer: resets after a firing, and before one, each count from their moment") {
    simulated([]() -> task<> {
        const auto start = now();
        const timer t(1s);
        const auto first = co_await t.recv();
        EXPECT(first == start + 1s);
        EXPECT(!t.reset(2s));
        const auto second = co_await t.recv();
        EXPECT(second == start + 3s);
        EXPECT(!t.reset(3s));
        co_await sleep_for(1s);
        EXPECT(t.reset(3s));
        const auto third = co_await t.recv();
        EXPECT(third == start + 7s);
        EXPECT(now() == start + 7s);
    });
}

TEST_CASE("timer: a reset to no time at all reaches who waits in a select, and nobody hangs") {
    simulated([]() -> task<> {
        const timer t(0s);
        int fired = 0;
        auto [ctx, cancel] = with_cancel(background());
        wait_group receiver;
        receiver.go(
            [](const timer* from, context until, int* count) -> task<> {
                for (;;) {
                    const auto got = co_await select(until.done(), from->recv());
                    if (got.index() == 0) break;
                    ++*count;
                }
            },
            &t, ctx, &fired);
        co_await sleep_for(1ns);  // until all others wait
        EXPECT(fired == 1);
        EXPECT(!t.reset(0s));
        co_await sleep_for(1ns);
        EXPECT(fired == 2);
        cancel();
        co_await receiver.wait();
    });
}

TEST_CASE("sleep_for: a task that a sleeper starts sleeps in the same time") {
    simulated([]() -> task<> {
        int steps = 0;
        go(
            [](int* n) -> task<> {
                co_await sleep_for(1s);
                ++*n;
                go(
                    [](int* m) -> task<> {
                        co_await sleep_for(1s);
                        ++*m;
                    },
                    n);
            },
            &steps);
        co_await sleep_for(3s);
        EXPECT(steps == 2);
    });
}

TEST_CASE("timer: one of no time at all fires, every time") {
    on_workers([]() -> task<> {
        for (int i = 0; i < 20'000; ++i) {
            const timer t(0s);
            const auto got = co_await within(10s, t.recv());
            if (!got) {
                EXPECT(false && "a timer was missed");
                break;
            }
        }
    });
}

TEST_CASE("timer: one that is set back into the past again and again fires once") {
    on_workers([]() -> task<> {
        for (int i = 0; i < 500; ++i) {
            const timer t(1h);
            for (int k = 0; k < 10; ++k) {
                static_cast<void>(t.stop());
                EXPECT(!t.reset(-24h));
                if (k % 3 == 2) co_await yield();
            }
            const auto got = co_await within(10s, t.recv());
            EXPECT(got.has_value());
            const auto more = co_await select(t.recv(), otherwise);
            EXPECT(more.index() == 1);
        }
    });
}

namespace {

// One step in the life of a timer; false after the last.
task<bool> live(timer& t, int step) {
    switch (step) {
        case 0:
            static_cast<void>(t.reset(0s));
            break;
        case 2:
            EXPECT(!t.reset(1min));
            break;
        case 4:
            EXPECT(!t.reset(3min));
            break;
        case 6:
            EXPECT(!t.reset(2min));
            break;
        case 3:
        case 5:
        case 7:
            EXPECT(t.stop());
            break;
        case 8:
            EXPECT(!t.reset(0s));
            break;
        default: {  // 1, 9: it has been set to no time at all
            const auto got = co_await within(30s, t.recv());
            EXPECT(got.has_value());
        }
    }
    co_return step != 9;
}

}  // namespace

TEST_CASE("timer: many that are moved back and forth at random lose no firing") {
    const std::uint64_t seed = test_seed();
    CAPTURE(seed);
    on_workers([seed]() -> task<> {
        std::minstd_rand random(static_cast<unsigned>(seed));
        std::vector<std::pair<timer, int>> timers;
        for (int i = 0; i < 100; ++i) timers.emplace_back(1h, 0);
        while (!timers.empty()) {
            const std::size_t i = random() % timers.size();
            auto& [t, step] = timers[i];
            const bool more = co_await live(t, step++);
            if (more) continue;
            std::swap(timers[i], timers.back());
            timers.pop_back();
        }
    });
}
