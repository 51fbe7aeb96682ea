#include <sluice/runtime/sync/mutex.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::mutex;
using sluice::task;

TEST_CASE("mutex: at most one task holds it, under stress") {
    on_workers([]() -> task<> {
        mutex mu;
        std::int64_t plain = 0;
        int inside = 0;
        sluice::wait_group group;
        for (int i = 0; i != 50; ++i) {
            group.go([&mu, &plain, &inside, i]() -> task<> {
                for (int k = 0; k != 400; ++k) {
                    const auto guard = co_await mu.lock();
                    EXPECT(++inside == 1);
                    ++plain;
                    if ((i + k) % 16 == 0) co_await sluice::yield();
                    --inside;
                }
            });
        }
        co_await group.wait();
        EXPECT(plain == 20'000);
        EXPECT(mu.try_lock().owns_lock());
    });
}

TEST_CASE("mutex: waiters get it in the order in which they came") {
    run_on(1, []() -> task<> {
        mutex mu;
        std::vector<int> order;
        sluice::wait_group group;
        auto held = co_await mu.lock();
        for (int i = 0; i != 20; ++i) {
            group.go(
                [](mutex* m, std::vector<int>* o, int n) -> task<> {
                    const auto guard = co_await m->lock();
                    o->push_back(n);
                    co_await sluice::yield();
                },
                &mu, &order, i);
            co_await sluice::yield();
        }
        held.unlock();
        co_await group.wait();
        bool sorted = order.size() == 20;
        for (std::size_t i = 0; i != order.size(); ++i)
            sorted = sorted && order[i] == static_cast<int>(i);
        EXPECT(sorted);
    });
}

TEST_CASE("mutex: whoever comes while it is free may be faster than the first in line") {
    run_on(1, []() -> task<> {
        mutex mu;
        int order = 0;
        sluice::wait_group group;
        auto held = co_await mu.lock();
        group.go([&mu, &order]() -> task<> {
            const auto guard = co_await mu.lock();
            EXPECT(++order == 2);
        });
        co_await sluice::yield();
        held.unlock();
        {
            const auto again = co_await mu.lock();
            EXPECT(++order == 1);
            co_await sluice::yield();  // the first in line competes, and stands there again
        }
        co_await group.wait();
        EXPECT(order == 2);
    });
}

TEST_CASE("mutex: who has waited for over 1 ms is handed it, and try_lock fails meanwhile") {
    on_workers([]() -> task<> {
        mutex mu;
        int got = 0;
        sluice::wait_group group;
        auto held = co_await mu.lock();
        for (int i = 0; i != 2; ++i) {
            group.go([&mu, &got]() -> task<> {
                const auto guard = co_await mu.lock();
                ++got;
                co_await sluice::sleep_for(1us);
            });
        }
        co_await sluice::sleep_for(2ms);
        held.unlock();
        auto barged = mu.try_lock();
        if (barged.owns_lock()) {
            co_await sluice::sleep_for(1ms);  // the first in line loses
            barged.unlock();
            EXPECT(!mu.try_lock().owns_lock() || got != 0);
        }
        co_await group.wait();
        EXPECT(got == 2);
        EXPECT(mu.try_lock().owns_lock());
    });
}

TEST_CASE("mutex: one that locks again and again keeps nobody out for ever") {
    on_workers([]() -> task<> {
        mutex mu;
        bool got = false;
        sluice::wait_group group;
        for (int i = 0; i != 3; ++i) {
            group.go([&mu, &got]() -> task<> {
                for (bool over = false; !over;) {
                    const auto guard = co_await mu.lock();
                    over = got;
                    co_await sluice::yield();
                }
            });
        }
        co_await sluice::yield();
        {
            const auto guard = co_await mu.lock();
            got = true;
        }
        co_await group.wait();
    });
}

TEST_CASE("mutex: one that has lost stands first in line again") {
    run_on(1, []() -> task<> {
        mutex mu;
        std::vector<int> order;
        sluice::wait_group group;
        auto held = co_await mu.lock();
        for (int i = 0; i != 2; ++i) {
            group.go(
                [](mutex* m, std::vector<int>* o, int n) -> task<> {
                    const auto guard = co_await m->lock();
                    o->push_back(n);
                },
                &mu, &order, i);
            co_await sluice::yield();
        }
        held.unlock();
        {
            const auto again = co_await mu.lock();
            co_await sluice::yield();  // the first one loses
        }
        co_await group.wait();
        EXPECT(order == std::vector{0, 1});
    });
}

TEST_CASE("mutex: it starves no longer than there is one who has waited for long") {
    run_on(1, []() -> task<> {
        mutex mu;
        int got = 0;
        sluice::wait_group group;
        auto held = co_await mu.lock();
        const auto lock_once = [](mutex* m, int* n) -> task<> {
            const auto guard = co_await m->lock();
            ++*n;
        };
        group.go(lock_once, &mu, &got);
        co_await sluice::yield();
        for (int i = 0; i != 20; ++i) {  // the first one loses until the mutex starves
            held.unlock();
            held = mu.try_lock();
            if (!held.owns_lock()) break;
            co_await sluice::yield();
        }
        EXPECT(!held.owns_lock());  // handed over
        bool barged = false;
        group.go([&mu, &got, &barged]() -> task<> {
            {
                const auto guard = co_await mu.lock();
                ++got;
            }
            barged = mu.try_lock().owns_lock();
        });
        group.go(lock_once, &mu, &got);
        co_await group.wait();
        EXPECT(got == 3);
        EXPECT(barged);
    });
}

TEST_CASE("mutex: a waiter that was woken and is cut sends the next one") {
    mutex mu;
    auto held = mu.try_lock();
    std::atomic<int> parked{0};
    std::atomic<bool> over{false};
    std::atomic<bool> got{false};
    sluice::runtime later(sluice::options{.workers = 1});
    auto first = std::make_unique<sluice::runtime>(sluice::options{.workers = 1});
    const auto wait_here = [&mu, &parked](std::atomic<bool>* flag) -> task<> {
        ++parked;
        const auto guard = co_await mu.lock();
        if (flag != nullptr) *flag = true;
    };
    first->go(wait_here, nullptr);
    first->go([&parked, &over] {  // keeps the only worker from what is woken below
        ++parked;
        while (!over) std::this_thread::yield();
    });
    while (parked != 2) std::this_thread::yield();
    later.go(wait_here, &got);
    later.block_on([] {});
    held.unlock();
    std::thread end([&first] { first.reset(); });
    std::this_thread::sleep_for(10ms);  // the shutdown has begun; if not, the first one just locks
    over = true;
    end.join();
    while (later.num_tasks() != 0) std::this_thread::yield();
    CHECK(got);
}

TEST_CASE("mutex: in a simulation that ends early nobody is woken by one that is cut") {
    sluice::simulator s;
    for (std::uint64_t seed = 0; seed != 100; ++seed) {
        mutex mu;
        CHECK_THROWS_AS(s.run(
                            seed,
                            [](mutex* m) -> task<> {
                                auto held = co_await m->lock();
                                for (int i = 0; i != 3; ++i) {
                                    sluice::go(
                                        [](mutex* other) -> task<> {
                                            const auto guard = co_await other->lock();
                                        },
                                        m);
                                }
                                for (int i = 0; i != 3; ++i) co_await sluice::yield();
                                held.unlock();
                                throw std::runtime_error("over");
                            },
                            &mu),
                        std::runtime_error);
        CHECK(mu.try_lock().owns_lock());
    }
}

TEST_CASE("mutex: letting the guard go unlocks, once") {
    on_workers([]() -> task<> {
        mutex mu;
        mutex other;
        {
            auto guard = co_await mu.lock();
            EXPECT(guard.owns_lock());
            EXPECT(!mu.try_lock().owns_lock());
            auto moved = std::move(guard);
            EXPECT(!guard.owns_lock());
            EXPECT(moved.owns_lock());
        }
        auto guard = co_await mu.lock();
        guard.unlock();
        guard.unlock();
        EXPECT(!guard.owns_lock());
        auto tried = mu.try_lock();
        EXPECT(tried.owns_lock());
        auto second = other.try_lock();
        tried = std::move(second);  // lets go of mu
        EXPECT(mu.try_lock().owns_lock());
        EXPECT(!other.try_lock().owns_lock());
    });
}

TEST_CASE("mutex: it is bound to no task: another may unlock") {
    on_workers([]() -> task<> {
        mutex mu;
        auto guard = co_await mu.lock();
        auto handle = sluice::spawn([](sluice::mutex_guard g) { g.unlock(); }, std::move(guard));
        const auto again = co_await mu.lock();
        EXPECT(again.owns_lock());
        co_await handle.join();
    });
}

TEST_CASE("mutex: a lock that loses a select or runs out of time is not taken") {
    on_workers([]() -> task<> {
        mutex mu;
        mutex free;
        for (int i = 0; i != 100; ++i) {
            auto held = co_await mu.lock();
            const auto timed = co_await sluice::within(0s, mu.lock());
            EXPECT(!timed);
            const auto raced = co_await select(mu.lock(), sluice::sleep_for(1us));
            EXPECT(raced.index() == 1);
            const auto none = co_await select(mu.lock(), sluice::otherwise);
            EXPECT(none.index() == 1);
            held.unlock();
            EXPECT(mu.try_lock().owns_lock());
            {
                const auto both = co_await select(mu.lock(), free.lock());
                EXPECT(mu.try_lock().owns_lock() == (both.index() == 1));
                EXPECT(free.try_lock().owns_lock() == (both.index() == 0));
            }
            EXPECT(mu.try_lock().owns_lock());
            EXPECT(free.try_lock().owns_lock());
        }
    });
}

TEST_CASE("mutex: locks that race with time-outs exclude each other, and none is lost") {
    on_workers([]() -> task<> {
        mutex mu;
        int inside = 0;
        sluice::wait_group group;
        for (int i = 0; i != 20; ++i) {
            group.go([&mu, &inside, i]() -> task<> {
                for (int k = 0; k != 100; ++k) {
                    const auto guard =
                        co_await sluice::within(std::chrono::microseconds((i * k) % 20), mu.lock());
                    if (!guard) continue;
                    EXPECT(++inside == 1);
                    co_await sluice::yield();
                    --inside;
                }
            });
        }
        co_await group.wait();
        EXPECT(mu.try_lock().owns_lock());
    });
}

TEST_CASE("mutex: a waiter that is cancelled leaves the queue, which nobody else then waits for") {
    on_workers([]() -> task<> {
        mutex mu;
        auto held = co_await mu.lock();
        {
            auto [ctx, cancel] = sluice::with_cancel(sluice::background());
            auto waiter = sluice::spawn(
                [](mutex* m, sluice::context c) -> task<bool> {
                    const auto guard = co_await sluice::within(c, m->lock());
                    co_return guard.has_value();
                },
                &mu, ctx);
            co_await sluice::yield();
            cancel();
            const bool got = co_await waiter.join();
            EXPECT(!got);
        }
        held.unlock();
        EXPECT(mu.try_lock().owns_lock());
    });
}
