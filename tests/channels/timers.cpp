#include <sluice/channels/timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ratio>
#include <stdexcept>

#include <sluice/channels/after.hpp>
#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "deadlocked.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

// These tests rest on the order of times due, never on how long something takes: when a sleep has
// ended, every timer of the same task that was due before it has fired.

namespace {

task<bool> nothing_to_receive(const timer& t) {
    const auto got = co_await select(t.recv(), otherwise);
    co_return got.index() == 1;
}

}  // namespace

TEST_CASE("timer 9.1: after stop no stale firing can be received") {
    on_real_workers([]() -> task<> {
        const timer fired(1us);
        co_await sleep_for(2ms);
        EXPECT(fired.stop());  // it had fired, and had not been received
        const bool none = co_await nothing_to_receive(fired);
        EXPECT(none);
        EXPECT(!fired.stop());
        const timer running(1h);
        EXPECT(running.stop());
        EXPECT(!running.stop());
        const timer received(1us);
        co_await received.recv();
        EXPECT(!received.stop());
        for (int i = 0; i < 100; ++i) {
            const timer racing(1us);
            for (int k = 0; k < i % 5; ++k) co_await yield();
            static_cast<void>(racing.stop());  // whether it has fired or not
            const bool quiet = co_await nothing_to_receive(racing);
            EXPECT(quiet);
        }
    });
}

TEST_CASE("timer 9.1: after reset only the new firing can be received") {
    on_real_workers([]() -> task<> {
        const timer t(1us);
        co_await sleep_for(2ms);
        EXPECT(t.reset(1h));
        const bool none = co_await nothing_to_receive(t);
        EXPECT(none);
        EXPECT(t.reset(1us));
        co_await sleep_for(1ms);
        const auto before = clock_type::now();
        EXPECT(t.reset(2ms));
        const auto due = co_await t.recv();
        EXPECT(due >= before + 2ms);
        EXPECT(!t.reset(1h));
        EXPECT(t.stop());
    });
}

TEST_CASE("timer 9.1: a firing is received once") {
    on_real_workers([]() -> task<> {
        const timer t(0s);
        co_await t.recv();
        const bool none = co_await nothing_to_receive(t);
        EXPECT(none);
    });
}

TEST_CASE("timer 9.1: no stale firing with another task that receives while one resets") {
    on_real_workers([]() -> task<> {
        const timer t(1h);
        const auto dues = make_chan<clock_type::time_point>(1);
        const auto done = make_chan<>();
        go(
            [](const timer* from, chan<clock_type::time_point> to, chan<> end) -> task<> {
                for (;;) {
                    const auto got = co_await select(from->recv(), end.recv());
                    if (got.index() == 1) break;
                    co_await to.send(std::get<0>(got));
                }
                to.close();
            },
            &t, dues, done);
        for (int i = 0; i < 300; ++i) {
            const auto before = clock_type::now();
            static_cast<void>(t.reset(20us));
            if (i % 3 == 0) co_await sleep_for(20us);
            const auto again = clock_type::now();
            if (i % 2 == 0 && t.reset(50us)) {
                // The first firing was taken back: only the second can be seen.
                const auto due = co_await dues.recv();
                EXPECT(due && *due >= again + 50us);
            } else {
                // It has been received already, or is about to be; after a failed reset two are.
                const auto due = co_await dues.recv();
                EXPECT(due && *due >= before + 20us);
                if (i % 2 == 0) {
                    const auto second = co_await dues.recv();
                    EXPECT(second && *second >= again + 50us);
                }
            }
            EXPECT(!dues.try_recv());
        }
        co_await done.send();
        const auto end = co_await dues.recv();
        EXPECT(!end);
    });
}

TEST_CASE(
    "ticker 9.2: at most one tick is pending, a slow receiver drops ticks and the rhythm stays") {
    on_real_workers([]() -> task<> {
        const auto before = clock_type::now();
        const ticker t(1ms);
        const auto after_start = clock_type::now();
        const auto slow_until = clock_type::now() + 10ms;
        co_await sleep_until(slow_until);
        const auto first = co_await t.recv();
        const auto second = co_await t.recv();
        EXPECT(first >= before + 1ms);
        EXPECT(first <= after_start + 1ms);
        EXPECT(second >= slow_until);  // those between are dropped
        EXPECT((second - first) % 1ms == 0ns);
        const auto third = co_await t.recv();
        EXPECT(third > second);
        EXPECT((third - first) % 1ms == 0ns);
    });
}

TEST_CASE("ticker 9.2: a period of zero or less is an error") {
    on_real_workers([]() -> task<> {
        const auto refuses = [](std::chrono::nanoseconds period) {
            bool made = true;
            try {
                const ticker t(period);
            } catch (const std::logic_error&) {
                made = false;
            }
            return !made;
        };
        EXPECT(refuses(0s));
        EXPECT(refuses(-1ns));
        EXPECT(refuses(std::chrono::nanoseconds::min()));
        const ticker t(1h);
        bool reset = true;
        try {
            t.reset(0s);
        } catch (const std::logic_error&) {
            reset = false;
        }
        EXPECT(!reset);
        co_return;
    });
}

TEST_CASE("ticker 9.1: after stop or reset no stale tick can be received") {
    on_real_workers([]() -> task<> {
        const ticker t(1ms);
        for (int i = 0; i < 3; ++i) {
            co_await sleep_for(3ms);
            t.stop();
            const auto none = co_await select(t.recv(), otherwise);
            EXPECT(none.index() == 1);
            t.reset(1ms);
            co_await sleep_for(3ms);
            const auto before = clock_type::now();
            t.reset(2ms);
            const auto due = co_await t.recv();
            EXPECT(due >= before + 2ms);
            t.reset(1ms);
        }
    });
}

TEST_CASE("timer 9.3: stop does not close: a receive waits on, and reset may follow") {
    const auto report = deadlock_of([]() -> task<> {
        const timer t(1h);
        t.stop();
        co_await t.recv();
        EXPECT(false && "received from a stopped timer");
    });
    CHECK_THAT(report, Catch::Matchers::ContainsSubstring("recv on a timer"));
    run_on(1, []() -> task<> {
        const timer t(1h);
        const ticker k(1h);
        int received = 0;
        const auto wait = [](const auto* from, int* n) -> task<> {
            co_await from->recv();
            ++*n;
        };
        wait_group all;
        all.go(wait, &t, &received);
        all.go(wait, &k, &received);
        co_await yield();
        t.stop();
        k.stop();
        co_await yield();
        EXPECT(received == 0);
        EXPECT(!t.reset(1us));
        k.reset(1us);
        co_await all.wait();
        EXPECT(received == 2);
        k.stop();
    });
}

TEST_CASE("timer 9.4: a sleep of zero or less returns at once") {
    run_on(1, []() -> task<> {
        bool other_ran = false;
        go(
            [](bool* ran) -> task<> {
                *ran = true;
                co_return;
            },
            &other_ran);
        co_await sleep_for(0s);
        co_await sleep_for(-1ns);
        co_await sleep_for(std::chrono::nanoseconds::min());
        co_await sleep_for(std::chrono::hours::min());
        co_await sleep_for(std::chrono::duration<double>(-1e300));
        co_await sleep_until(clock_type::time_point::min());
        co_await sleep_until(clock_type::now());
        co_await after(0s);
        EXPECT(!other_ran);
        co_await yield();
        EXPECT(other_ran);
    });
}

TEST_CASE("timer 9.4: overflow saturates") {
    on_real_workers([]() -> task<> {
        using namespace std::chrono;
        const auto lost =
            co_await select(sleep_for(hours::max()), sleep_for(nanoseconds::max()),
                            sleep_for(duration<double>(1e300)), sleep_for(milliseconds::max()),
                            after(duration<float>(std::numeric_limits<float>::infinity())),
                            after(duration<float>(9'223'371'776.0F)),
                            after(duration<std::int64_t, std::ratio<1, 3>>(10'000'000'000)),
                            sleep_until(clock_type::time_point::max()), sleep_for(1us));
        EXPECT(lost.index() == 8);
        const auto ch = make_chan<int>();
        go([](chan<int> to) -> task<> { co_await to.send(1); }, ch);
        const auto got = co_await within(hours::max(), ch.recv());
        EXPECT(got && *got == 1);
        const timer never(hours::max());
        const auto none = co_await select(never.recv(), sleep_for(1us));
        EXPECT(none.index() == 1);
        EXPECT(never.stop());
        const ticker rare(nanoseconds::max());
        const ticker rarer(hours::max());
        const auto no_tick = co_await select(rare.recv(), rarer.recv(), sleep_for(1us));
        EXPECT(no_tick.index() == 2);
    });
}

TEST_CASE("ticker 9.4: a next tick beyond the end of time does not come") {
    simulated([]() -> task<> {
        constexpr auto most = std::chrono::nanoseconds::max();
        const ticker t(most);
        const ticker other(most / 2);
        static_cast<void>(co_await t.recv());  // at the end of time, where it stands still
        static_cast<void>(co_await other.recv());
        const auto none = co_await select(t.recv(), otherwise);
        EXPECT(none.index() == 1);
        t.reset(1s);
        t.stop();
    });
}

TEST_CASE("timer 9.5: a tick carries the time it was due") {
    on_real_workers([]() -> task<> {
        for (int i = 0; i < 20; ++i) {
            const auto before = clock_type::now();
            const timer t(100us);
            const auto made = clock_type::now();
            if (i % 2 == 0) co_await sleep_for(1ms);  // received late, due all the same
            const auto due = co_await t.recv();
            EXPECT(due >= before + 100us);
            EXPECT(due <= made + 100us);
            EXPECT(clock_type::now() >= due);
        }
    });
}

TEST_CASE("timer: raced and bounded, a loser leaves the firing to others") {
    on_real_workers([]() -> task<> {
        const timer t(1us);
        const auto ch = make_chan<int>(1);
        co_await sleep_for(1ms);
        co_await ch.send(1);
        // Both are ready; whichever wins, the other is still there.
        const auto first = co_await select(t.recv(), ch.recv());
        const auto second = co_await select(t.recv(), ch.recv());
        EXPECT(first.index() != second.index());
        static_cast<void>(t.reset(1h));
        const auto late = co_await within(1us, t.recv());
        EXPECT(!late && late.error() == errc::deadline_exceeded);
        EXPECT(t.stop());
    });
}

TEST_CASE("timer: no sleep ends before its time, in whatever order the times were set") {
    on_real_workers([]() -> task<> {
        const auto start = clock_type::now() + 1ms;
        wait_group all;
        for (const int i : {3, 1, 4, 0, 2}) {
            all.go(
                [](clock_type::time_point until) -> task<> {
                    co_await sleep_until(until);
                    EXPECT(clock_type::now() >= until);
                },
                start + i * 1ms);
        }
        co_await all.wait();
        EXPECT(clock_type::now() >= start + 4ms);
    });
}

TEST_CASE("ticker: stop and reset while others are busy and ticks come in") {
    on_real_workers([]() -> task<> {
        const auto stop = make_chan<>();
        wait_group all;
        for (int i = 0; i < 2; ++i) {
            all.go(
                [](recv_chan<> end) -> task<> {
                    for (;;) {
                        const auto got = co_await select(end.recv(), otherwise);
                        if (got.index() == 0) co_return;
                        co_await yield();
                    }
                },
                stop);
        }
        const ticker t(50us);
        auto last = clock_type::time_point::min();
        for (int i = 0; i < 1'000; ++i) {
            const auto due = co_await t.recv();
            EXPECT(due > last);
            last = due;
            co_await yield();
            if (i % 3 == 0) {
                t.stop();
                t.reset(50us);
            }
        }
        stop.close();
        co_await all.wait();
    });
}
