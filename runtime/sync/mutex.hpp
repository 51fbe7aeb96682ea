// A mutex for tasks.
//
// Concepts
//   An unlock with waiters in line frees the mutex and sends the first of them to compete for it: a
//   newcomer may be faster, and the loser stands first in line again. So a task that locks again
//   and again needs no switch of tasks for it. One competitor is under way at a time. One that has
//   waited for longer than `patience`, or has lost `most_mutex_losses` times (in virtual time
//   nothing takes long), makes the mutex starve when it loses: from then on unlock() hands it over,
//   and newcomers queue, until it comes to one that is last in line or has waited for less.
//
// Invariants (under gate_)
//   waiters_ is not empty only if locked_ or waking_: somebody who has it, or comes for it, will
//   see to them. starving_ implies locked_.
//
// Rejected: handing over always (each contended lock is then a switch of tasks, and all of them go
// at the pace of the slowest worker), competing without end (the longest waiter may never win).
//
// Source of the algorithm: Go's sync.Mutex.
#pragma once

#include <cstdint>
#include <utility>

#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/sync/lock_owner.hpp>

namespace sluice {

class mutex;

/// Holds a locked mutex; letting it go unlocks.
using mutex_guard = detail::lock_owner<mutex>;

/// At most one task holds it; waiting suspends the task, not the worker. Waiters stand in line, but
/// whoever comes while it is free may be faster than the first of them; a first one that has waited
/// for over a millisecond, and is too late again, goes before everybody from then on. Must outlive
/// its guards and the operations on it.
class mutex {
public:
    mutex() = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;

    /// Operation: gives a guard. A lock that loses a race is not taken.
    auto lock() noexcept;

    /// A guard that owns the lock, or one that does not. Any thread; never waits.
    mutex_guard try_lock() noexcept;

    /// Any thread. Unlocking a mutex that is not locked is fatal: it reports and aborts.
    void unlock() noexcept;

private:
    friend class mutex_waiter;
    friend class mutex_leaf;
    friend class cond;
    friend class cond_leaf;

    static constexpr std::int64_t patience = 1'000'000;  // nanoseconds

    // Gate held.
    void release(detail::wake_list& wakes) noexcept;
    void send_first(detail::wake_list& wakes) noexcept;

    detail::spin_lock gate_{detail::lock_rank::mutex};
    bool locked_ = false;         // under gate_
    bool starving_ = false;       // under gate_: the next unlock() hands over
    bool waking_ = false;         // under gate_: one that was first in line is on its way
    detail::wait_queue waiters_;  // under gate_
};

/// Who may stand in line for a mutex: it is granted by handing over a guard, which unlocks even if
/// the task is cut before it runs again.
class mutex_waiter : public detail::leaf {
public:
    detail::spin_lock* gate() noexcept final { return &mutex_.gate_; }
    void retract() noexcept override;

    // Gate held.

    bool lock_if_free() noexcept {
        if (std::exchange(mutex_.locked_, true)) return false;
        grant();
        return true;
    }

protected:
    explicit mutex_waiter(mutex& m) noexcept : mutex_(m) {}
    mutex_waiter(mutex_waiter&& other) noexcept : leaf(), mutex_(other.mutex_) {}
    ~mutex_waiter() = default;

    // Gate held.

    /// A sole wait is not readied itself, but what competes for it.
    void stand_in_line() noexcept;
    /// Of one that was first in line. False: it must wait on.
    bool compete() noexcept;
    /// It is no longer on its way.
    void arrive() noexcept {
        if (std::exchange(on_its_way_, false)) mutex_.waking_ = false;
    }

    mutex& mutex_;
    mutex_guard* granted_to_ = nullptr;  // set before it may be granted

private:
    friend class mutex;

    struct competitor : detail::runnable {
        mutex_waiter* of;
        detail::runnable* owner;
    };

    /// The mutex is locked, for this one.
    void grant() noexcept {
        *granted_to_ = mutex_guard(&mutex_);
        leave_line();
    }
    void leave_line() noexcept {
        since_ = nowhere;
        losses_ = 0;
    }
    bool impatient() const noexcept;
    static void run_competitor(void* self);

    static constexpr std::int64_t nowhere = -1;

    competitor competitor_;
    std::int64_t since_ = nowhere;  // when it came to stand in line
    std::uint32_t losses_ = 0;      // since then
    bool on_its_way_ = false;       // under the gate: the mutex is waking this one
};

class mutex_leaf final : public mutex_waiter {
public:
    explicit mutex_leaf(mutex& m) noexcept : mutex_waiter(m) {}
    mutex_leaf(mutex_leaf&&) noexcept = default;
    bool ready() noexcept override { return !mutex_.locked_; }
    bool commit(detail::wake_list&) noexcept override {
        granted_to_ = &guard_;
        return lock_if_free();
    }
    void enlist() noexcept override {
        granted_to_ = &guard_;
        stand_in_line();
    }
    detail::wait_site site() const noexcept override { return {"lock of a mutex", &mutex_}; }

    /// Like detail::begin_sole().
    detail::sole_start begin() noexcept;
    bool finish() noexcept;
    mutex_guard take() noexcept { return std::move(guard_); }

private:
    mutex_guard guard_{nullptr};
};

class [[nodiscard]] lock_operation : public detail::holding_operation<lock_operation> {
public:
    using result_type = mutex_guard;
    explicit lock_operation(mutex& m) noexcept : leaf_(m) {}
    lock_operation(lock_operation&&) noexcept = default;

    mutex_leaf& the_leaf() noexcept { return leaf_; }
    detail::sole_start begin() noexcept { return leaf_.begin(); }
    bool finish(std::size_t) noexcept { return leaf_.finish(); }
    mutex_guard take(std::size_t) noexcept { return leaf_.take(); }

private:
    mutex_leaf leaf_;
};

inline auto mutex::lock() noexcept {
    return lock_operation(*this);
}

}  // namespace sluice
