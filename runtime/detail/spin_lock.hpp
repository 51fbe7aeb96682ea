// The lock of every source (channel, timer queue, context, mutex, …) and of the scheduler's shared
// lists.
//
// Critical sections are a few dozen instructions and never suspend, so waiters spin with a fixed
// back-off (spin_wait). The releasing store is the last access to the lock: a waiter that was
// released under it may free the object that contains it at once. That is why std::mutex, whose
// unlock may touch the object again, does not serve here.
//
// Bias
//   Most sources are used by one worker for long stretches, and the read-modify-write that takes a
//   lock is then most of the cost of an operation. A worker that has taken the lock many times in a
//   row becomes its favourite: from then on it enters by writing the lock's address on its own
//   seat, a plain store, and looking whether it is still the favourite. Everyone else takes held_,
//   and, finding a favourite, revokes it first: clears favourite_, runs a heavy fence, and waits
//   until that seat does not name the lock. The two are Dekker's pattern: the favourite stores its
//   seat, light fence, loads favourite_; the other stores favourite_, heavy fence, loads the seat.
//   One of them sees the other. Each revocation makes the next bias four times as hard to earn, so
//   that locks which are really shared lose little.
//
// Invariants
//   held_ is true while someone is in the critical section who did not enter as the favourite.
//   favourite_ changes only under held_. fast_holder_ belongs to whoever is in the critical
//   section, and says what its unlock() clears: that seat, or held_. A seat names one lock at most:
//   a favourite that is inside one already takes the next by held_. A lock is not destroyed while
//   it is held: the seat would go on naming it.
//
// Rejected: a flag in the lock instead of the seat (a former favourite that was suspended between
// its two steps would clear the flag of the present one).
//
// Lock order: channel locks by address, then the lock of one one-sided source, then the scheduler's
// lists. A context is locked before its children; no other two sources are locked together.
//
// Source of the idea: biased locking (Kawachiya et al., 2002), with membarrier in place of a stop
// of the owner.
#pragma once

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

class spin_lock {
public:
    void lock() noexcept { lock_as(lock_identity()); }

    /// The same for a caller that knows its lock_identity().
    void lock_as(std::uint32_t me) noexcept {
        if (me != 0 && favourite_.load(relaxed) == me && enter_fast(me)) [[likely]]
            return;
        lock_slow(me);
    }

    /// Waits, shortly, for a favourite that is inside; not for that favourite itself to call.
    bool try_lock() noexcept {
        if (held_.load(relaxed) || held_.exchange(true, acquire)) return false;
        if (favourite_.load(relaxed) != 0) revoke();
        fast_holder_ = 0;
        return true;
    }

    void unlock() noexcept {
        const std::uint32_t seat = fast_holder_;
        if (seat != 0) [[likely]] {
            // release: pairs with the acquire in revoke().
            lock_seat(seat).store(nullptr, release);
        } else {
            // release: pairs with the exchange in lock_slow() and try_lock().
            held_.store(false, release);
        }
    }

private:
    bool enter_fast(std::uint32_t me) noexcept {
        atomic<const void*>& seat = lock_seat(me);
        if (seat.load(relaxed) != nullptr) return false;
        seat.store(this, release);  // release, here and below: the seat may stand for an earlier
                                    // unlock() in revoke()
        light_fence();              // pairs with the heavy fence in revoke()
        if (favourite_.load(relaxed) == me) [[likely]] {
            fast_holder_ = me;
            return true;
        }
        seat.store(nullptr, release);
        return false;
    }

    void lock_slow(std::uint32_t me) noexcept {
        // acquire: pairs with the release in unlock(); the previous holder's writes are visible.
        while (held_.exchange(true, acquire)) wait_until_free();
        const std::uint32_t favourite = favourite_.load(relaxed);
        if (favourite != 0 && favourite != me) revoke();
        fast_holder_ = 0;  // only now: until then the favourite may be inside
        if (favourite != 0) return;
        if (me == 0 || me != last_) {
            last_ = me;
            streak_ = 0;
        } else if (++streak_ == lock_bias_after << (2 * revocations_)) {
            favourite_.store(me, relaxed);
            streak_ = 0;
        }
    }

    // held_ is ours.
    void revoke() noexcept {
        atomic<const void*>& seat = lock_seat(favourite_.load(relaxed));
        favourite_.store(0, relaxed);
        heavy_fence();  // pairs with the light fence in enter_fast()
        spin_wait wait;
        // acquire: pairs with the release in unlock(); what the favourite wrote is visible.
        while (seat.load(acquire) == this) wait.pause();
        if (revocations_ != most_revocations) ++revocations_;
    }

    void wait_until_free() noexcept {
        spin_wait wait;
        do {
            wait.pause();
        } while (held_.load(relaxed));
    }

    static constexpr std::uint8_t most_revocations = 10;

    atomic<bool> held_{false};
    plain<std::uint8_t> revocations_ = 0;  // under held_
    plain<std::uint32_t> fast_holder_ =
        0;                                // whoever is in the critical section; 0: it came by held_
    atomic<std::uint32_t> favourite_{0};  // written under held_; a lock_identity(), 0: nobody
    plain<std::uint32_t> last_ = 0;       // under held_: who took it last
    plain<std::uint32_t> streak_ = 0;     // under held_: how often in a row
};

}  // namespace sluice::detail
