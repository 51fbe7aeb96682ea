// quiescence(): a test's task goes on when all others wait.
#include <sluice/runtime/simulate.hpp>

#include <chrono>
#include <stdexcept>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

task<> count_to(int* n, int most) {
    for (int i = 0; i < most; ++i) {
        ++*n;
        co_await yield();
    }
}

}  // namespace

TEST_CASE("quiescence: all others have run until they wait, and no time has passed") {
    simulated(
        []() -> task<> {
            const auto begin = now();
            int counted = 0;
            go(count_to, &counted, 100);
            bool slept = false;
            go(
                [](bool* done) -> task<> {
                    co_await sleep_for(1s);
                    *done = true;
                },
                &slept);
            co_await quiescence();
            EXPECT(counted == 100);
            EXPECT(!slept);
            EXPECT(now() == begin);
            co_await sleep_for(1s);
            co_await quiescence();
            EXPECT(slept);
        },
        200);
}

TEST_CASE("quiescence: what a cancel brings about has happened, and nothing had before") {
    simulated(
        []() -> task<> {
            auto [ctx, cancel] = with_cancel(background());
            bool called = false;
            static_cast<void>(after_func(ctx, [&called] { called = true; }));
            co_await quiescence();
            EXPECT(!called);
            cancel();
            co_await quiescence();
            EXPECT(called);
        },
        200);
}

TEST_CASE("quiescence: a deadline passes at its time and not before") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 5s);
        co_await sleep_for(5s - 1ns);
        co_await quiescence();
        EXPECT(!ctx.err());
        co_await sleep_for(1ns);
        co_await quiescence();
        EXPECT(ctx.err() == errc::deadline_exceeded);
    });
}

TEST_CASE("quiescence: tasks that wait for it together go on together") {
    const auto orders = explore_all({}, []() -> task<> {
        std::vector<int> done;
        int counted = 0;
        const auto waits = [](std::vector<int>* to, const int* n, int id) -> task<> {
            co_await quiescence();
            to->push_back(*n == 2 ? id : -1);
        };
        go(count_to, &counted, 2);
        go(waits, &done, &counted, 1);
        go(waits, &done, &counted, 2);
        co_await sleep_for(1s);
        EXPECT(done == std::vector{1, 2} || done == std::vector{2, 1});
    });
    CHECK(orders > 2);
    report_expectations();
}

TEST_CASE("quiescence: who waits for it in vain is named, and gone in the next run") {
    simulator world(1'000);
    CHECK_THROWS_WITH(world.run(1,
                                []() -> task<> {
                                    go([]() -> task<> {
                                        for (;;) co_await yield();
                                    });
                                    co_await quiescence();
                                }),
                      Catch::Matchers::ContainsSubstring("given up"));
    CHECK(world.run(1, []() -> task<> { co_await quiescence(); }) == 0);
    CHECK(world.elapsed() == 0s);
}

TEST_CASE("quiescence: outside of a simulation it is an error") {
    CHECK_THROWS_AS(quiescence(), std::logic_error);
    on_real_workers([]() -> task<> {
        bool threw = false;
        try {
            co_await quiescence();
        } catch (const std::logic_error&) {
            threw = true;
        }
        EXPECT(threw);
    });
}
