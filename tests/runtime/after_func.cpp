#include <sluice/runtime/context.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::after_func;
using sluice::background;
using sluice::task;
using sluice::with_cancel;

TEST_CASE("context 3.7: after_func callbacks run after the cancel function, not in it") {
    run_on(1, []() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        auto [child, cancel_child] = with_cancel(ctx);
        bool ran = false;
        auto stop = after_func(ctx, [&ran, c = child] {
            ran = true;
            EXPECT(c.err() == sluice::errc::canceled);
        });
        cancel();
        EXPECT(!ran);
        co_await sluice::yield();
        EXPECT(ran);
    });
}

TEST_CASE("context 3.12: after_func runs its function in a task of its own, which may wait") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        sluice::wait_group group;
        group.add(3);
        const auto plain = [&group] {
            EXPECT(sluice::num_tasks() >= 2);
            group.done();
        };
        const auto waiting = [&group](int n) -> task<> {
            co_await sluice::yield();
            EXPECT(n == 5);
            group.done();
        };
        const auto mover = [&group](std::unique_ptr<int> p) {
            EXPECT(*p == 6);
            group.done();
        };
        auto stop_plain = after_func(ctx, plain);
        auto stop_waiting = after_func(ctx, waiting, 5);
        auto stop_mover = after_func(ctx, mover, std::make_unique<int>(6));
        cancel();
        co_await group.wait();
    });
}

TEST_CASE("context 3.12: after_func waits for a cancel, or for a deadline, and runs then") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        auto [ctx, cancel] = with_cancel(background());
        auto [timed, cancel_timed] = sluice::with_timeout(background(), 2ms);
        std::vector<std::chrono::steady_clock::time_point> ran;
        sluice::wait_group group;
        group.add(2);
        const auto note = [&ran, &group] {
            ran.push_back(sluice::now());
            group.done();
        };
        auto stop = after_func(ctx, note);
        auto stop_timed = after_func(timed, note);
        co_await sluice::sleep_for(1ms);
        EXPECT(ran.empty());
        cancel();
        co_await group.wait();
        EXPECT(ran.size() == 2 && ran[0] == start + 1ms && ran[1] == start + 2ms);
        EXPECT(!stop());
        EXPECT(!stop_timed());
    });
}

TEST_CASE("context 3.12: after_func on a context that has ended starts at once") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        sluice::wait_group group;
        group.add(1);
        auto stop = after_func(ctx, [&group] { group.done(); });
        co_await group.wait();
        EXPECT(!stop());
    });
}

TEST_CASE("context 3.12: registrations are independent of each other") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        std::atomic<int> ran{0};
        sluice::wait_group group;
        group.add(50);
        std::vector<sluice::stop_function> stops;
        for (int i = 0; i != 100; ++i) {
            stops.push_back(after_func(ctx, [&ran, &group, i] {
                EXPECT(i % 2 == 1);
                ++ran;
                group.done();
            }));
        }
        for (std::size_t i = 0; i != 100; i += 2) {
            const bool stopped = stops[i]();
            EXPECT(stopped);
        }
        cancel();
        co_await group.wait();
        EXPECT(ran == 50);
    });
}

TEST_CASE("context 3.12: a registration stays when its stop function is let go") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        sluice::wait_group group;
        group.add(1);
        {
            auto stop = after_func(ctx, [&group] { group.done(); });
        }
        cancel();
        co_await group.wait();
    });
}

TEST_CASE("context 3.13: stop is true only if it prevented the run, and false ever after") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        auto never = after_func(ctx, [] { EXPECT(false); });
        EXPECT(never());
        EXPECT(!never());
        bool ran = false;
        sluice::wait_group group;
        group.add(1);
        auto late = after_func(ctx, [&ran, &group] {
            ran = true;
            group.done();
        });
        cancel();
        EXPECT(!late());
        co_await group.wait();
        EXPECT(ran);
        EXPECT(!late());
        EXPECT(!never());
    });
}

TEST_CASE("context 3.13: stop does not wait for a function that has started") {
    run_on(1, []() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        auto [hold, release] = with_cancel(background());
        int step = 0;
        auto stop = after_func(ctx, [h = hold, &step]() -> task<> {
            step = 1;
            co_await h.done();
            step = 2;
        });
        cancel();
        co_await sluice::yield();
        EXPECT(step == 1);
        EXPECT(!stop());
        EXPECT(step == 1);
        release();
        co_await sluice::yield();
        EXPECT(step == 2);
    });
}

TEST_CASE("context 3.13: a successful stop detaches from the parent and frees the function") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        const auto token = std::make_shared<int>(1);
        auto stop = after_func(ctx, [token] { EXPECT(false); });
        EXPECT(token.use_count() == 2);
        EXPECT(stop());
        EXPECT(token.use_count() == 1);
        co_return;
    });
}

TEST_CASE("context 3.13: of a stop and a cancel that race, exactly one wins") {
    on_workers([]() -> task<> {
        int prevented = 0;
        for (int round = 0; round != 500; ++round) {
            auto [ctx, cancel] = with_cancel(background());
            std::atomic<int> ran{0};
            sluice::wait_group group;
            group.add(1);
            auto stop = after_func(ctx, [&ran, &group] {
                ++ran;
                group.done();
            });
            auto canceller = sluice::spawn([&cancel] { cancel(); });
            if (round % 2 == 0) co_await sluice::yield();
            const bool stopped = stop();
            co_await canceller.join();
            if (stopped) group.done();
            co_await group.wait();
            EXPECT(ran == (stopped ? 0 : 1));
            prevented += stopped ? 1 : 0;
        }
        EXPECT(prevented < 500);
    });
}

TEST_CASE("context: after_func on a context that never ends does nothing but can be stopped") {
    on_workers([]() -> task<> {
        auto stop = after_func(background(), [] { EXPECT(false); });
        EXPECT(stop());
        EXPECT(!stop());
        auto dropped = after_func(background(), [] { EXPECT(false); });
        co_return;
    });
}

TEST_CASE("context: an after_func whose runtime has ended does not run") {
    auto [ctx, cancel] = with_cancel(background());
    const auto token = std::make_shared<std::atomic<bool>>(false);
    {
        sluice::runtime rt(sluice::options{.workers = 1});
        rt.block_on(
            [](sluice::context c, std::shared_ptr<std::atomic<bool>> t) -> task<> {
                auto stop = after_func(c, [t] { *t = true; });
                co_return;
            },
            ctx, token);
        rt.shutdown(0s);
    }
    cancel();
    CHECK_FALSE(*token);
    CHECK(token.use_count() == 1);
}

TEST_CASE("context: after_func outside of a task is an error") {
    auto [ctx, cancel] = with_cancel(background());
    CHECK_THROWS_AS(after_func(ctx, [] {}), std::logic_error);
    CHECK_THROWS_AS(sluice::with_timeout(background(), 1h), std::logic_error);
}
