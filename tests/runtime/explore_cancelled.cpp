#include <sluice/runtime/simulate.hpp>

#include <cstdint>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::context;
using sluice::task;

TEST_CASE("explore_cancelled: the context ends before each of the awaits, and once not at all") {
    constexpr int awaits = 10;
    std::vector<int> ended_at;
    const std::uint64_t runs = sluice::explore_cancelled({.seeds = 1}, [&](context ctx) -> task<> {
        int passed = 0;
        while (passed != awaits && !ctx.err()) {
            co_await sluice::yield();
            ++passed;
        }
        ended_at.push_back(passed);
    });
    // Before the first step; then each yield ends a step, and the last run is not cancelled.
    CHECK(runs == ended_at.size());
    CHECK(std::set<int>(ended_at.begin(), ended_at.end()).size() == awaits + 1);
    CHECK(ended_at.front() == 0);
    CHECK(ended_at.back() == awaits);
}

TEST_CASE("explore_cancelled: awaits that need not wait are steps too") {
    std::set<int> received;
    sluice::explore_cancelled({.seeds = 1}, [&](context ctx) -> task<> {
        const auto ch = sluice::make_chan<int>(5);
        for (int i = 0; i != 5; ++i) static_cast<void>(ch.try_send(i));
        int count = 0;
        for (int i = 0; i != 5; ++i) {
            const auto got = co_await within(ctx, ch.recv());
            count += got.has_value();
        }
        received.insert(count);
    });
    CHECK(received == std::set<int>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("explore_cancelled: tasks asleep are cancelled too, and no time passes for it") {
    sluice::explore_cancelled({.seeds = 5}, [](context ctx) -> task<> {
        const auto begin = sluice::now();
        const auto slept = co_await within(ctx, sluice::sleep_for(1h));
        if (!slept) EXPECT(sluice::now() == begin);
    });
    report_expectations();
}

TEST_CASE("explore_cancelled: also between a timer and the task that it wakes") {
    bool seen = false;
    sluice::explore_cancelled({.seeds = 1}, [&seen](context ctx) -> task<> {
        const auto slept = co_await within(ctx, sluice::sleep_for(1h));
        if (slept && ctx.err()) seen = true;
    });
    CHECK(seen);
}

TEST_CASE(
    "explore_cancelled: one that stands still until it is cancelled is, and that is the last") {
    const std::uint64_t runs = sluice::explore_cancelled({.seeds = 1}, [](context ctx) -> task<> {
        const auto requests = sluice::make_chan<int>();
        sluice::go([](sluice::chan<int> to) -> task<> { co_await to.send(1); }, requests);
        int served = 0;
        for (;;) {
            const auto got = co_await within(ctx, requests.recv());
            if (!got) break;
            ++served;
        }
        EXPECT(ctx.err());
        if (served == 0) co_await requests.recv();  // lets the sender end
    });
    report_expectations();
    CHECK(runs > 3);
    CHECK(runs < 20);
}

TEST_CASE(
    "explore_cancelled: a program that hangs when it is cancelled fails, with how to repeat it") {
    const auto forgets = [](context ctx) -> task<> {
        const auto ch = sluice::make_chan<int>();
        auto sender = sluice::spawn(
            [](context c, sluice::chan<int> to) -> task<> {
                static_cast<void>(co_await within(c, to.send(1)));
            },
            ctx, ch);
        co_await ch.recv();  // for ever, once the sender is cancelled
        co_await sender.join();
    };
    std::string repeat;
    try {
        sluice::explore_cancelled({.seeds = 1}, forgets);
    } catch (const sluice::simulation_failure& e) {
        repeat = e.repeat();
        CHECK(std::string(e.what()).find("recv on a channel") != std::string::npos);
    }
    REQUIRE(repeat.starts_with("SLUICE_SEED=1 SLUICE_CANCEL="));
    const std::string step = repeat.substr(repeat.rfind('=') + 1);
    ::setenv("SLUICE_CANCEL", step.c_str(), 1);
    CHECK_THROWS_AS(sluice::explore_cancelled({.seeds = 1}, forgets), sluice::simulation_failure);
    ::setenv("SLUICE_CANCEL", "1000", 1);  // after its end
    CHECK(sluice::explore_cancelled({.seeds = 3}, forgets) == 3);
    ::setenv("SLUICE_CANCEL", "0", 1);
    CHECK_THROWS_AS(sluice::explore_cancelled({.seeds = 1}, forgets), std::invalid_argument);
    ::unsetenv("SLUICE_CANCEL");
}

TEST_CASE("explore_cancelled: the same seed and step give the same run") {
    const auto program = [](std::vector<int>* order) {
        return [order](context ctx) -> task<> {
            for (int i = 0; i != 4; ++i) {
                sluice::go(
                    [](context c, std::vector<int>* to, int me) -> task<> {
                        for (int n = 0; n != 5 && !c.err(); ++n) {
                            to->push_back(me);
                            co_await sluice::yield();
                        }
                    },
                    ctx, order, i);
            }
            co_return;
        };
    };
    std::vector<int> first;
    std::vector<int> second;
    sluice::explore_cancelled({.seeds = 10}, program(&first));
    sluice::explore_cancelled({.seeds = 10}, program(&second));
    CHECK(first.size() > 100);
    CHECK(first == second);
}
