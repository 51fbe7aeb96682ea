// Who runs when: what users can see of the scheduler.
#include <sluice/runtime/run.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <span>
#include <thread>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/rw_mutex.hpp>
#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

namespace {

/// Counts its turns until `stop`.
task<> turns(std::atomic<bool>* stop, std::atomic<std::int64_t>* count) {
    while (!*stop) {
        ++*count;
        co_await sluice::yield();
    }
}

task<> ping(sluice::chan<int> out, sluice::chan<int> in, int rounds) {
    for (int i = 0; i != rounds; ++i) {
        co_await out.send(i);
        static_cast<void>(co_await in.recv());
    }
}

task<> pong(sluice::chan<int> in, sluice::chan<int> out, int rounds) {
    for (int i = 0; i != rounds; ++i) {
        const auto v = co_await in.recv();
        co_await out.send(*v);
    }
}

}  // namespace

TEST_CASE(
    "runtime 11.4: the global queue is looked at every 61 ticks, however busy the worker is") {
    sluice::runtime rt(with_workers(1));
    std::atomic<bool> stop{false};
    std::atomic<std::int64_t> count{0};
    std::atomic<int> stage{0};
    rt.go([&stop, &count, &stage] {
        for (int i = 0; i != 10; ++i) sluice::go(turns, &stop, &count);
        stage = 1;
        while (stage != 2) std::this_thread::yield();
    });
    while (stage != 1) std::this_thread::yield();
    // The worker is held, so that these come to stand in the global queue together.
    constexpr std::size_t injected = 8;
    std::vector<std::int64_t> at;
    for (std::size_t i = 0; i != injected; ++i) {
        rt.go([&at, &count, &stop] {
            at.push_back(count);
            if (at.size() == injected) stop = true;
        });
    }
    stage = 2;
    while (rt.num_tasks() != 0) std::this_thread::yield();
    REQUIRE(at.size() == injected);
    CHECK(at[0] <= 61);
    for (std::size_t i = 1; i != injected; ++i) CHECK(at[i] - at[i - 1] == 60);
}

TEST_CASE(
    "runtime 11.4: a hand-off shares the time slice, so that two who hand over do not starve a "
    "third") {
    run_on(1, []() -> task<> {
        constexpr int rounds = 20'000;
        const auto there = sluice::make_chan<int>();
        const auto back = sluice::make_chan<int>();
        std::atomic<bool> stop{false};
        std::atomic<std::int64_t> count{0};
        sluice::wait_group pair;
        sluice::wait_group third;
        pair.go(ping, there, back, rounds);
        pair.go(pong, there, back, rounds);
        third.go(turns, &stop, &count);
        co_await pair.wait();
        // A slice has 128 steps, and a round of the two takes at least two.
        EXPECT(count >= rounds * 2 / 128 / 2);
        EXPECT(count <= rounds * 4);
        stop = true;
        co_await third.wait();
    });
}

TEST_CASE("runtime 11.4: the task made ready last runs next, ahead of those that are queued") {
    run_on(1, []() -> task<> {
        std::vector<int> order;
        sluice::wait_group group;
        for (int i = 0; i != 3; ++i) {
            group.go([](std::vector<int>* o, int n) { o->push_back(n); }, &order, i);
        }
        co_await group.wait();
        EXPECT(order.size() == 3);
        EXPECT(order[0] == 2);
        EXPECT(order[1] == 0);
        EXPECT(order[2] == 1);
    });
}

TEST_CASE("runtime 11.4: an idle worker takes tasks from one that computes") {
    sluice::runtime rt(with_workers(2));
    for (int round = 0; round != 20; ++round) {
        std::atomic<int> ran{0};
        const bool all = rt.block_on(
            [](std::atomic<int>* r) -> task<bool> {
                for (int i = 0; i != 64; ++i) sluice::go([r] { ++*r; });
                while (*r < 63)
                    std::this_thread::yield();  // holds this worker: the others must run on the
                                                // other one
                while (*r != 64) co_await sluice::yield();
                co_return true;
            },
            &ran);
        CHECK(all);
    }
    CHECK(rt.stats().steals > 0);
}

TEST_CASE("runtime 11.4: even the next slot of a worker that computes is stolen, last") {
    sluice::runtime rt(with_workers(2));
    for (int round = 0; round != 20; ++round) {
        std::atomic<int> ran{0};
        rt.block_on(
            [](std::atomic<int>* r) -> task<> {
                sluice::go([r] { EXPECT(r->fetch_add(1) == 0); });  // gives its slot to the next
                sluice::go([r] { EXPECT(r->fetch_add(1) == 1); });
                while (*r != 2) std::this_thread::yield();
                co_return;
            },
            &ran);
        CHECK(ran == 2);
    }
    report_expectations();
}

TEST_CASE("runtime: of two tasks that yield to each other, an idle worker takes over one") {
    sluice::runtime rt(with_workers(2));
    for (int round = 0; round != 20; ++round) {
        const bool apart = rt.block_on([]() -> task<bool> {
            const auto compute = [] {
                for (const auto end = std::chrono::steady_clock::now() + 100us;
                     std::chrono::steady_clock::now() < end;) {
                }
            };
            for (int i = 0; i != 10; ++i) compute();  // the other worker goes to sleep
            std::atomic<std::thread::id> other;
            std::atomic<bool> stop{false};
            sluice::wait_group tasks;
            tasks.go([&compute, &other, &stop]() -> task<> {
                while (!stop) {
                    other = std::this_thread::get_id();
                    compute();
                    co_await sluice::yield();
                }
            });
            do {
                co_await sluice::yield();
                compute();
            } while (other.load() == std::this_thread::get_id());
            stop = true;
            co_await tasks.wait();
            co_return true;
        });
        CHECK(apart);
    }
}

TEST_CASE("runtime: a worker in a long computation holds up no timer and no queued task") {
    sluice::runtime rt(with_workers(2));
    std::atomic<bool> woken{false};
    std::atomic<bool> released{false};
    rt.block_on(
        [](std::atomic<bool>* w, std::atomic<bool>* r) -> task<> {
            sluice::go(
                [](std::atomic<bool>* to, std::atomic<bool>* end) -> task<> {
                    co_await sluice::sleep_for(2ms);
                    *to = true;
                    while (!*end) co_await sluice::sleep_for(1ms);
                },
                w, r);
            co_await sluice::yield();  // the sleeper's timer is perhaps this worker's
            while (!*w) {
            }
            *r = true;
        },
        &woken, &released);
    CHECK(woken);
    CHECK(rt.shutdown(1min).cut.empty());
}

TEST_CASE("runtime: a task whose operations are always ready lets others run") {
    run_on(1, []() -> task<> {
        const auto ch = sluice::make_chan<int>(1);
        bool ran = false;
        sluice::go([&ran] { ran = true; });
        int steps = 0;
        while (!ran && steps < 10'000) {
            co_await ch.send(1);
            static_cast<void>(co_await ch.recv());
            ++steps;
        }
        EXPECT(ran);
        EXPECT(steps <= 128);
    });
}

TEST_CASE("runtime: a task whose slice is used up lets others run before it locks, not after") {
    run_on(1, []() -> task<> {
        constexpr int rounds = 20'000;
        sluice::mutex mutex;
        sluice::rw_mutex rw;
        sluice::semaphore semaphore(1);
        std::atomic<bool> stop{false};
        std::int64_t looks = 0;
        auto watch = sluice::spawn(
            [](sluice::mutex* m, sluice::rw_mutex* r, sluice::semaphore* s, std::atomic<bool>* end,
               std::int64_t* count) -> task<> {
                for (; !*end; ++*count) {
                    EXPECT(m->try_lock().owns_lock());
                    EXPECT(r->try_lock().owns_lock());
                    EXPECT(s->try_acquire().held());
                    co_await sluice::yield();
                }
            },
            &mutex, &rw, &semaphore, &stop, &looks);
        for (int i = 0; i != rounds; ++i) static_cast<void>(co_await mutex.lock());
        for (int i = 0; i != rounds; ++i) static_cast<void>(co_await rw.lock());
        for (int i = 0; i != rounds; ++i) static_cast<void>(co_await rw.lock_shared());
        for (int i = 0; i != rounds; ++i) static_cast<void>(co_await semaphore.acquire());
        const auto ctx = sluice::background();
        for (int i = 0; i != rounds; ++i) static_cast<void>(co_await within(ctx, mutex.lock()));
        for (int i = 0; i != rounds; ++i)
            static_cast<void>(co_await select(rw.lock_shared(), semaphore.acquire()));
        for (int i = 0; i != rounds; ++i) {
            std::array cases{sluice::select_case(mutex.lock())};
            static_cast<void>(co_await select(std::span(cases)));
        }
        EXPECT(looks >= 7 * rounds / 128 / 2);
        stop = true;
        co_await watch.join();
    });
}

TEST_CASE("stats: they tell workers, driver, tasks and what was done") {
    sluice::runtime rt(with_workers(2));
    const sluice::runtime_stats before = rt.stats();
    CHECK(before.workers == 2);
    CHECK((before.driver == "io_uring" || before.driver == "epoll"));
    CHECK_FALSE(before.driver_reason.empty());
    CHECK(before.tasks == 0);
    for (int i = 0; i != 100; ++i) rt.block_on([]() -> task<> { co_await sluice::yield(); });
    const sluice::runtime_stats inside =
        rt.block_on([]() -> task<sluice::runtime_stats> { co_return sluice::stats(); });
    CHECK(inside.tasks >= 1);
    CHECK(inside.started >= 101);
    while (rt.num_tasks() != 0) std::this_thread::yield();
    const sluice::runtime_stats after = rt.stats();
    CHECK(after.tasks == 0);
    CHECK(after.started == 101);
    CHECK(after.switches >= 201);
}

TEST_CASE("stats outside of a task is an error for the free function") {
    CHECK_THROWS_AS(sluice::stats(), std::logic_error);
}

TEST_CASE("runtime 11.3: num_tasks counts user tasks, and nothing of the runtime's own") {
    on_workers([]() -> task<> {
        EXPECT(sluice::num_tasks() == 1);
        auto [ctx, cancel] = sluice::with_timeout(sluice::background(), 1h);
        auto stop = after_func(ctx, [] {});
        EXPECT(sluice::num_tasks() == 1);
        const auto held = sluice::make_chan<int>();
        sluice::wait_group group;
        for (int i = 0; i != 10; ++i) {
            group.go([](sluice::chan<int> c) -> task<> { static_cast<void>(co_await c.recv()); },
                     held);
        }
        EXPECT(sluice::num_tasks() == 11);
        held.close();
        co_await group.wait();
        while (sluice::num_tasks() != 1) co_await sluice::yield();
    });
}
