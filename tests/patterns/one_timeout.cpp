#include <sluice/runtime/context.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/cond.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

using time_point = std::chrono::steady_clock::time_point;

struct ends {
    std::atomic<int> expired = 0;
    std::atomic<int> canceled = 0;
    std::atomic<int> elsewhen = 0;  // not at the time it should have been
};

void count(ends& e, std::error_code why, time_point due) {
    if (now() != due) ++e.elsewhen;
    if (why == errc::deadline_exceeded) ++e.expired;
    if (why == errc::canceled) ++e.canceled;
}

task<> wait_in_vain(context ctx, chan<int> from, time_point due, ends& e) {
    const auto got = co_await within(ctx, from.recv());
    EXPECT(!got);
    if (!got) count(e, got.error(), due);
}

task<> all_end_at_the_deadline(int tasks) {
    ends e;
    const time_point due = now() + 5s;
    auto [ctx, cancel] = with_deadline(background(), due);
    const auto from = make_chan<int>();
    wait_group group;
    for (int i = 0; i < tasks; ++i) group.go(wait_in_vain, ctx, from, due, std::ref(e));
    EXPECT(num_tasks() == 1u + static_cast<std::size_t>(tasks));
    co_await group.wait();
    EXPECT(now() == due);
    EXPECT(e.expired == tasks);
    EXPECT(e.elsewhen == 0);
    while (num_tasks() != 1) co_await yield();  // fails as a simulation without end
    EXPECT(now() == due);
}

}  // namespace

TEST_CASE("one_timeout: 10 tasks under one timeout end at the deadline, and none is left") {
    simulated([] { return all_end_at_the_deadline(10); }, 1'000);
}

TEST_CASE("one_timeout: 10,000 tasks under one timeout end at the deadline, and none is left") {
    simulated([] { return all_end_at_the_deadline(10'000); }, 5);
}

TEST_CASE("one_timeout: on real workers 10,000 tasks end by the timeout too, and none is left") {
    on_real_workers([]() -> task<> {
        ends e;
        auto [ctx, cancel] = with_timeout(background(), 1ms);
        const auto from = make_chan<int>();
        wait_group group;
        for (int i = 0; i < 10'000; ++i)
            group.go(wait_in_vain, ctx, from, time_point(), std::ref(e));
        co_await group.wait();
        EXPECT(e.expired == 10'000);
        while (num_tasks() != 1) co_await yield();
    });
}

TEST_CASE("one_timeout: whatever the tasks wait for, they end at the deadline") {
    simulated(
        []() -> task<> {
            ends e;
            const time_point due = now() + 3s;
            auto [ctx, cancel] = with_deadline(background(), due);
            mutex held;
            mutex free_one;
            semaphore taken(1);
            cond never(free_one);
            wait_group unfinished;
            unfinished.add();
            const auto lock = co_await held.lock();
            const auto permits = co_await taken.acquire();
            const auto unread = make_chan<int>();
            wait_group group;
            const auto start = [&](auto waiting) {
                group.go(std::move(waiting), ctx, due, std::ref(e));
            };
            start([](context c, time_point at, ends& to) -> task<> {
                const auto end = co_await within(c, sleep_for(1h));
                count(to, end.error(), at);
            });
            start([&held](context c, time_point at, ends& to) -> task<> {
                const auto end = co_await within(c, held.lock());
                count(to, end.error(), at);
            });
            start([&taken](context c, time_point at, ends& to) -> task<> {
                const auto end = co_await within(c, taken.acquire());
                count(to, end.error(), at);
            });
            start([&unfinished](context c, time_point at, ends& to) -> task<> {
                const auto end = co_await within(c, unfinished.wait());
                count(to, end.error(), at);
            });
            start([unread](context c, time_point at, ends& to) -> task<> {
                const auto end = co_await within(c, unread.send(1));
                count(to, end.error(), at);
            });
            start([&never, &free_one](context c, time_point at, ends& to) -> task<> {
                auto guard = co_await free_one.lock();
                const auto end = co_await within(c, never.wait(guard));
                count(to, end.error(), at);
            });
            start([](context c, time_point at, ends& to) -> task<> {
                co_await c.done();
                count(to, c.err(), at);
            });
            co_await group.wait();
            EXPECT(e.expired == 7);
            EXPECT(e.elsewhen == 0);
            unfinished.done();
        },
        200);
}

TEST_CASE("one_timeout: a context below with a longer timeout ends with it, a shorter one before") {
    simulated([]() -> task<> {
        const time_point start = now();
        auto [ctx, cancel] = with_timeout(background(), 2s);
        auto [longer, cancel_longer] = with_timeout(ctx, 1h);
        auto [shorter, cancel_shorter] = with_timeout(ctx, 1s);
        co_await shorter.done();
        EXPECT(now() - start == 1s);
        EXPECT(!ctx.err());
        co_await longer.done();
        EXPECT(now() - start == 2s);
        EXPECT(longer.err() == errc::deadline_exceeded);
    });
}

namespace {

// Whatever ends the context, its tasks end with it, each with the same error.
task<> cancelled_before_the_timeout(context outer) {
    ends e;
    const time_point due = now() + 1s;
    auto [ctx, cancel] = with_deadline(outer, due);
    wait_group group;
    const auto from = make_chan<int>();
    for (int i = 0; i < 10; ++i) group.go(wait_in_vain, ctx, from, due, std::ref(e));
    co_await group.wait();
    EXPECT(e.expired + e.canceled == 10);
    EXPECT(e.expired == 0 || e.canceled == 0);
    if (e.expired != 0) EXPECT(e.elsewhen == 0);
    if (e.canceled != 0) EXPECT(now() <= due);
}

}  // namespace

TEST_CASE("one_timeout: cancelled at any step before, all tasks end") {
    simulated_cancelled(cancelled_before_the_timeout);
}

TEST_CASE("one_timeout: after_func takes no task while it waits, a watcher takes one") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 1h);
        std::array<std::atomic<int>, 100> stopped{};
        const std::size_t before = num_tasks();

        wait_group group;
        for (auto& s : stopped) {
            group.add();
            after_func(ctx, [&s, &group] {
                ++s;
                group.done();
            });
        }
        EXPECT(num_tasks() == before);
        for (auto& s : stopped) {
            group.go(
                [](context c, std::atomic<int>& to) -> task<> {
                    co_await c.done();
                    ++to;
                },
                ctx, std::ref(s));
        }
        EXPECT(num_tasks() == before + stopped.size());
        for (const auto& s : stopped) EXPECT(s == 0);

        cancel();
        co_await group.wait();
        for (const auto& s : stopped) EXPECT(s == 2);
        while (num_tasks() != before) co_await yield();
    });
}

TEST_CASE("one_timeout: after_func calls at the deadline, once, and not what was stopped") {
    simulated(
        []() -> task<> {
            const time_point due = now() + 5s;
            auto [ctx, cancel] = with_deadline(background(), due);
            std::array<int, 1'000> calls{};
            wait_group group;
            std::vector<stop_function> stops;
            for (int& c : calls) {
                group.add();
                stops.push_back(after_func(ctx, [&c, &group, due] {
                    EXPECT(now() == due);
                    ++c;
                    group.done();
                }));
            }
            for (std::size_t i = 0; i != calls.size(); i += 2) {
                const bool stops_it = stops[i]();
                EXPECT(stops_it);
                if (stops_it) group.done();
            }
            co_await group.wait();
            EXPECT(now() == due);
            for (std::size_t i = 0; i != calls.size(); ++i)
                EXPECT(calls[i] == static_cast<int>(i % 2));
            EXPECT(!stops[1]());
        },
        50);
}

TEST_CASE("one_timeout: a stopped after_func lets go of what it holds, long before the deadline") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 1h);
        const auto held = std::make_shared<int>(1);
        const auto stop = after_func(ctx, [held] { EXPECT(false); });
        EXPECT(held.use_count() == 2);
        EXPECT(stop());
        EXPECT(held.use_count() == 1);
        co_await sleep_for(2h);
    });
}
