// A mutex for tasks that many readers may hold at once, or one writer.
//
// Concepts
//   One word says who holds it and whether somebody waits. While nobody does, locks and unlocks
//   change that word alone (enter(), unlock(), unlock_shared()): the short ways. `waited` closes
//   the way in, and the way out for the last who holds it. Everything else happens under the gate,
//   where `waited` is set first: from then on nobody comes in, nor does it become free, but through
//   the gate.
//
// Invariants (under gate_)
//   A queue is not empty only if `waited` is set; readers_ only if somebody writes or a writer
//   waits; writers_ only if it is held.
//   Who has it next may free it, so a thread that gives up its hold touches nothing afterwards, or
//   has the gate and leaves `waited` set: until it leaves the gate nobody else gets in. Therefore
//   leave() clears `waited` only where it hands over, to tasks that it wakes later, or that pass
//   the gate before they go on; else whoever comes next does. So `waited` may be set without
//   anybody who waits.
//
// Orders
//   Giving up a hold is a release. Who gets one has acquired it: in enter(); in free_for() or
//   leave(), under the gate; or woken by one who has. Each change of the word is a
//   read-modify-write, which carries on what was released before. The gate orders the rest.
//
// Rejected: the gate for all (readers on two workers take turns at it), counting a reader in before
// it is known whether it may come in (meanwhile the word says too much).
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
    void unlock() noexcept {
        word seen = writing;
        if (!state_.compare_exchange_strong(seen, 0, detail::release, detail::relaxed))
            leave(writing);
    }
    void unlock_shared() noexcept {
        word seen = state_.load(detail::relaxed);
        while (seen >= reader && seen != (reader | waited)) {
            if (state_.compare_exchange_weak(seen, seen - reader, detail::release, detail::relaxed))
                return;
        }
        leave(reader);
    }

private:
    friend class rw_mutex_leaf;

    using word = std::int64_t;
    static constexpr word writing = 1;  // a writer holds it
    static constexpr word waited = 2;   // somebody waits, or has, or looks whether it must
    static constexpr word reader = 4;   // times the readers that hold it

    // `hold` is what is taken or given back: writing, or reader.

    /// The short way in. False: the gate decides.
    bool enter(word hold) noexcept {
        word seen = 0;
        if (hold == writing)
            return state_.compare_exchange_strong(seen, writing, detail::acquire, detail::relaxed);
        seen = state_.load(detail::relaxed);
        while ((seen & (writing | waited)) == 0) {
            if (state_.compare_exchange_weak(seen, seen + reader, detail::acquire, detail::relaxed))
                return true;
        }
        return false;
    }
    bool try_take(word hold) noexcept;
    /// The long way out.
    void leave(word hold) noexcept;

    // Gate held.
    bool nobody_waits() const noexcept { return readers_.empty() && writers_.empty(); }
    bool free_for(word hold) noexcept;
    bool take(word hold) noexcept;
    void admit(word holds) noexcept;
    bool admit_readers(detail::wake_list& wakes) noexcept;
    bool admit_writer(detail::wake_list& wakes) noexcept;

    detail::atomic<word> state_{0};
    detail::spin_lock gate_{detail::lock_rank::rw_mutex};
    detail::wait_queue readers_;  // under gate_
    detail::wait_queue writers_;  // under gate_
};

class rw_mutex_leaf final : public detail::leaf {
public:
    rw_mutex_leaf(rw_mutex& m, bool shared) noexcept
        : mutex_(m), hold_(shared ? rw_mutex::reader : rw_mutex::writing) {}
    rw_mutex_leaf(rw_mutex_leaf&&) noexcept = default;
    ~rw_mutex_leaf() {
        if (granted_) give_back();
    }
    detail::spin_lock* gate() noexcept override { return &mutex_.gate_; }
    bool ready() noexcept override { return mutex_.free_for(hold_); }
    bool commit(detail::wake_list&) noexcept override { return granted_ = mutex_.take(hold_); }
    bool try_commit() noexcept override;
    void enlist() noexcept override;
    void retract() noexcept override;
    detail::wait_site site() const noexcept override {
        return {hold_ == rw_mutex::reader ? "lock_shared of an rw_mutex" : "lock of an rw_mutex",
                &mutex_};
    }

    /// Like detail::begin_sole().
    detail::sole_start begin() noexcept {
        if (!mutex_.enter(hold_)) return detail::begin_sole(*this);
        granted_ = true;
        return detail::spend_budget() ? detail::sole_start::done : detail::sole_start::spent;
    }
    rw_mutex& take() noexcept {
        granted_ = false;
        return mutex_;
    }

private:
    friend class rw_mutex;
    void give_back() noexcept;

    rw_mutex& mutex_;
    const std::int64_t hold_;
    bool granted_ = false;  // and not taken: unlocks if the task is cut before it runs again
};

template <bool Shared>
class [[nodiscard]] rw_lock_operation
    : public detail::holding_operation<rw_lock_operation<Shared>> {
public:
    using result_type = detail::lock_owner<rw_mutex, Shared>;
    explicit rw_lock_operation(rw_mutex& m) noexcept : leaf_(m, Shared) {}
    rw_lock_operation(rw_lock_operation&&) noexcept = default;

    rw_mutex_leaf& the_leaf() noexcept { return leaf_; }
    detail::sole_start begin() noexcept { return leaf_.begin(); }
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
