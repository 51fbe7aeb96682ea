#include <sluice/runtime/sync/rw_mutex.hpp>

#include <atomic>
#include <chrono>
#include <string>
#include <utility>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::rw_mutex;
using sluice::task;

namespace {

/// Writes its letter when it has the lock, and again when it lets go.
struct diary {
    rw_mutex mu;
    std::string text;
    sluice::wait_group visits;

    void write(char letter) {
        visits.go(
            [](diary* d, char c) -> task<> {
                const auto guard = co_await d->mu.lock();
                d->text += c;
                co_await sluice::yield();
                d->text += c;
            },
            this, letter);
    }
    void read(char letter) {
        visits.go(
            [](diary* d, char c) -> task<> {
                const auto guard = co_await d->mu.lock_shared();
                d->text += c;
                co_await sluice::yield();
                d->text += c;
            },
            this, letter);
    }
};

bool free_for_a_writer(rw_mutex& mu) {
    return mu.try_lock().owns_lock();
}

}  // namespace

TEST_CASE("rw_mutex: readers share it, a writer has it alone, under stress") {
    on_workers([]() -> task<> {
        rw_mutex mu;
        std::atomic<int> readers = 0;
        std::atomic<int> most_readers = 0;
        int writers = 0;
        std::int64_t written = 0;
        sluice::wait_group group;
        for (int i = 0; i != 40; ++i) {
            group.go([&, i]() -> task<> {
                for (int k = 0; k != 200; ++k) {
                    if ((i + k) % 5 == 0) {
                        const auto guard = co_await mu.lock();
                        EXPECT(++writers == 1);
                        EXPECT(readers == 0);
                        ++written;
                        if (k % 3 == 0) co_await sluice::yield();
                        --writers;
                    } else {
                        const auto guard = co_await mu.lock_shared();
                        const int now = ++readers;
                        EXPECT(writers == 0);
                        if (now > most_readers) most_readers = now;
                        if (k % 3 == 0) co_await sluice::yield();
                        --readers;
                    }
                }
            });
        }
        co_await group.wait();
        EXPECT(written == 40 * 200 / 5);
        EXPECT(most_readers > 1);
        EXPECT(free_for_a_writer(mu));
    });
}

TEST_CASE("rw_mutex 4.1: a pending writer blocks new readers") {
    run_on(1, []() -> task<> {
        diary d;
        auto held = co_await d.mu.lock_shared();
        EXPECT(d.mu.try_lock_shared().owns_lock());
        d.write('w');
        co_await sluice::yield();
        EXPECT(!d.mu.try_lock_shared().owns_lock());
        d.read('r');
        for (int i = 0; i != 10; ++i) co_await sluice::yield();
        EXPECT(d.text.empty());
        held.unlock();
        co_await d.visits.wait();
        EXPECT(d.text == "wwrr");
    });
}

TEST_CASE("rw_mutex 4.2: a writer waits for the readers present, all of them") {
    run_on(1, []() -> task<> {
        diary d;
        auto first = co_await d.mu.lock_shared();
        auto second = co_await d.mu.lock_shared();
        d.write('w');
        co_await sluice::yield();
        first.unlock();
        for (int i = 0; i != 10; ++i) co_await sluice::yield();
        EXPECT(d.text.empty());
        second.unlock();
        co_await d.visits.wait();
        EXPECT(d.text == "ww");
    });
}

TEST_CASE(
    "rw_mutex 4.3: unlock releases all readers queued meanwhile before the next writer: neither "
    "side starves") {
    run_on(1, []() -> task<> {
        diary d;
        auto held = co_await d.mu.lock();
        d.write('x');
        d.read('a');
        d.read('b');
        co_await sluice::yield();
        d.write('y');
        d.read('c');
        for (int i = 0; i != 3; ++i) co_await sluice::yield();
        EXPECT(d.text.empty());
        held.unlock();
        d.read('d');  // after the unlock: x comes first
        co_await d.visits.wait();
        EXPECT(d.text.size() == 12);
        EXPECT(d.text.find_first_of("xy") == 6);  // a, b, c begin and end before it
        EXPECT(d.text.substr(6, 2) == "xx");      // alone
        EXPECT(d.text.substr(8) == "ddyy");       // the readers of that time, then the writer
    });
}

TEST_CASE("rw_mutex: readers and writers that go on for ever do not starve each other") {
    on_workers([]() -> task<> {
        rw_mutex mu;
        std::atomic<int> written = 0;
        std::atomic<int> read = 0;
        std::atomic<bool> over = false;
        sluice::wait_group group;
        for (int i = 0; i != 4; ++i) {
            group.go([&]() -> task<> {
                while (!over) {
                    const auto guard = co_await mu.lock_shared();
                    ++read;
                    co_await sluice::yield();
                }
            });
            group.go([&]() -> task<> {
                while (!over) {
                    const auto guard = co_await mu.lock();
                    ++written;
                    co_await sluice::yield();
                }
            });
        }
        while (read < 200 || written < 200) co_await sluice::yield();
        over = true;
        co_await group.wait();
        EXPECT(free_for_a_writer(mu));
    });
}

TEST_CASE("rw_mutex: a lock that loses a race is not taken, and holds back nobody") {
    on_workers([]() -> task<> {
        rw_mutex mu;
        for (int i = 0; i != 100; ++i) {
            auto reading = co_await mu.lock_shared();
            const auto timed = co_await sluice::within(i % 2 == 0 ? 0us : 20us, mu.lock());
            EXPECT(!timed);
            EXPECT(mu.try_lock_shared().owns_lock());  // the writer has given up
            const auto shared = co_await select(mu.lock(), mu.lock_shared());
            EXPECT(shared.index() == 1);
            reading.unlock();
            EXPECT(!free_for_a_writer(mu));
        }
        EXPECT(free_for_a_writer(mu));
        auto writing = co_await mu.lock();
        const auto late = co_await sluice::within(20us, mu.lock_shared());
        EXPECT(!late);
        const auto none = co_await select(mu.lock_shared(), mu.lock(), sluice::otherwise);
        EXPECT(none.index() == 2);
        writing.unlock();
        EXPECT(free_for_a_writer(mu));
    });
}

TEST_CASE("rw_mutex: a writer that is cancelled lets the readers behind it in") {
    on_workers([]() -> task<> {
        rw_mutex mu;
        auto held = co_await mu.lock_shared();
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        auto writer = sluice::spawn(
            [](rw_mutex* m, sluice::context c) -> task<bool> {
                const auto guard = co_await sluice::within(c, m->lock());
                co_return guard.has_value();
            },
            &mu, ctx);
        while (mu.try_lock_shared().owns_lock()) co_await sluice::yield();
        auto reader = sluice::spawn(
            [](rw_mutex* m) -> task<> { const auto guard = co_await m->lock_shared(); }, &mu);
        co_await sluice::yield();
        cancel();
        const bool written = co_await writer.join();
        EXPECT(!written);
        co_await reader.join();
        held.unlock();
        EXPECT(free_for_a_writer(mu));
    });
}

TEST_CASE("rw_mutex: locks that race with time-outs exclude each other, and none is lost") {
    on_workers([]() -> task<> {
        rw_mutex mu;
        std::atomic<int> readers = 0;
        int writers = 0;
        sluice::wait_group group;
        for (int i = 0; i != 20; ++i) {
            group.go([&, i]() -> task<> {
                for (int k = 0; k != 100; ++k) {
                    const auto patience = std::chrono::microseconds((i * k) % 20);
                    if ((i + k) % 3 == 0) {
                        const auto guard = co_await sluice::within(patience, mu.lock());
                        if (!guard) continue;
                        EXPECT(++writers == 1);
                        EXPECT(readers == 0);
                        co_await sluice::yield();
                        --writers;
                    } else {
                        const auto guard = co_await sluice::within(patience, mu.lock_shared());
                        if (!guard) continue;
                        ++readers;
                        EXPECT(writers == 0);
                        co_await sluice::yield();
                        --readers;
                    }
                }
            });
        }
        co_await group.wait();
        EXPECT(free_for_a_writer(mu));
    });
}

TEST_CASE("rw_mutex: guards are bound to no task, and let go once") {
    on_workers([]() -> task<> {
        rw_mutex mu;
        auto writing = co_await mu.lock();
        auto handle = sluice::spawn([](sluice::write_guard g) { g.unlock(); }, std::move(writing));
        auto reading = co_await mu.lock_shared();
        co_await handle.join();
        auto moved = std::move(reading);
        EXPECT(!reading.owns_lock());
        moved.unlock();
        moved.unlock();
        EXPECT(free_for_a_writer(mu));
    });
}
