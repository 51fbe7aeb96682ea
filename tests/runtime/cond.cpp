#include <sluice/runtime/sync/cond.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::cond;
using sluice::mutex;
using sluice::task;

namespace {

/// A mutex, a cond, and what tests count under them.
struct place {
    mutex mu;
    cond changed{mu};
    int waiting = 0;
    int woken = 0;
    std::vector<int> order;
};

task<> wait_once(place* p, int n) {
    auto guard = co_await p->mu.lock();
    ++p->waiting;
    co_await p->changed.wait(guard);
    EXPECT(guard.owns_lock());
    EXPECT(!p->mu.try_lock().owns_lock());
    ++p->woken;
    p->order.push_back(n);
}

task<> until_waiting(place* p, int n) {
    for (;;) {
        const auto guard = co_await p->mu.lock();
        if (p->waiting == n) co_return;
        co_await sluice::yield();
    }
}

task<int> woken(place* p) {
    for (int i = 0; i != 100; ++i) co_await sluice::yield();
    const auto guard = co_await p->mu.lock();
    co_return p->woken;
}

}  // namespace

TEST_CASE("cond 4.2: signal wakes one, whoever waits longest; nobody is woken without a signal") {
    on_workers([]() -> task<> {
        place p;
        sluice::wait_group group;
        for (int i = 0; i != 10; ++i) {
            group.go(wait_once, &p, i);
            co_await until_waiting(&p, i + 1);
        }
        for (int i = 0; i != 10; ++i) {
            const int before = co_await woken(&p);
            EXPECT(before == i);
            p.changed.signal();
            while (co_await woken(&p) == i) {
            }
        }
        co_await group.wait();
        for (int i = 0; i != 10; ++i) EXPECT(p.order[static_cast<std::size_t>(i)] == i);
        p.changed.signal();
        p.changed.broadcast();
    });
}

TEST_CASE("cond 4.2: broadcast wakes all who wait then, and nobody who comes later") {
    on_workers([]() -> task<> {
        place p;
        sluice::wait_group group;
        for (int i = 0; i != 50; ++i) group.go(wait_once, &p, i);
        co_await until_waiting(&p, 50);
        {
            const auto guard = co_await p.mu.lock();
            p.changed.broadcast();
            EXPECT(p.woken == 0);  // they lock again first
        }
        co_await group.wait();
        group.go(wait_once, &p, 50);
        co_await until_waiting(&p, 51);
        const int all = co_await woken(&p);
        EXPECT(all == 50);
        p.changed.broadcast();
        co_await group.wait();
        EXPECT(p.woken == 51);
    });
}

TEST_CASE("cond 4.1: a wait takes its place before the mutex is released, so no signal is lost") {
    on_workers([]() -> task<> {
        place p;
        std::deque<int> items;
        long sum = 0;
        sluice::wait_group group;
        constexpr int count = 5'000;
        for (int c = 0; c != 4; ++c) {
            group.go([&p, &items, &sum]() -> task<> {
                for (int i = 0; i != count; ++i) {
                    auto guard = co_await p.mu.lock();
                    while (items.empty()) co_await p.changed.wait(guard);
                    sum += items.front();
                    items.pop_front();
                }
            });
            group.go([&p, &items]() -> task<> {
                for (int i = 0; i != count; ++i) {
                    {
                        const auto guard = co_await p.mu.lock();
                        items.push_back(i);
                        if (i % 2 == 0) p.changed.signal();
                    }
                    if (i % 2 != 0) p.changed.signal();  // without the mutex
                }
            });
        }
        co_await group.wait();
        EXPECT(sum == 4L * count * (count - 1) / 2);
    });
}

TEST_CASE("cond: with a predicate it waits until that holds, and not at all if it does") {
    on_workers([]() -> task<> {
        place p;
        int asked = 0;
        auto guard = co_await p.mu.lock();
        co_await p.changed.wait(guard, [] { return true; });
        EXPECT(guard.owns_lock());
        sluice::wait_group group;
        group.go([&p]() -> task<> {
            for (int i = 0; i != 20; ++i) {
                const auto held = co_await p.mu.lock();
                ++p.waiting;
                p.changed.signal();
            }
        });
        co_await p.changed.wait(guard, [&p, &asked] {
            ++asked;
            EXPECT(!p.mu.try_lock().owns_lock());
            return p.waiting == 20;
        });
        EXPECT(guard.owns_lock());
        EXPECT(p.waiting == 20);
        EXPECT(asked <= 21);
        guard.unlock();
        co_await group.wait();
    });
}

TEST_CASE("cond: the predicate's exception ends the wait, with the mutex held") {
    on_workers([]() -> task<> {
        place p;
        auto guard = co_await p.mu.lock();
        std::string text;
        try {
            co_await p.changed.wait(guard, []() -> bool { throw std::runtime_error("no"); });
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        EXPECT(text == "no");
        EXPECT(guard.owns_lock());
    });
}

TEST_CASE("cond 4.3: a bounded wait that fails holds the mutex again, if it must wait for it too") {
    on_workers([]() -> task<> {
        place p;
        auto guard = co_await p.mu.lock();
        const auto late = co_await sluice::within(1ms, p.changed.wait(guard));
        EXPECT(late.error() == sluice::errc::deadline_exceeded);
        EXPECT(guard.owns_lock());
        const auto tried = co_await sluice::within(0s, p.changed.wait(guard, [] { return false; }));
        EXPECT(tried.error() == sluice::errc::deadline_exceeded);
        EXPECT(guard.owns_lock());

        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        bool released = false;
        sluice::wait_group group;
        group.go([&p, &released, stop = std::move(cancel)]() mutable -> task<> {
            const auto held = co_await p.mu.lock();
            stop();
            for (int i = 0; i != 100; ++i) co_await sluice::yield();
            released = true;
        });
        const auto canceled = co_await sluice::within(ctx, p.changed.wait(guard));
        EXPECT(canceled.error() == sluice::errc::canceled);
        EXPECT(guard.owns_lock());
        EXPECT(released);
        guard.unlock();
        co_await group.wait();
        EXPECT(p.mu.try_lock().owns_lock());
    });
}

TEST_CASE("cond: a wait that loses a race takes no signal from the others") {
    on_workers([]() -> task<> {
        place p;
        const auto go_on = sluice::make_chan<int>();
        sluice::wait_group group;
        group.go([&p, go_on]() -> task<> {
            auto guard = co_await p.mu.lock();
            ++p.waiting;
            const auto won = co_await select(p.changed.wait(guard), go_on.recv());
            EXPECT(won.index() == 1);
            EXPECT(guard.owns_lock());
            ++p.waiting;
        });
        co_await until_waiting(&p, 1);
        group.go(wait_once, &p, 0);
        co_await until_waiting(&p, 2);
        co_await go_on.send(1);
        co_await until_waiting(&p, 3);
        p.changed.signal();
        co_await group.wait();
        EXPECT(p.woken == 1);
    });
}

TEST_CASE("cond: in a select it wins with the mutex held, or gives way to what is ready") {
    on_workers([]() -> task<> {
        place p;
        const auto full = sluice::make_chan<int>(1);
        co_await full.send(7);
        auto guard = co_await p.mu.lock();
        const auto ready = co_await select(p.changed.wait(guard), full.recv());
        EXPECT(ready.index() == 1);
        EXPECT(guard.owns_lock());
        const auto none =
            co_await select(p.changed.wait(guard, [] { return false; }), sluice::otherwise);
        EXPECT(none.index() == 1);
        EXPECT(guard.owns_lock());
        sluice::wait_group group;
        group.go([&p]() -> task<> {
            const auto held = co_await p.mu.lock();
            p.changed.signal();
            co_await sluice::yield();
            p.waiting = 1;
        });
        const auto won = co_await select(full.recv(), p.changed.wait(guard));
        EXPECT(won.index() == 1);
        EXPECT(guard.owns_lock());
        EXPECT(p.waiting == 1);
        guard.unlock();
        co_await group.wait();
    });
}

TEST_CASE("cond: a predicate that does not hold leaves the other cases their turn") {
    on_workers([]() -> task<> {
        place p;
        mutex other;
        auto guard = co_await p.mu.lock();
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        cancel();
        const auto no = [] { return false; };
        for (int i = 0; i != 20; ++i) {
            const auto ended =
                co_await select(p.changed.wait(guard, no), ctx.done(), sluice::otherwise);
            EXPECT(ended.index() == 1);
            {
                const auto free =
                    co_await select(p.changed.wait(guard, no), other.lock(), sluice::otherwise);
                EXPECT(free.index() == 1);
            }
            auto held = co_await other.lock();
            sluice::wait_group group;
            group.go([&held]() -> task<> {
                held.unlock();
                co_return;
            });
            const auto locked = co_await select(p.changed.wait(guard, no), other.lock());
            EXPECT(locked.index() == 1);
            EXPECT(guard.owns_lock());
            co_await group.wait();
        }
    });
}

TEST_CASE("cond: a select that starts over after a predicate did not hold has its chance anew") {
    std::array<int, 3> won{};
    sluice::simulator simulator;
    for (std::uint64_t seed = 0; seed != 400; ++seed) {
        simulator.run(seed, [&won]() -> task<> {
            mutex m;
            cond changed(m);
            int looks = 0;
            sluice::wait_group group;
            const auto x = sluice::make_chan<int>(1);
            const auto y = sluice::make_chan<int>(1);
            const auto look = [&] {
                if (++looks == 2) {
                    x.try_send(1);
                    y.try_send(1);
                }
                return false;
            };
            group.go([&]() -> task<> {
                auto guard = co_await m.lock();
                const auto got = co_await select(changed.wait(guard, look), x.recv(), y.recv());
                ++won[got.index()];
            });
            co_await sluice::sleep_for(1ms);
            changed.broadcast();
            co_await group.wait();
        });
    }
    INFO("x " << won[1] << " times, y " << won[2]);
    CHECK(won[0] == 0);
    CHECK(won[1] > 100);
    CHECK(won[2] > 100);
}

TEST_CASE("cond: bounded by no time it is a try, and keeps the mutex all the while") {
    on_workers([]() -> task<> {
        place p;
        bool seen = false;
        auto guard = co_await p.mu.lock();
        sluice::wait_group group;
        group.go([&p, &seen]() -> task<> {
            const auto held = co_await p.mu.lock();
            seen = true;
        });
        co_await sluice::yield();
        for (int i = 0; i != 20; ++i) {
            const auto got =
                co_await sluice::within(0s, p.changed.wait(guard, [] { return false; }));
            EXPECT(!got);
            EXPECT(!seen);
        }
        guard.unlock();
        co_await group.wait();
    });
}

TEST_CASE("cond: waits of one select may share a guard") {
    on_workers([]() -> task<> {
        place p;
        cond other(p.mu);
        sluice::wait_group group;
        for (int i = 0; i != 200; ++i) {
            auto guard = co_await p.mu.lock();
            for (int k = 0; k != 2; ++k) {
                group.go([&p, &other, k]() -> task<> {
                    const auto held = co_await p.mu.lock();
                    ++p.waiting;
                    (k == 0 ? p.changed : other).signal();
                    co_await sluice::yield();
                    --p.waiting;
                });
            }
            static_cast<void>(co_await select(p.changed.wait(guard), other.wait(guard)));
            EXPECT(guard.owns_lock());
            EXPECT(p.waiting == 0);
            guard.unlock();
            co_await group.wait();
        }
        EXPECT(p.mu.try_lock().owns_lock());
    });
}

TEST_CASE("cond: a predicate whose signal was lost to another case is asked again") {
    run_on(1, []() -> task<> {
        place first;
        place second;
        bool a = false;
        bool b = false;
        sluice::wait_group group;
        group.go([&]() -> task<> {
            auto guard_a = co_await first.mu.lock();
            auto guard_b = co_await second.mu.lock();
            const auto got = co_await select(first.changed.wait(guard_a, [&a] { return a; }),
                                             second.changed.wait(guard_b, [&b] { return b; }));
            EXPECT(got.index() == 1);
            EXPECT(guard_a.owns_lock());
            EXPECT(guard_b.owns_lock());
        });
        co_await sluice::yield();
        first.changed.signal();  // it wins, in vain
        b = true;
        second.changed.signal();
        co_await group.wait();
    });
}

TEST_CASE("cond: while a race takes the mutex back, its other cases hold up nobody") {
    on_workers([]() -> task<> {
        place p;
        sluice::semaphore permits(5);
        auto one = co_await permits.acquire(1);
        sluice::wait_group group;
        group.go([&p, &permits]() -> task<> {
            auto guard = co_await p.mu.lock();
            ++p.waiting;
            const auto got =
                co_await select(p.changed.wait(guard), permits.acquire(5), sluice::sleep_for(1ms));
            EXPECT(got.index() == 2);
        });
        co_await until_waiting(&p, 1);
        auto guard = co_await p.mu.lock();
        const auto another = co_await permits.acquire(1);
        EXPECT(another.held());
        guard.unlock();
        co_await group.wait();
    });
}

TEST_CASE("cond: signals, timeouts and races at once lose nothing, under stress") {
    on_workers([]() -> task<> {
        place p;
        int available = 0;
        int taken = 0;
        const auto noise = sluice::make_chan<int>();
        sluice::wait_group consumers;
        constexpr int each = 2'000;
        for (int c = 0; c != 4; ++c) {
            consumers.go([&p, &available, &taken, noise, c]() -> task<> {
                int mine = 0;
                while (mine != each) {
                    auto guard = co_await p.mu.lock();
                    if (c % 2 == 0) {
                        static_cast<void>(co_await select(p.changed.wait(guard), noise.recv(),
                                                          sluice::sleep_for(50us)));
                    } else {
                        static_cast<void>(co_await sluice::within(
                            50us, p.changed.wait(guard, [&available] { return available != 0; })));
                    }
                    EXPECT(guard.owns_lock());
                    if (available == 0) continue;
                    --available;
                    ++taken;
                    ++mine;
                }
            });
        }
        std::atomic<bool> over{false};
        sluice::wait_group producers;
        for (int i = 0; i != 2; ++i) {
            producers.go([&p, &available]() -> task<> {
                for (int k = 0; k != 2 * each; ++k) {
                    {
                        const auto guard = co_await p.mu.lock();
                        ++available;
                    }
                    p.changed.signal();
                    if (k % 8 == 0) co_await sluice::yield();
                }
            });
        }
        producers.go([noise, &over]() -> task<> {
            while (!over) {
                static_cast<void>(noise.try_send(1));
                co_await sluice::yield();
            }
        });
        co_await consumers.wait();
        over = true;
        co_await producers.wait();
        EXPECT(taken == 4 * each);
        EXPECT(available == 0);
        EXPECT(p.mu.try_lock().owns_lock());
    });
}

TEST_CASE("cond: a guard that does not hold its mutex is refused") {
    on_workers([]() -> task<> {
        place p;
        mutex other;
        auto wrong = co_await other.lock();
        auto empty = co_await p.mu.lock();
        empty.unlock();
        for (auto* guard : {&wrong, &empty}) {
            bool refused = false;
            try {
                co_await p.changed.wait(*guard);
            } catch (const std::logic_error&) {
                refused = true;
            }
            EXPECT(refused);
        }
    });
}

TEST_CASE("cond: reports say whether a wait lacks the signal or the mutex; a cut leaves it free") {
    place p;
    std::atomic<int> ready{0};
    std::vector<sluice::task_info> cut;
    {
        sluice::runtime rt(sluice::options{.workers = 1});
        for (int i = 0; i != 2; ++i) {
            rt.go([&p, &ready, i]() -> task<> {
                auto guard = co_await p.mu.lock();
                ++ready;
                if (i == 0) {
                    co_await p.changed.wait(guard);
                } else {
                    co_await p.changed.wait(guard, [] { return false; });
                }
            });
        }
        rt.go([&p, &ready]() -> task<> {
            while (ready != 2) co_await sluice::yield();
            auto guard = co_await p.mu.lock();
            p.changed.signal();
            ready = 3;
            static_cast<void>(co_await sluice::chan<>().recv());
        });
        while (ready != 3) std::this_thread::yield();
        cut = rt.shutdown(0s).cut;
    }
    REQUIRE(cut.size() == 3);
    int mutexes = 0;
    int conds = 0;
    for (const auto& t : cut) {
        mutexes += t.waits_for.find("lock of a mutex") != std::string::npos ? 1 : 0;
        conds += t.waits_for.find("wait of a cond") != std::string::npos ? 1 : 0;
    }
    CHECK(mutexes == 1);
    CHECK(conds == 1);
    CHECK(p.mu.try_lock().owns_lock());
}
