// Timers and tickers whose time has come, or never will: what there is to see of them, and what
// they keep going.
#include <sluice/channels/ticker.hpp>
#include <sluice/channels/timer.hpp>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "deadlocked.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t seeds = 200;

// Of a timer or a ticker.
template <class Source>
task<bool> is_there(const Source& t) {
    const auto got = co_await select(t.recv(), otherwise);
    co_return got.index() == 0;
}

// What no worker comes between.
void pass(std::chrono::nanoseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

}  // namespace

TEST_CASE("timer: one of no time at all is there at once") {
    on_workers([]() -> task<> {
        const timer t(0s);
        const bool there = co_await is_there(t);
        EXPECT(there);
        const timer bounded(0s);
        const auto in_time = co_await within(1h, bounded.recv());
        EXPECT(in_time.has_value());
        const timer raced(0s);
        const auto first = co_await select(raced.recv(), sleep_for(1h));
        EXPECT(first.index() == 0);
    });
}

TEST_CASE("timer: one whose time has come is there before a worker has looked at its clock") {
    on_real_workers([]() -> task<> {
        const timer t(100us);
        const ticker every(100us);
        pass(300us);
        const bool fired = co_await is_there(t);
        const bool ticked = co_await is_there(every);
        EXPECT(fired);
        EXPECT(ticked);
        EXPECT(!t.stop());
    });
}

TEST_CASE("timer: who has slept as long finds it there, in any order of what is due") {
    simulated(
        []() -> task<> {
            const timer t(1s);
            const ticker every(500ms);
            co_await sleep_for(1s);
            const bool fired = co_await is_there(t);
            EXPECT(fired);
            const bool ticked = co_await is_there(every);
            EXPECT(ticked);
            const bool again = co_await is_there(every);
            EXPECT(!again);
            const timer taken_back(1s);
            co_await sleep_for(1s);
            EXPECT(taken_back.stop());
            const bool none = co_await is_there(taken_back);
            EXPECT(!none);
        },
        seeds);
}

TEST_CASE("timer: who comes when it is due does not overtake who waits") {
    simulated(
        []() -> task<> {
            const timer t(1s);
            bool got = false;
            go(
                [](const timer* from, bool* done) -> task<> {
                    co_await from->recv();
                    *done = true;
                },
                &t, &got);
            co_await sleep_for(1s);
            const bool there = co_await is_there(t);
            EXPECT(!there);
            co_await yield();
            co_await quiescence();
            EXPECT(got);
        },
        seeds);
}

TEST_CASE("ticker 9.2: ticks taken late, by who looks, keep the rhythm") {
    simulated(
        []() -> task<> {
            const auto begin = now();
            const ticker every(1s);
            co_await sleep_for(3500ms);
            const auto first = co_await every.recv();
            EXPECT(first - begin == 1s);
            const auto next = co_await every.recv();
            EXPECT(next - begin == 4s);
        },
        seeds);
}

TEST_CASE("deadlock: a ticker that nobody waits for does not hide one, nor does a timer") {
    const auto stuck = []() -> task<> {
        const ticker every(1s);
        const timer once(1h);
        co_await chan<>().recv();
    };
    CHECK_THAT(deadlock_of(stuck), Catch::Matchers::ContainsSubstring("deadlock"));
    simulator world;
    CHECK_THROWS_AS(world.run(1, stuck), deadlock);
    CHECK(world.elapsed() == 0s);
}

TEST_CASE("deadlock: one that somebody waits for is none") {
    on_workers([]() -> task<> {
        const ticker every(1ms);
        co_await every.recv();
        const timer once(1ms);
        const auto got = co_await select(chan<>().recv(), once.recv());
        EXPECT(got.index() == 1);
        const auto late = co_await within(1ms, chan<>().recv());
        EXPECT(!late.has_value());
    });
}

TEST_CASE("deadlock: a ticker whose last receiver has gone hides none any more") {
    simulator world;
    CHECK_THROWS_AS(world.run(1,
                              []() -> task<> {
                                  const ticker every(1s);
                                  co_await every.recv();
                                  const auto other = co_await select(every.recv(), sleep_for(1ms));
                                  EXPECT(other.index() == 1);
                                  co_await chan<>().recv();
                              }),
                    deadlock);
    CHECK(world.elapsed() == 1s + 1ms);
    report_expectations();
}

TEST_CASE("timer: after a move from it stop says no, and the others throw") {
    on_workers([]() -> task<> {
        timer first(1h);
        const timer second = std::move(first);
        // NOLINTBEGIN(bugprone-use-after-move): what that does is tested here
        EXPECT(!first.stop());
        bool threw = false;
        try {
            co_await first.recv();
        } catch (const std::logic_error&) {
            threw = true;
        }
        EXPECT(std::exchange(threw, false));
        try {
            static_cast<void>(first.reset(1s));
        } catch (const std::logic_error&) {
            threw = true;
        }
        EXPECT(std::exchange(threw, false));
        EXPECT(second.stop());
        ticker every(1h);
        const ticker other = std::move(every);
        every.stop();
        try {
            every.reset(1s);
        } catch (const std::logic_error&) {
            threw = true;
        }
        EXPECT(threw);
        // NOLINTEND(bugprone-use-after-move)
    });
}
