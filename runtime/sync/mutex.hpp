// A mutex for tasks.
#pragma once

#include <utility>

#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/sync/lock_owner.hpp>

namespace sluice {

class mutex;

/// Holds a locked mutex; letting it go unlocks.
using mutex_guard = detail::lock_owner<mutex>;

/// At most one task holds it; waiting suspends the task, not the worker. First come, first served:
/// unlock() hands the mutex to the longest waiter. Must outlive its guards and the operations on
/// it.
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

    void pass_on(detail::wake_list& wakes) noexcept;

    detail::spin_lock gate_;
    bool locked_ = false;         // under gate_
    detail::wait_queue waiters_;  // under gate_; not empty only if locked_
};

/// Who may stand in line for a mutex: it is granted by handing over a guard, which unlocks even if
/// the task is cut before it runs again.
class mutex_waiter : public detail::leaf {
public:
    detail::spin_lock* gate() noexcept final { return &mutex_.gate_; }
    mutex& of() const noexcept { return mutex_; }

    // Gate held.

    bool lock_if_free() noexcept {
        if (std::exchange(mutex_.locked_, true)) return false;
        grant();
        return true;
    }
    /// The mutex is locked, for this one.
    void grant() noexcept { *granted_to_ = mutex_guard(&mutex_); }

protected:
    explicit mutex_waiter(mutex& m) noexcept : mutex_(m) {}
    mutex_waiter(mutex_waiter&&) noexcept = default;
    ~mutex_waiter() = default;

    void stand_in_line() noexcept { mutex_.waiters_.push_back(*this); }

    mutex& mutex_;
    mutex_guard* granted_to_ = nullptr;  // set before grant()
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
    void enlist() noexcept override { stand_in_line(); }
    detail::wait_site site() const noexcept override { return {"lock of a mutex", &mutex_}; }
    mutex_guard take() noexcept { return std::move(guard_); }

private:
    mutex_guard guard_{nullptr};
};

class [[nodiscard]] lock_operation : public detail::sole_operation<lock_operation> {
public:
    using result_type = mutex_guard;
    explicit lock_operation(mutex& m) noexcept : leaf_(m) {}
    lock_operation(lock_operation&&) noexcept = default;

    mutex_leaf& the_leaf() noexcept { return leaf_; }
    mutex_guard take(std::size_t) noexcept { return leaf_.take(); }

private:
    mutex_leaf leaf_;
};

inline auto mutex::lock() noexcept {
    return lock_operation(*this);
}

}  // namespace sluice
