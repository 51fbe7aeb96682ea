// How simulations end, what they leave for the next one, and what has no place in them.
#include <sluice/runtime/simulate.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/signals.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

namespace {

task<int> two_steps() {
    co_await sluice::yield();
    co_return 2;
}

}  // namespace

TEST_CASE("simulate: a task that spins until time passes is given up, after max_steps") {
    sluice::simulator world(1'000);
    const auto spins = []() -> task<> {
        const auto begin = sluice::now();
        while (sluice::now() == begin) co_await sluice::yield();
    };
    CHECK_THROWS_WITH(world.run(1, spins), Catch::Matchers::ContainsSubstring("ready to run"));
    CHECK(world.run(1, two_steps) == 2);
}

TEST_CASE("simulate: so is one with a task that was left behind and never ends, which is named") {
    sluice::simulator world(1'000);
    const auto leaks = []() -> task<> {
        sluice::go([]() -> task<> {
            for (;;) co_await sluice::sleep_for(1s);
        });
        co_return;
    };
    CHECK_THROWS_WITH(world.run(1, leaks), Catch::Matchers::ContainsSubstring("a timer"));
}

TEST_CASE("simulate: what outlives a run has no part in the next one") {
    sluice::simulator world;
    int late = 0;
    const auto leaves_an_after_func = [&late]() -> task<> {
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        static_cast<void>(sluice::after_func(ctx, [&late] { ++late; }));
        co_await sluice::chan<>().recv();
    };
    CHECK_THROWS_AS(world.run(1, leaves_an_after_func), sluice::deadlock);
    std::vector<sluice::ticker> kept;
    world.run(1, [&kept]() -> task<> {
        kept.emplace_back(1s);
        co_return;
    });
    CHECK_THROWS_AS(world.run(1, []() -> task<> { co_await sluice::chan<>().recv(); }),
                    sluice::deadlock);
    CHECK(world.elapsed() == 0s);
    CHECK(late == 0);
}

TEST_CASE("explore_cancelled: a context that ends with its run starts nothing in the next one") {
    int runs = 0;
    int late = 0;
    sluice::explore_cancelled({.seeds = 3}, [&runs, &late](sluice::context ctx) -> task<> {
        const int mine = ++runs;
        static_cast<void>(sluice::after_func(ctx, [&runs, &late, mine] { late += mine != runs; }));
        co_await sluice::yield();
    });
    CHECK(runs > 3);
    CHECK(late == 0);
}

TEST_CASE("explore_cancelled: a program that goes on until it is cancelled has `cancels` runs") {
    const auto heartbeat = [](sluice::context ctx) -> task<> {
        sluice::ticker every(1s);
        for (;;) {
            const auto tick = co_await within(ctx, every.recv());
            if (!tick) co_return;
        }
    };
    CHECK(sluice::explore_cancelled({.seeds = 2, .cancels = 30}, heartbeat) == 60);
}

TEST_CASE("explore: a sleep in place of a wait is found once time may leap") {
    const auto sleeps = []() -> task<> {
        bool done = false;
        sluice::go([&done]() -> task<> {
            for (int i = 0; i != 20; ++i) co_await sluice::yield();
            done = true;
        });
        co_await sluice::sleep_for(1ms);
        if (!done) throw std::runtime_error("too early");
        co_return;
    };
    sluice::explore({.seeds = 1'000}, sleeps);
    sluice::explore({.seeds = 1'000, .leap = 999us}, sleeps);
    CHECK_THROWS_AS(sluice::explore({.seeds = 1'000, .leap = 1ms}, sleeps),
                    sluice::simulation_failure);
}

TEST_CASE("simulate: no signal comes") {
    CHECK_THROWS_AS(sluice::simulate({},
                                     []() -> task<> {
                                         auto [ctx, stop] = sluice::notify_context({SIGTERM});
                                         co_await ctx.done();
                                     }),
                    sluice::deadlock);
    sluice::simulate({}, []() -> task<> {
        auto [parent, cancel] = sluice::with_cancel(sluice::background());
        auto [ctx, stop] = sluice::notify_context(parent, {SIGTERM});
        cancel();
        co_await ctx.done();
    });
}

TEST_CASE("simulate: a runtime in a task of a simulation is an error") {
    CHECK_THROWS_AS(sluice::simulate({},
                                     []() -> task<> {
                                         const sluice::runtime rt;
                                         co_return;
                                     }),
                    std::logic_error);
}

TEST_CASE("simulate: run() in a task of a simulation is an error") {
    CHECK_THROWS_AS(sluice::simulate({},
                                     []() -> task<> {
                                         sluice::run(two_steps);
                                         co_return;
                                     }),
                    std::logic_error);
}

TEST_CASE("simulate: from within a task it is an error") {
    CHECK_THROWS_AS(sluice::run([]() -> task<> {
                        sluice::simulate({}, two_steps);
                        co_return;
                    }),
                    std::logic_error);
}
