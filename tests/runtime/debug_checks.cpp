// What a debug build finds out by itself: locks out of order, and a std::mutex held across a
// suspension.
#include <sluice/runtime/detail/lock_rank.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <shared_mutex>

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

TEST_CASE("lock order: a lock that was only tried is held like any other") {
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

template <class Mutex>
task<> suspends_with(Mutex& m) {
    const std::unique_lock lock(m);
    co_await sleep_for(1ms);
}

task<> suspends_sharing(std::shared_mutex& m) {
    const std::shared_lock lock(m);
    co_await sleep_for(1ms);
}

task<> suspends_having_tried(std::timed_mutex& m) {
    const std::unique_lock lock(m, 1s);
    co_await sleep_for(1ms);
}

// In the callee, though the lock is the caller's.
task<> sleeps() {
    co_await sleep_for(1ms);
}
task<> calls_with(std::mutex& m) {
    const std::lock_guard lock(m);
    co_await sleeps();
}

task<> keeps_unlocking(std::mutex& m, sluice::mutex& ours) {
    for (int i = 0; i != 3; ++i) {
        {
            const std::lock_guard lock(m);
            const auto guard = co_await ours.lock();  // free: nobody suspends
        }
        co_await sleep_for(1ms);
    }
}

}  // namespace

TEST_CASE("a std::mutex held across a suspension ends the program, with the place") {
    const child_end end = run_child([] {
        std::mutex m;
        run(with_workers(1), [&m] { return suspends_with(m); });
    });
    CHECK(aborts_saying(
        end, "a std::mutex stays locked after its task's step, whose latest co_await is at "));
    CHECK(end.errors.find("debug_checks.cpp:") != std::string::npos);
}

TEST_CASE("the same where the callee suspends") {
    const child_end end = run_child([] {
        std::mutex m;
        run(with_workers(2), [&m] { return calls_with(m); });
    });
    CHECK(aborts_saying(end, "a std::mutex stays locked"));
}

TEST_CASE("the same for a std::recursive_mutex") {
    const child_end end = run_child([] {
        std::recursive_mutex m;
        run(with_workers(1), [&m] { return suspends_with(m); });
    });
    CHECK(aborts_saying(end, "a std::mutex stays locked"));
}

TEST_CASE("the same for a std::timed_mutex") {
    const child_end end = run_child([] {
        std::timed_mutex m;
        run(with_workers(1), [&m] { return suspends_having_tried(m); });
    });
    CHECK(aborts_saying(end, "a std::mutex stays locked"));
}

TEST_CASE("the same for either side of a std::shared_mutex") {
    const child_end end = run_child([] {
        std::shared_mutex m;
        run(with_workers(1), [&m] { return suspends_sharing(m); });
    });
    CHECK(aborts_saying(end, "a std::mutex stays locked"));
}

TEST_CASE("the same in a simulation") {
    const child_end end = run_child([] {
        std::mutex m;
        simulate({.seed = 1}, [&m] { return suspends_with(m); });
    });
    CHECK(aborts_saying(end, "a std::mutex stays locked"));
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

TEST_CASE("a std::mutex that is unlocked before a suspension, or locked by who runs, is fine") {
    std::mutex m;
    std::mutex callers;
    sluice::mutex ours;
    const std::lock_guard lock(callers);
    run_on(1, [&] { return keeps_unlocking(m, ours); });
}

#endif
