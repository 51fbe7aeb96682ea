#include <sluice/patterns/heartbeat.hpp>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

using time_point = std::chrono::steady_clock::time_point;

// Works in steps of up to `longest`, then hangs until ctx ends.
task<> work_and_hang(context ctx, heartbeat* heart, time_point* last_beat,
                     std::chrono::milliseconds longest) {
    for (int i = 0; i < 10; ++i) {
        heart->beat();
        *last_beat = now();
        const auto step =
            std::chrono::milliseconds(random_bits() % static_cast<unsigned>(longest.count() + 1));
        const auto slept = co_await within(ctx, sleep_for(step));
        if (!slept) co_return;
    }
    co_await ctx.done();
}

task<> a_worker_that_hangs() {
    heartbeat heart(1ms);
    auto [ctx, cancel] = with_cancel(background());
    time_point last_beat;
    wait_group worker;
    worker.go(work_and_hang, ctx, &heart, &last_beat, 9ms);
    const auto silent = co_await heart.missed(background(), 10ms);
    EXPECT(silent.has_value());
    EXPECT(now() == last_beat + 10ms);
    cancel();
    co_await worker.wait();
}

}  // namespace

TEST_CASE("heartbeat: a worker that hangs is noticed in time, one that works is left alone") {
    simulated(a_worker_that_hangs, 1'000);
}

TEST_CASE("heartbeat: watchers on any worker see the silence, and receivers the pulses") {
    on_real_workers([]() -> task<> {
        heartbeat heart(1ns);
        std::atomic<int> pulses = 0;
        wait_group all;
        for (int i = 0; i < 2; ++i) {
            all.go(
                [](heartbeat* h) -> task<> {
                    for (int n = 0; n < 100; ++n) {
                        h->beat();
                        co_await yield();
                    }
                },
                &heart);
            all.go(
                [](heartbeat* h, std::atomic<int>* count) -> task<> {
                    co_await h->pulse();
                    ++*count;
                    h->beat();  // for the other one
                },
                &heart, &pulses);
            all.go(
                [](heartbeat* h) -> task<> {
                    const auto silent = co_await h->missed(background(), 1ms);
                    EXPECT(silent.has_value());
                },
                &heart);
        }
        co_await all.wait();
        EXPECT(pulses == 2);
    });
}

TEST_CASE("heartbeat: a watcher that is cancelled ends with the context's error") {
    simulated_cancelled([](context ctx) -> task<> {
        heartbeat heart(1ms);
        auto [own, stop] = with_cancel(ctx);
        time_point last_beat = now();
        int told = 0;
        wait_group all;
        all.go(work_and_hang, own, &heart, &last_beat, 9ms);
        all.go(
            [](context c, heartbeat* h, int* count) -> task<> {
                const auto silent = co_await h->missed(c, 1h);
                EXPECT(!silent && silent.error() == errc::canceled);
                ++*count;
            },
            own, &heart, &told);
        const auto silent = co_await heart.missed(ctx, 10ms);
        EXPECT(silent ? now() == last_beat + 10ms : ctx.err() == silent.error());
        const auto pulse = co_await within(ctx, heart.pulse());
        EXPECT(pulse ? *pulse : ctx.err() == pulse.error());
        stop();
        co_await all.wait();
        EXPECT(told == 1);
    });
}

TEST_CASE("heartbeat: silence counts from the latest beat, and from the making before the first") {
    simulated([]() -> task<> {
        heartbeat heart(1ms);
        co_await sleep_for(4ms);
        EXPECT(heart.silence() == 4ms);
        const auto start = now();
        const auto first = co_await heart.missed(background(), 10ms);
        EXPECT(first && now() == start + 6ms);
        const auto again = co_await heart.missed(background(), 10ms);  // it is still silent
        EXPECT(again && now() == start + 6ms);
        heart.beat();
        EXPECT(heart.silence() == 0ms);
        const auto next = co_await heart.missed(background(), 10ms);
        EXPECT(next && now() == start + 16ms);
    });
}

TEST_CASE("heartbeat: watchers have times of their own") {
    simulated([]() -> task<> {
        heartbeat heart(1h);
        std::vector<std::chrono::milliseconds> noticed;
        const auto start = now();
        wait_group all;
        for (const auto limit : {30ms, 10ms, 20ms, 0ms, -1ms}) {
            all.go([&noticed, &heart, start, limit]() -> task<> {
                const auto silent = co_await heart.missed(background(), limit);
                EXPECT(silent.has_value());
                noticed.push_back(std::chrono::floor<std::chrono::milliseconds>(now() - start));
            });
        }
        co_await sleep_for(5ms);
        heart.beat();
        co_await all.wait();
        EXPECT(noticed == std::vector{0ms, 0ms, 15ms, 25ms, 35ms});
    });
}

TEST_CASE("heartbeat: a context that has ended wins over silence") {
    simulated([]() -> task<> {
        heartbeat heart(1ms);
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        co_await sleep_for(1h);
        const auto silent = co_await heart.missed(ctx, 1ms);
        EXPECT(!silent && silent.error() == errc::canceled);
        auto [late, stop] = with_timeout(background(), 5ms);
        heart.beat();
        const auto timed = co_await heart.missed(late, 10ms);
        EXPECT(!timed && timed.error() == errc::deadline_exceeded);
    });
}

TEST_CASE("heartbeat: pulses come a period apart at least, and one is pending at most") {
    simulated([]() -> task<> {
        heartbeat heart(10ms);
        const auto take = [&heart]() -> task<bool> {
            const auto got = co_await within(0ms, heart.pulse());
            co_return got.has_value();
        };
        bool pulse = co_await take();
        EXPECT(!pulse);
        heart.beat();
        pulse = co_await take();
        EXPECT(pulse);  // the first beat
        co_await sleep_for(10ms - 1ns);
        heart.beat();
        pulse = co_await take();
        EXPECT(!pulse);
        co_await sleep_for(1ns);
        heart.beat();
        pulse = co_await take();
        EXPECT(pulse);
        for (int i = 0; i < 3; ++i) {
            co_await sleep_for(10ms);
            heart.beat();
        }
        pulse = co_await take();
        EXPECT(pulse);
        pulse = co_await take();
        EXPECT(!pulse);
    });
}

TEST_CASE("heartbeat: a pulse can be raced, and one that loses is not taken") {
    simulated([]() -> task<> {
        heartbeat heart(1ms);
        const auto none = co_await select(heart.pulse(), sleep_for(5ms));
        EXPECT(none.index() == 1);
        heart.beat();
        const auto got = co_await select(heart.pulse(), sleep_for(5ms));
        EXPECT(got.index() == 0);
    });
}

TEST_CASE("heartbeat: plain threads may beat") {
    heartbeat heart(1ns);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i)
        threads.emplace_back([&heart] {
            for (int n = 0; n < 1'000; ++n) heart.beat();
        });
    for (std::thread& t : threads) t.join();
    CHECK(heart.silence() < 1h);
    on_real_workers([&heart]() -> task<> {
        heart.beat();
        const bool pulse = co_await heart.pulse();
        EXPECT(pulse);
    });
}

TEST_CASE("heartbeat: a period that is not positive is an error") {
    CHECK_THROWS_AS(heartbeat(0ns), std::invalid_argument);
    CHECK_THROWS_AS(heartbeat(-1ns), std::invalid_argument);
}
