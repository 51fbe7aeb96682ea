// The lock of every source (channel, timer queue, context, mutex, …) and of the scheduler's shared lists.
//
// Critical sections are a few dozen instructions and never suspend, so waiters spin with a fixed back-off (spin_wait).
// The releasing store is the last access to the lock: a waiter that was released under it may free the object that
// contains it at once. That is why std::mutex, whose unlock may touch the object again, does not serve here.
//
// Lock order: channel locks by address, then the lock of one one-sided source, then the scheduler's lists. A context
// is locked before its children; no other two sources are locked together.
#pragma once

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

class spin_lock {
public:
    void lock() noexcept {
        // acquire: pairs with the release in unlock(); the previous holder's writes are visible.
        while (held_.exchange(true, acquire)) wait_until_free();
    }

    bool try_lock() noexcept { return !held_.load(relaxed) && !held_.exchange(true, acquire); }

    void unlock() noexcept {
        // release: pairs with the exchange in lock().
        held_.store(false, release);
    }

private:
    void wait_until_free() noexcept {
        spin_wait wait;
        do {
            wait.pause();
        } while (held_.load(relaxed));
    }

    atomic<bool> held_{false};
};

}  // namespace sluice::detail
