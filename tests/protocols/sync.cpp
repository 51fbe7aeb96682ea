// The mutexes, the semaphore and cond under the explorer.

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sync/cond.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/rw_mutex.hpp>
#include <sluice/runtime/sync/semaphore.hpp>

#include <cstdint>
#include <utility>

#include "crew.hpp"

using namespace sluice;
using sluice::model::check;
using sluice::model::crew;

TEST_CASE("mutex: one holder at a time, and each sees what the one before wrote") {
    model::require_exhausted([] {
        mutex m;
        detail::plain<int> count = 0;
        auto visit = [&]() -> task<> {
            for (int i = 0; i != 2; ++i) {
                const auto guard = co_await m.lock();
                ++count;
            }
        };
        crew workers;
        workers.run(visit(), visit(), visit());
        check(count == 6, "a visit was lost");
        check(m.try_lock().owns_lock(), "the mutex stayed locked");
    });
}

TEST_CASE("mutex: a lock that loses its race does not keep the mutex, nor its line") {
    model::require_exhausted([] {
        mutex m;
        auto value = make_chan<std::int64_t>(1);
        auto racer = [&]() -> task<> {
            const auto won = co_await select(m.lock(), value.recv());
            if (won.index() == 1) check(*std::get<1>(won) == 1, "another value");
        };
        auto holder = [&]() -> task<> {
            auto guard = co_await m.lock();
            co_await value.send(1);
        };
        auto third = [&]() -> task<> { const auto guard = co_await m.lock(); };
        crew workers;
        workers.run(racer(), holder(), third());
        check(m.try_lock().owns_lock(), "the mutex stayed locked");
    });
}

TEST_CASE("rw_mutex: readers see what the writers before wrote, and no writer comes in meanwhile") {
    model::require_exhausted([] {
        rw_mutex m;
        detail::plain<int> count = 0;
        auto writer = [&]() -> task<> {
            const auto guard = co_await m.lock();
            ++count;
        };
        auto reader = [&]() -> task<> {
            const auto guard = co_await m.lock_shared();
            const int seen = count;
            check(seen <= 2, "more writes than writers");
        };
        crew workers;
        workers.run(writer(), reader(), writer());
        check(count == 2, "a write was lost");
        check(m.try_lock().owns_lock(), "the mutex stayed locked");
    });
}

TEST_CASE("rw_mutex: the last of the readers lets the writer in that waits for them") {
    model::require_exhausted([] {
        rw_mutex m;
        detail::plain<int> count = 0;
        auto reader = [&]() -> task<> {
            const auto guard = co_await m.lock_shared();
            check(count <= 1, "another count");
        };
        auto writer = [&]() -> task<> {
            const auto guard = co_await m.lock();
            ++count;
        };
        crew workers;
        workers.run(reader(), reader(), writer());
        check(count == 1, "a write was lost");
        check(m.try_lock().owns_lock(), "the mutex stayed locked");
    });
}

TEST_CASE("rw_mutex: readers and writers that come again and again lose no wake-up") {
    model::require_sound(
        [] {
            rw_mutex m;
            detail::plain<int> count = 0;
            auto visit = [&](bool first) -> task<> {
                for (int i = 0; i != 2; ++i) {
                    if ((i == 0) == first) {
                        const auto guard = co_await m.lock();
                        ++count;
                    } else {
                        const auto guard = co_await m.lock_shared();
                        check(count <= 3, "another count");
                    }
                }
            };
            crew workers;
            workers.run(visit(true), visit(false), visit(true));
            check(count == 3, "a write was lost");
            check(m.try_lock().owns_lock(), "the mutex stayed locked");
        },
        model::by_chance());
}

TEST_CASE(
    "rw_mutex: a writer that loses its race does not keep the mutex, nor hold back a reader") {
    model::require_exhausted([] {
        rw_mutex m;
        auto value = make_chan<std::int64_t>(1);
        auto racer = [&]() -> task<> {
            static_cast<void>(co_await select(m.lock(), value.recv()));
        };
        auto holder = [&]() -> task<> {
            const auto guard = co_await m.lock_shared();
            co_await value.send(1);
        };
        auto reader = [&]() -> task<> { const auto guard = co_await m.lock_shared(); };
        crew workers;
        workers.run(racer(), holder(), reader());
        check(m.try_lock().owns_lock(), "the mutex stayed locked");
    });
}

TEST_CASE("rw_mutex: a reader that loses its race does not keep the mutex, nor hold up a writer") {
    model::require_exhausted([] {
        rw_mutex m;
        auto value = make_chan<std::int64_t>(1);
        auto racer = [&]() -> task<> {
            static_cast<void>(co_await select(m.lock_shared(), value.recv()));
        };
        auto holder = [&]() -> task<> {
            const auto guard = co_await m.lock();
            co_await value.send(1);
        };
        auto writer = [&]() -> task<> { const auto guard = co_await m.lock(); };
        crew workers;
        workers.run(racer(), holder(), writer());
        check(m.try_lock().owns_lock(), "the mutex stayed locked");
    });
}

TEST_CASE("rw_mutex: the last who has held it may free it") {
    model::require_exhausted([] {
        auto* const m = new rw_mutex;
        detail::atomic<int> users = 3;
        const auto leave = [&](auto guard) {
            const bool last = users.fetch_sub(1, detail::acq_rel) == 1;
            guard.unlock();
            if (last) delete m;
        };
        auto reader = [&]() -> task<> { leave(co_await m->lock_shared()); };
        auto writer = [&]() -> task<> { leave(co_await m->lock()); };
        auto trier = [&]() -> task<> {
            auto guard = m->try_lock();
            if (!guard.owns_lock()) guard = co_await m->lock();
            leave(std::move(guard));
        };
        crew workers;
        workers.run(reader(), writer(), trier());
    });
}

TEST_CASE("semaphore: no permit is lost between one that gives up and one that releases") {
    model::require_exhausted([] {
        semaphore s(1);
        auto value = make_chan<std::int64_t>(1);
        auto racer = [&]() -> task<> {
            static_cast<void>(co_await select(s.acquire(), value.recv()));
        };
        auto user = [&]() -> task<> {
            const auto permit = co_await s.acquire();
            co_await value.send(1);
        };
        crew workers;
        workers.run(racer(), user());
        check(s.try_acquire().held(), "a permit was lost");
    });
}

TEST_CASE("cond: a signal that comes after the state has changed is never lost") {
    model::require_exhausted([] {
        mutex m;
        cond changed(m);
        detail::plain<bool> set = false;
        auto waiter = [&]() -> task<> {
            auto guard = co_await m.lock();
            while (!set) co_await changed.wait(guard);
        };
        auto setter = [&]() -> task<> {
            {
                const auto guard = co_await m.lock();
                set = true;
            }
            changed.signal();
        };
        crew workers;
        workers.run(waiter(), setter());
    });
}

TEST_CASE("cond: a signal that meets a wait that has lost goes to the next one") {
    model::require_sound(
        [] {
            mutex m;
            cond changed(m);
            auto value = make_chan<std::int64_t>(1);
            auto waiting = make_chan<std::int64_t>(2);
            auto racer = [&]() -> task<> {
                auto guard = co_await m.lock();
                co_await waiting.send(1);
                const auto won = co_await select(changed.wait(guard), value.recv());
                if (won.index() == 0) changed.signal();
            };
            auto waiter = [&]() -> task<> {
                auto guard = co_await m.lock();
                co_await waiting.send(1);
                co_await changed.wait(guard);
            };
            auto signaller = [&]() -> task<> {
                for (int i = 0; i != 2; ++i) co_await waiting.recv();
                co_await value.send(1);
                const auto guard = co_await m.lock();
                changed.signal();
            };
            crew workers;
            workers.run(racer(), waiter(), signaller());
        },
        model::by_chance());
}
