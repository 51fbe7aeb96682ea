// A mutex for tasks that many readers may hold at once, or one writer.
#pragma once

#include <cstdint>

#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/sync/lock_owner.hpp>

namespace sluice {

class rw_mutex;

/// Hold an rw_mutex that is locked for writing, and for reading; letting one go unlocks.
using write_guard = detail::lock_owner<rw_mutex>;
using read_guard = detail::lock_owner<rw_mutex, true>;

/// Waiting suspends the task, not the worker. Neither side starves: a writer that waits holds back
/// the readers that come after it, and when a writer unlocks, the readers that wait by then go
/// before the next writer. Writers are served first come, first served. A reader that locks again
/// may therefore wait for a writer that waits for it. Must outlive its guards and the operations on
/// it.
class rw_mutex {
public:
    rw_mutex() = default;
    rw_mutex(const rw_mutex&) = delete;
    rw_mutex& operator=(const rw_mutex&) = delete;

    /// Operations: give a write_guard, a read_guard. A lock that loses a race is not taken.
    auto lock() noexcept;
    auto lock_shared() noexcept;

    /// A guard that owns the lock, or one that does not. Any thread; never wait.
    write_guard try_lock() noexcept;
    read_guard try_lock_shared() noexcept;

    /// Any thread. Unlocking what is not locked is fatal: it reports and aborts.
    void unlock() noexcept;
    void unlock_shared() noexcept;

private:
    friend class rw_mutex_leaf;

    bool free_for(bool shared) const noexcept {
        return !writing_ && writers_.empty() && (shared || reading_ == 0);
    }
    bool take(bool shared) noexcept;
    void admit_readers(detail::wake_list& wakes) noexcept;
    void admit_writer(detail::wake_list& wakes) noexcept;

    detail::spin_lock gate_;
    bool writing_ = false;        // under gate_
    std::int64_t reading_ = 0;    // under gate_: readers that hold it
    detail::wait_queue readers_;  // under gate_; not empty only if writing_ or a writer waits
    detail::wait_queue writers_;  // under gate_; not empty only if it is held
};

class rw_mutex_leaf final : public detail::leaf {
public:
    rw_mutex_leaf(rw_mutex& m, bool shared) noexcept : mutex_(m), shared_(shared) {}
    rw_mutex_leaf(rw_mutex_leaf&&) noexcept = default;
    ~rw_mutex_leaf();
    detail::spin_lock* gate() noexcept override { return &mutex_.gate_; }
    bool ready() noexcept override { return mutex_.free_for(shared_); }
    bool commit(detail::wake_list&) noexcept override { return granted_ = mutex_.take(shared_); }
    void enlist() noexcept override;
    void retract() noexcept override;
    detail::wait_site site() const noexcept override {
        return {shared_ ? "lock_shared of an rw_mutex" : "lock of an rw_mutex", &mutex_};
    }
    rw_mutex& take() noexcept {
        granted_ = false;
        return mutex_;
    }

private:
    friend class rw_mutex;

    rw_mutex& mutex_;
    const bool shared_;
    bool granted_ = false;  // and not taken: unlocks if the task is cut before it runs again
};

template <bool Shared>
class [[nodiscard]] rw_lock_operation : public detail::sole_operation<rw_lock_operation<Shared>> {
public:
    using result_type = detail::lock_owner<rw_mutex, Shared>;
    explicit rw_lock_operation(rw_mutex& m) noexcept : leaf_(m, Shared) {}
    rw_lock_operation(rw_lock_operation&&) noexcept = default;

    rw_mutex_leaf& the_leaf() noexcept { return leaf_; }
    result_type take(std::size_t) noexcept { return result_type(&leaf_.take()); }

private:
    rw_mutex_leaf leaf_;
};

inline auto rw_mutex::lock() noexcept {
    return rw_lock_operation<false>(*this);
}

inline auto rw_mutex::lock_shared() noexcept {
    return rw_lock_operation<true>(*this);
}

}  // namespace sluice
