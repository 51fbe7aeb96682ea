// What Go's own tests of locks, conditions and groups assert beyond the numbered promises: see
// docs/go-tests.md.
#include <sluice/runtime/sync/rw_mutex.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/cond.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/once.hpp>
#include <sluice/runtime/sync/pool.hpp>
#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace sluice;

TEST_CASE("mutex: locks and tries in a mix exclude each other") {
    on_workers([]() -> task<> {
        mutex mu;
        EXPECT(mu.try_lock().owns_lock());
        {
            const auto guard = co_await mu.lock();
            EXPECT(!mu.try_lock().owns_lock());
        }
        int inside = 0;
        wait_group all;
        for (int i = 0; i < 10; ++i) {
            all.go(
                [](mutex* m, int* in) -> task<> {
                    for (int k = 0; k < 500; ++k) {
                        if (k % 3 == 0) {
                            const auto tried = m->try_lock();
                            if (!tried.owns_lock()) continue;
                            EXPECT(++*in == 1);
                            if (k % 5 == 0) co_await yield();
                            --*in;
                        } else {
                            const auto guard = co_await m->lock();
                            EXPECT(++*in == 1);
                            if (k % 5 == 0) co_await yield();
                            --*in;
                        }
                    }
                },
                &mu, &inside);
        }
        co_await all.wait();
        EXPECT(mu.try_lock().owns_lock());
    });
}

TEST_CASE("mutex: a task that takes it again and again does not keep another from it") {
    on_workers([]() -> task<> {
        mutex mu;
        std::atomic<bool> over = false;
        wait_group all;
        all.go(
            [](mutex* m, std::atomic<bool>* stop) -> task<> {
                while (!*stop) {
                    const auto guard = co_await m->lock();
                    co_await sleep_for(100us);
                }
            },
            &mu, &over);
        for (int i = 0; i < 10; ++i) {
            co_await sleep_for(100us);
            const auto guard = co_await mu.lock();
        }
        over = true;
        co_await all.wait();
    });
}

namespace {

// What each does is fatal, and the start of what is then said.
struct misuse {
    std::string says;
    std::function<void()> done;
};

const std::array<misuse, 6> misuses{
    misuse{"unlock of a mutex that is not locked",
           [] {
               mutex mu;
               mu.try_lock().unlock();
               mu.unlock();
           }},
    misuse{"unlock of an rw_mutex that is not locked",
           [] {
               rw_mutex mu;
               mu.unlock();
           }},
    misuse{"unlock of an rw_mutex that is not locked",
           [] {
               rw_mutex mu;
               mu.try_lock().unlock();
               mu.unlock();
           }},
    misuse{"unlock_shared of an rw_mutex that no reader holds",
           [] {
               rw_mutex mu;
               mu.unlock_shared();
           }},
    misuse{"unlock_shared of an rw_mutex that no reader holds",
           [] {
               rw_mutex mu;
               mu.try_lock_shared().unlock();
               mu.unlock_shared();
           }},
    misuse{"unlock of a mutex that is not locked",
           [] {
               mutex mu;
               auto guard = mu.try_lock();
               mu.unlock();
               guard.unlock();
           }},
};

void dies_of(const misuse& wrong) {
    const child_end end = run_child(wrong.done);
    CHECK(aborts_saying(end, wrong.says));
}

}  // namespace

TEST_CASE("mutex: unlocking it a second time is fatal") {
    dies_of(misuses[0]);
}
TEST_CASE("rw_mutex: unlocking one that was never locked is fatal") {
    dies_of(misuses[1]);
}
TEST_CASE("rw_mutex: unlocking it a second time is fatal") {
    dies_of(misuses[2]);
}
TEST_CASE("rw_mutex: unlock_shared of one that was never locked is fatal") {
    dies_of(misuses[3]);
}
TEST_CASE("rw_mutex: unlock_shared a second time is fatal") {
    dies_of(misuses[4]);
}
TEST_CASE("mutex: a guard whose mutex was unlocked behind its back is fatal") {
    dies_of(misuses[5]);
}

TEST_CASE("rw_mutex: as many readers as come hold it at the same time") {
    on_workers([]() -> task<> {
        for (const int readers : {1, 3, 4, 50}) {
            rw_mutex mu;
            wait_group holding;
            wait_group all;
            holding.add(readers);
            for (int i = 0; i < readers; ++i) {
                all.go(
                    [](rw_mutex* m, wait_group* everybody) -> task<> {
                        const auto guard = co_await m->lock_shared();
                        everybody->done();
                        co_await everybody->wait();  // for ever, if one must wait for another
                    },
                    &mu, &holding);
            }
            co_await all.wait();
            EXPECT(mu.try_lock().owns_lock());
        }
    });
}

TEST_CASE("rw_mutex: a try gets it where it is free for it, and only there") {
    rw_mutex mu;
    {
        const auto writing = mu.try_lock();
        CHECK(writing.owns_lock());
        CHECK_FALSE(mu.try_lock().owns_lock());
        CHECK_FALSE(mu.try_lock_shared().owns_lock());
    }
    auto one = mu.try_lock_shared();
    auto two = mu.try_lock_shared();
    CHECK(one.owns_lock());
    CHECK(two.owns_lock());
    CHECK_FALSE(mu.try_lock().owns_lock());
    one.unlock();
    CHECK_FALSE(mu.try_lock().owns_lock());
    two.unlock();
    CHECK(mu.try_lock().owns_lock());
}

TEST_CASE("cond: a broadcast that races with a new waiter wakes the one who waited before it") {
    on_workers([]() -> task<> {
        for (int round = 0; round < 200; ++round) {
            mutex mu;
            cond changed(mu);
            bool waits = false;
            bool done = false;
            wait_group first;
            wait_group others;
            first.go([&]() -> task<> {
                auto guard = co_await mu.lock();
                waits = true;
                co_await changed.wait(guard);
            });
            for (bool there = false; !there;) {
                co_await yield();
                const auto guard = co_await mu.lock();
                there = waits;
            }
            others.go([&] { changed.broadcast(); });
            others.go([&]() -> task<> {
                auto guard = co_await mu.lock();
                while (!done) co_await changed.wait(guard);
            });
            co_await first.wait();  // for ever, if the newcomer took its wakeup
            {
                const auto guard = co_await mu.lock();
                done = true;
            }
            changed.broadcast();
            co_await others.wait();
        }
    });
}

TEST_CASE("cond 4.2: a newcomer does not take the wakeup of one who was signalled before it came") {
    on_workers([]() -> task<> {
        constexpr int newcomers = 100;
        mutex mu;
        cond changed(mu);
        const auto running = make_chan<>(newcomers);
        const auto awake = make_chan<int>(newcomers);
        wait_group all;
        for (int i = 0; i < newcomers; ++i) {
            all.go(
                [](mutex* m, cond* c, chan<> waits, chan<int> woken, int me) -> task<> {
                    auto guard = co_await m->lock();
                    co_await waits.send();
                    co_await c->wait(guard);
                    co_await woken.send(me);
                },
                &mu, &changed, running, awake, i);
            if (i > 0) {
                const auto before = co_await awake.recv();
                EXPECT(before == i - 1);
            }
            static_cast<void>(co_await running.recv());
            const auto guard = co_await mu.lock();  // so it waits
            changed.signal();
        }
        co_await all.wait();
    });
}

namespace {

// Waiters that wait again and again.
struct audience {
    mutex mu;
    cond changed{mu};
    chan<int> running;
    chan<int> awake;
    bool over = false;

    explicit audience(int size) : running(make_chan<int>(size)), awake(make_chan<int>(size)) {}
};

task<> attend(audience* a, int me) {
    auto guard = co_await a->mu.lock();
    while (!a->over) {
        co_await a->running.send(me);
        co_await a->changed.wait(guard);
        co_await a->awake.send(me);
    }
}

task<> broadcast_to(int waiters, int rounds) {
    audience a(waiters);
    wait_group all;
    for (int i = 0; i < waiters; ++i) all.go(attend, &a, i);
    for (int round = 1; round <= rounds; ++round) {
        // For ever, unless all of them wait again.
        for (int i = 0; i < waiters; ++i) static_cast<void>(co_await a.running.recv());
        {
            const auto guard = co_await a.mu.lock();
            a.over = round == rounds;
            EXPECT(!a.awake.try_recv());
            a.changed.broadcast();
        }
        std::vector<bool> seen(static_cast<std::size_t>(waiters));
        for (int i = 0; i < waiters; ++i) {
            const auto who = co_await a.awake.recv();
            const auto place = static_cast<std::size_t>(*who);
            EXPECT(!seen[place]);
            seen[place] = true;
        }
    }
    co_await all.wait();
    EXPECT(!a.running.try_recv());
}

}  // namespace

TEST_CASE("cond 4.2: a broadcast wakes each of 200 who wait again and again once in a round") {
    on_real_workers([]() -> task<> { return broadcast_to(200, 200); });
    simulated([]() -> task<> { return broadcast_to(20, 20); });
}

TEST_CASE("cond: in virtual time a wait takes as long as what signals or broadcasts sleeps") {
    simulated([]() -> task<> {
        const auto wait_for_it = [](mutex* m, cond* c) -> task<> {
            auto guard = co_await m->lock();
            co_await c->wait(guard);
        };
        mutex mu;
        cond changed(mu);
        wait_group all;
        const auto start = now();
        all.go(
            [](mutex* m, cond* c) -> task<> {
                co_await sleep_for(1ms);
                {
                    const auto guard = co_await m->lock();
                    c->signal();
                }
                co_await sleep_for(1ms);
                const auto guard = co_await m->lock();
                c->broadcast();
            },
            &mu, &changed);
        co_await wait_for_it(&mu, &changed);
        EXPECT(now() == start + 1ms);
        all.go(wait_for_it, &mu, &changed);
        co_await wait_for_it(&mu, &changed);
        EXPECT(now() == start + 2ms);
        co_await all.wait();
        EXPECT(now() == start + 2ms);
    });
}

TEST_CASE("wait_group: those who wait go on with the last done, and not before") {
    on_workers([]() -> task<> {
        constexpr int tasks = 16;
        wait_group arrived;
        wait_group released;
        for (int round = 0; round < 8; ++round) {
            std::atomic<int> through = 0;
            wait_group all;
            arrived.add(tasks);
            released.add(tasks);
            for (int i = 0; i < tasks; ++i) {
                all.go([&]() -> task<> {
                    arrived.done();
                    co_await released.wait();
                    ++through;
                });
            }
            co_await arrived.wait();
            for (int i = 0; i < tasks; ++i) {
                co_await yield();
                EXPECT(through == 0);
                released.done();
            }
            co_await all.wait();
            EXPECT(through == tasks);
        }
    });
}

TEST_CASE("wait_group 4.2: whom zero has released stays so, if it is used again before he runs") {
    run_on(1, []() -> task<> {
        wait_group group;
        bool released = false;
        for (int round = 0; round < 10; ++round) {
            released = false;
            group.add(1);
            go(
                [](wait_group* g, bool* through) -> task<> {
                    co_await g->wait();
                    *through = true;
                },
                &group, &released);
            co_await yield();
            group.done();
            group.add(1);  // the waiter is ready, and has not run
            EXPECT(!released);
            co_await yield();
            EXPECT(released);
            group.done();
            co_await group.wait();
        }
    });
}

namespace {

template <class... Ts>
constexpr bool stay_where_they_are =
    (!(std::is_copy_constructible_v<Ts> || std::is_copy_assignable_v<Ts> ||
       std::is_move_constructible_v<Ts> || std::is_move_assignable_v<Ts>) &&
     ...);

}  // namespace

TEST_CASE("sync: what tasks wait on can be neither copied nor moved") {
    STATIC_REQUIRE(
        stay_where_they_are<mutex, rw_mutex, cond, wait_group, semaphore, once, pool<int>>);
}
