// What becomes of tasks that are left when their runtime ends.
#include <sluice/runtime/runtime.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/rw_mutex.hpp>
#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

namespace {

/// Tells the children of a frame whether it is still there.
class flag {
public:
    explicit flag(std::atomic<bool>* up) noexcept : up_(up) { *up_ = true; }
    flag(const flag&) = delete;
    flag& operator=(const flag&) = delete;
    ~flag() { *up_ = false; }

private:
    std::atomic<bool>* up_;
};

class witness {
public:
    witness(std::atomic<bool>* parent, std::atomic<int>* late) noexcept
        : parent_(parent), late_(late) {}
    witness(const witness&) = delete;
    witness& operator=(const witness&) = delete;
    ~witness() {
        if (!*parent_) ++*late_;
    }

private:
    std::atomic<bool>* parent_;
    std::atomic<int>* late_;
};

struct family {
    std::atomic<bool> parent{false};
    std::atomic<int> late{0};
    std::atomic<int> waiting{0};
};

task<> child(family* f) {
    const witness w(&f->parent, &f->late);
    ++f->waiting;
    static_cast<void>(co_await sluice::chan<>().recv());
}

task<> parent(family* f) {
    const flag up(&f->parent);
    sluice::wait_group group;
    for (int i = 0; i != 10; ++i) group.go(child, f);
    co_await group.wait();
}

task<> start_parent(family* f) {
    sluice::go(parent, f);
    co_return;
}

task<> locked_child(std::reference_wrapper<sluice::mutex> mu) {
    const auto guard = co_await mu.get().lock();
    static_cast<void>(co_await sluice::chan<>().recv());
}

task<> mutex_parent(std::atomic<bool>* up) {
    sluice::mutex mu;
    sluice::wait_group group;
    for (int i = 0; i != 50; ++i) group.go(locked_child, std::ref(mu));
    char large[3000];
    std::memset(large, 0, sizeof large);
    *up = true;
    co_await group.wait();
    large[0] = large[1];
}

task<> deep(int n, std::atomic<bool>* there) {
    if (n == 0) {
        *there = true;
        static_cast<void>(co_await sluice::chan<>().recv());
        co_return;
    }
    co_await deep(n - 1, there);
}

// Waits for what a younger task owns, and is made ready by it just before the end.
task<> wait_for_younger(sluice::chan<sluice::wait_group*> from) {
    const auto group = co_await from.recv();
    co_await (*group)->wait();
}

task<> younger_owner(sluice::chan<sluice::wait_group*> to, sluice::runtime* rt,
                     std::atomic<bool>* ready) {
    const auto group = std::make_unique<sluice::wait_group>();
    group->add(1);
    co_await to.send(group.get());
    co_await sluice::yield();  // the other one waits now
    group->done();
    *ready = true;
    while (!rt->stopping().err()) std::this_thread::yield();
    for (int i = 0; i != 1000; ++i) std::this_thread::yield();  // until the worker is told to stop
    co_await sluice::chan<>().recv();
}

template <class T>
void wait_until(const std::atomic<T>& value, T wanted) {
    while (value != wanted) std::this_thread::yield();
}

}  // namespace

TEST_CASE("cut: children go before the parent whose wait_group they count for") {
    for (const unsigned workers : {1u, 2u}) {
        for (int round = 0; round != 50; ++round) {
            family f;
            sluice::runtime rt(with_workers(workers));
            if (round % 2 == 0) {
                rt.go(parent, &f);
            } else {
                rt.go(start_parent, &f);
            }
            wait_until(f.waiting, 10);
            CHECK(rt.shutdown(0s).cut.size() >= 11);
            REQUIRE(f.late == 0);
            REQUIRE_FALSE(f.parent);
        }
    }
}

TEST_CASE("cut: children go first also where their frames are older memory than their parent's") {
    for (int round = 0; round != 50; ++round) {
        family f;
        sluice::runtime rt(with_workers(1));
        rt.block_on([]() -> task<> {
            for (int i = 0; i != 20; ++i) sluice::go([]() -> task<> { co_await sluice::yield(); });
            co_await sluice::yield();  // the worker's pool has blocks now
        });
        std::thread([&rt, &f] {
            rt.go(parent, &f);
            wait_until(f.waiting, 10);
        }).join();
        CHECK(rt.shutdown(0s).cut.size() >= 11);
        REQUIRE(f.late == 0);
    }
}

TEST_CASE("cut: holders and waiters of a mutex that lives in a cut frame end in order") {
    for (int round = 0; round != 50; ++round) {
        std::atomic<bool> up{false};
        sluice::runtime rt(with_workers(2));
        rt.go(mutex_parent, &up);
        wait_until(up, true);
        CHECK(rt.shutdown(0s).cut.size() >= 51);
    }
}

TEST_CASE("cut: a task made ready by a younger one ends after it, and after what it waited for") {
    for (int round = 0; round != 20; ++round) {
        std::atomic<bool> ready{false};
        sluice::runtime rt(with_workers(1));
        auto groups = sluice::make_chan<sluice::wait_group*>();
        rt.go(wait_for_younger, groups);
        rt.go(younger_owner, groups, &rt, &ready);
        wait_until(ready, true);
        CHECK_FALSE(rt.shutdown(0s).cut.empty());
    }
}

TEST_CASE("cut: a chain of 10,000 awaits is described and freed") {
    std::atomic<bool> there{false};
    sluice::runtime rt(with_workers(1));
    rt.go(deep, 10'000, &there);
    wait_until(there, true);
    const auto report = rt.shutdown(0s);
    REQUIRE(report.cut.size() == 1);
    CHECK(report.cut[0].stack.size() == 10'001);
}

TEST_CASE("cut: a mutex held by a task that is cut is free afterwards, and its waiters are gone") {
    sluice::mutex mu;
    std::atomic<int> started{0};
    {
        sluice::runtime rt(with_workers(1));
        for (int i = 0; i != 3; ++i) {
            rt.go(
                [](sluice::mutex* m, std::atomic<int>* s) -> task<> {
                    ++*s;
                    const auto guard = co_await m->lock();
                    static_cast<void>(co_await sluice::chan<>().recv());
                },
                &mu, &started);
        }
        wait_until(started, 3);
        CHECK(rt.shutdown(0s).cut.size() == 3);
    }
    CHECK(mu.try_lock().owns_lock());
}

TEST_CASE("cut: tasks that lock again and again, and let others run in between, leave it free") {
    sluice::mutex mutex;
    {
        sluice::runtime rt(with_workers(2));
        for (int i = 0; i != 8; ++i) {
            rt.go(
                [](sluice::mutex* m) -> task<> {
                    for (;;) static_cast<void>(co_await m->lock());
                },
                &mutex);
        }
        std::this_thread::sleep_for(20ms);
        CHECK(rt.shutdown(0s).cut.size() == 8);
    }
    CHECK(mutex.try_lock().owns_lock());
}

TEST_CASE("cut: a lock or permit granted to a task that never ran again is given back") {
    sluice::mutex mu;
    sluice::rw_mutex rw;
    sluice::semaphore permits(3);
    for (const bool bounded : {false, true}) {
        std::atomic<int> stage{0};
        sluice::runtime rt(with_workers(1));
        const auto wait = [bounded, &stage](auto op) -> task<> {
            ++stage;
            if (bounded) {
                static_cast<void>(co_await sluice::within(1h, std::move(op)));
            } else {
                static_cast<void>(co_await std::move(op));
            }
            EXPECT(false);
        };
        rt.go([&]() -> task<> {
            auto lock = co_await mu.lock();
            auto writing = co_await rw.lock();
            auto permit = co_await permits.acquire(3);
            sluice::go(wait, mu.lock());
            sluice::go(wait, rw.lock_shared());
            sluice::go(wait, rw.lock());
            sluice::go(wait, permits.acquire(2));
            while (stage != 4) co_await sluice::yield();
            co_await sluice::yield();
            while (!rt.stopping().err()) std::this_thread::yield();
            for (int i = 0; i != 1000; ++i) std::this_thread::yield();  // until it is told to stop
            lock.unlock();
            writing.unlock();
            permit.release();
            static_cast<void>(co_await sluice::chan<>().recv());
        });
        wait_until(stage, 4);
        CHECK(rt.shutdown(0s).cut.size() == 5);
        CHECK(mu.try_lock().owns_lock());
        CHECK(rw.try_lock().owns_lock());
        CHECK(permits.try_acquire(3).held());
    }
    report_expectations();
}

TEST_CASE("cut: a wait_group outside counts out the tasks that are cut, started or not") {
    sluice::wait_group group;
    std::atomic<int> stage{0};
    {
        sluice::runtime rt(with_workers(1));
        rt.go([&group, &stage] {
            for (int i = 0; i != 10; ++i)
                group.go([]() -> task<> { static_cast<void>(co_await sluice::chan<>().recv()); });
            stage = 1;
            while (stage != 2) std::this_thread::yield();
        });
        wait_until(stage, 1);
        std::thread opener([&rt, &stage] {
            while (!rt.stopping().err()) std::this_thread::yield();
            stage = 2;
        });
        CHECK(rt.shutdown(0s).cut.size() == 10);
        opener.join();
    }
    run_on(1, [&group]() -> task<> { co_await group.wait(); });
}

TEST_CASE("cut: destructors of cut tasks may use channels, contexts and handles of the runtime") {
    const auto ch = sluice::make_chan<int>(1);
    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    std::atomic<bool> up{false};
    {
        sluice::runtime rt(with_workers(2));
        class at_exit {
        public:
            at_exit(sluice::chan<int> c, sluice::cancel_function f) noexcept
                : ch_(std::move(c)), cancel_(std::move(f)) {}
            at_exit(at_exit&&) noexcept = default;
            ~at_exit() {
                if (ch_ && ch_.size() == 0) EXPECT(ch_.try_send(7));
            }

        private:
            sluice::chan<int> ch_;
            sluice::cancel_function cancel_;
        };
        rt.go(
            [](at_exit, std::atomic<bool>* u) -> task<> {
                *u = true;
                static_cast<void>(co_await sluice::chan<>().recv());
            },
            at_exit(ch, std::move(cancel)), &up);
        rt.go(
            [](sluice::context c, sluice::chan<int> from) -> task<> {
                co_await c.done();
                EXPECT(false);
                static_cast<void>(co_await from.recv());
            },
            ctx, ch);
        wait_until(up, true);
        CHECK(rt.shutdown(0s).cut.size() == 2);
    }
    CHECK(ctx.err() == sluice::errc::canceled);
    CHECK(ch.try_recv() == 7);
    report_expectations();
}

TEST_CASE("cut: a task whose handle was to be joined by one that is cut does not end the process") {
    std::atomic<bool> failed{false};
    sluice::runtime rt(with_workers(2));
    rt.go([&failed]() -> task<> {
        auto slow = sluice::spawn([]() -> task<> { co_await sluice::chan<>().recv(); });
        auto bad = sluice::spawn([&failed]() -> task<> {
            co_await sluice::yield();
            failed = true;
            throw std::runtime_error("the boiler burst");
        });
        co_await slow.join();
        co_await bad.join();
    });
    wait_until(failed, true);
    while (rt.num_tasks() != 2) std::this_thread::yield();
    CHECK(rt.shutdown(0s).cut.size() == 2);
}

TEST_CASE("cut: a runtime may be let go by what its own refused after_func() held") {
    auto rt = std::make_shared<sluice::runtime>(with_workers(1));
    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    rt->block_on([ctx, rt]() -> task<> {
        static_cast<void>(sluice::after_func(ctx, [rt] {}));
        co_return;
    });
    rt->shutdown(0s);
    const std::weak_ptr<sluice::runtime> left = rt;
    rt.reset();
    CHECK_FALSE(left.expired());
    cancel();
    CHECK(left.expired());
}
