// What a debug build finds out by itself: locks out of order, and a std::mutex held across a
// suspension.
#include <sluice/runtime/detail/lock_rank.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>

#include <sluice/runtime/detail/held_mutexes.hpp>
#include <sluice/runtime/detail/spin_lock.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/mutex.hpp>

#include "child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using namespace sluice;
using detail::lock_rank;
using detail::spin_lock;

namespace {

void lock_both(spin_lock& first, spin_lock& second) {
    const std::lock_guard outer(first);
    const std::lock_guard inner(second);
}

}  // namespace

TEST_CASE("lock order: who holds a timer queue's lock may not take a channel's") {
    const child_end end = run_child([] {
        spin_lock channel(lock_rank::channel);
        spin_lock timers(lock_rank::timer_queue);
        lock_both(channel, timers);
        lock_both(timers, channel);
    });
    CHECK(aborts_saying(end, "that of a channel by who holds that of a timer queue"));
}

TEST_CASE("lock order: the same for a favourite, who takes it without waiting") {
    const child_end end = run_child([] {
        const std::uint32_t identity = detail::take_lock_identity();
        detail::set_lock_identity(identity);
        spin_lock channel(lock_rank::channel);
        spin_lock timers(lock_rank::timer_queue);
        for (int i = 0; i != 10'000; ++i) const std::lock_guard guard(channel);
        const std::lock_guard outer(timers);
        const bool entered = channel.enter({identity, &detail::lock_seat(identity)});
        std::fprintf(stderr, "entered: %d\n", entered);
    });
    CHECK(aborts_saying(end, "that of a channel by who holds that of a timer queue"));
    CHECK(end.errors.find("entered") == std::string::npos);
}

TEST_CASE("lock order: channels are locked by address") {
    const child_end end = run_child([] {
        std::array<spin_lock, 2> channels{spin_lock(lock_rank::channel),
                                          spin_lock(lock_rank::channel)};
        lock_both(channels[0], channels[1]);
        std::fputs("so far, so good\n", stderr);
        lock_both(channels[1], channels[0]);
    });
    CHECK(aborts_saying(end, "that of a channel by who holds that of a channel"));
    CHECK(end.errors.find("so far, so good") != std::string::npos);
}

TEST_CASE("lock order: one of two channels is let go, and the other still counts") {
    const child_end end = run_child([] {
        std::array<spin_lock, 2> channels{spin_lock(lock_rank::channel),
                                          spin_lock(lock_rank::channel)};
        spin_lock completions(lock_rank::completions);
        channels[0].lock();
        channels[1].lock();
        channels[1].unlock();
        completions.lock();
    });
    CHECK(aborts_saying(end, "that of a completion queue by who holds that of a channel"));
}

TEST_CASE("lock order: a lock that is only tried is taken like any other") {
    const child_end end = run_child([] {
        spin_lock channel(lock_rank::channel);
        spin_lock timers(lock_rank::timer_queue);
        timers.lock();
        static_cast<void>(channel.try_lock());
    });
    CHECK(aborts_saying(end, "that of a channel by who holds that of a timer queue"));
}

TEST_CASE("lock order: a lock that was tried is held like any other") {
    const child_end end = run_child([] {
        spin_lock channel(lock_rank::channel);
        spin_lock timers(lock_rank::timer_queue);
        static_cast<void>(timers.try_lock());
        timers.unlock();
        channel.lock();
        channel.unlock();
        std::fputs("so far, so good\n", stderr);
        static_cast<void>(timers.try_lock());
        channel.lock();
    });
    CHECK(aborts_saying(end, "that of a channel by who holds that of a timer queue"));
    CHECK(end.errors.find("so far, so good") != std::string::npos);
}

#if !defined(SLUICE_THREAD_SANITIZER)

namespace {

// Suspends with what the lock holds.
template <class Lock>
task<> suspends_with(Lock lock) {
    EXPECT(lock.owns_lock());
    co_await sleep_for(1ms);
}

/// Runs that in a child: the check must end it.
template <class Lock, class Mutex, class... How>
bool aborts(Mutex& m, How... how) {
    const child_end end = run_child([&m, how...] {
        run(with_workers(1), [&m, how...]() -> task<> { return suspends_with(Lock(m, how...)); });
    });
    return aborts_saying(end,
                         "a std::mutex stays locked after its task's step, whose latest "
                         "co_await is at ");
}

// In the callee, though the lock is the caller's.
task<> sleeps() {
    co_await sleep_for(1ms);
}
task<> calls_with(std::mutex& m) {
    const std::lock_guard lock(m);
    co_await sleeps();
}

// Whatever is let go before a suspension, or could not be had.
template <class Lock, class Mutex, class... How>
task<> lets_go(Mutex& m, bool gets_it, How... how) {
    for (int i = 0; i != 3; ++i) {
        {
            const Lock lock(m, how...);
            EXPECT(lock.owns_lock() == gets_it);
        }
        co_await sleep_for(1ms);
    }
}

task<> awaits_what_is_free(std::mutex& m, sluice::mutex& ours) {
    for (int i = 0; i != 3; ++i) {
        {
            const std::lock_guard lock(m);
            const auto guard = co_await ours.lock();  // nobody suspends
        }
        co_await sleep_for(1ms);
    }
}

}  // namespace

TEST_CASE("a std::mutex held across a suspension ends the program, with the place") {
    std::mutex m;
    CHECK(aborts<std::unique_lock<std::mutex>>(m));
}

TEST_CASE("the same where the callee suspends") {
    const child_end end = run_child([] {
        std::mutex m;
        run(with_workers(2), [&m] { return calls_with(m); });
    });
    CHECK(aborts_saying(end, "a std::mutex stays locked"));
    CHECK(end.errors.find("debug_checks.cpp:") != std::string::npos);
}

TEST_CASE("the same in a simulation") {
    const child_end end = run_child([] {
        std::mutex m;
        simulate({.seed = 1}, [&m] { return calls_with(m); });
    });
    CHECK(aborts_saying(end, "a std::mutex stays locked"));
}

TEST_CASE("the same for a std::mutex that was tried") {
    std::mutex m;
    CHECK(aborts<std::unique_lock<std::mutex>>(m, std::try_to_lock));
}

TEST_CASE("the same for a std::recursive_mutex") {
    std::recursive_mutex m;
    CHECK(aborts<std::unique_lock<std::recursive_mutex>>(m));
}

TEST_CASE("the same for a std::timed_mutex") {
    std::timed_mutex m;
    CHECK(aborts<std::unique_lock<std::timed_mutex>>(m, 1s));
}

TEST_CASE("the same for a std::shared_mutex") {
    std::shared_mutex m;
    CHECK(aborts<std::unique_lock<std::shared_mutex>>(m));
}

TEST_CASE("the same for a std::shared_mutex that was tried") {
    std::shared_mutex m;
    CHECK(aborts<std::unique_lock<std::shared_mutex>>(m, std::try_to_lock));
}

TEST_CASE("the same for a shared std::shared_mutex") {
    std::shared_mutex m;
    CHECK(aborts<std::shared_lock<std::shared_mutex>>(m));
}

TEST_CASE("the same for a shared std::shared_mutex that was tried") {
    std::shared_mutex m;
    CHECK(aborts<std::shared_lock<std::shared_mutex>>(m, std::try_to_lock));
}

TEST_CASE("a task that ends with a std::mutex locked ends the program") {
    const child_end end = run_child([] {
        static std::mutex m;
        run(with_workers(1), []() -> task<> {
            co_await yield();
            m.lock();
        });
    });
    CHECK(aborts_saying(end, "a task has ended with a std::mutex locked"));
}

TEST_CASE("a std::mutex that is unlocked before a suspension, or could not be locked, is fine") {
    std::mutex m;
    sluice::mutex ours;
    run_on(1, [&] { return awaits_what_is_free(m, ours); });
    run_on(1, [&] { return lets_go<std::unique_lock<std::mutex>>(m, true, std::try_to_lock); });
    std::timed_mutex t;
    run_on(1, [&] { return lets_go<std::unique_lock<std::timed_mutex>>(t, true, 1s); });
    std::shared_mutex s;
    run_on(1, [&] { return lets_go<std::unique_lock<std::shared_mutex>>(s, true); });
    run_on(1, [&] { return lets_go<std::shared_lock<std::shared_mutex>>(s, true); });

    const std::scoped_lock all(m, t, s);  // not by the tasks, nor by their thread
    std::thread([&] {
        const options one = with_workers(1);
        run(one, [&] { return lets_go<std::unique_lock<std::mutex>>(m, false, std::try_to_lock); });
        run(one, [&] { return lets_go<std::unique_lock<std::timed_mutex>>(t, false, 1ms); });
        run(one, [&] {
            return lets_go<std::unique_lock<std::shared_mutex>>(s, false, std::try_to_lock);
        });
        run(one, [&] {
            return lets_go<std::shared_lock<std::shared_mutex>>(s, false, std::try_to_lock);
        });
    }).join();
    report_expectations();
}

#endif
