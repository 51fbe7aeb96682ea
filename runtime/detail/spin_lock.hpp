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
//   One of them sees the other.
//   A revocation costs microseconds, a lock that several workers are busy at would need one again
//   and again. So the favourite is asked first: the other gives it some microseconds of undisturbed
//   work, sets wanted_, and the favourite, on its way out, clears favourite_ itself, which needs no
//   fence. Only one that does not come by in time is revoked. A lock whose favourite left when
//   asked is soon biased again, to the one who asked; each revocation makes the next bias four
//   times as hard to earn, and each departure takes one of these back. So a contended lock goes to
//   and fro in turns of some microseconds, within which it costs no read-modify-write, and a lock
//   that is really shared, but not busy, loses little.
//
// Invariants
//   held_ is true while someone is in the critical section who did not enter as the favourite.
//   favourite_ is set only under held_, and cleared there, or by the favourite inside.
//   fast_holder_ belongs to whoever is in the critical section, and says what its unlock() clears:
//   that seat, or held_. A seat names one lock at most: a favourite that is inside one already
//   takes the next by held_. A lock is not destroyed while it is held: the seat would go on naming
//   it.
//
// Rejected: a flag in the lock instead of the seat (a former favourite that was suspended between
// its two steps would clear the flag of the present one).
//
// The order in which locks are taken stands in lock_rank.hpp.
//
// Source of the idea: biased locking (Kawachiya et al., 2002), with membarrier in place of a stop
// of the owner.
#pragma once

#include <concepts>

#include <sluice/runtime/detail/lock_rank.hpp>
#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

/// What a worker brings to a lock: its identity and its seat.
struct lock_ticket {
    std::uint32_t identity;
    atomic<const void*>* seat;
};

class spin_lock {
public:
    // A template, since it is constexpr only where the seam's atomic is.
    template <std::same_as<lock_rank> Rank>
    explicit constexpr spin_lock(Rank rank) noexcept : rank_(rank) {}

    [[gnu::noinline]] void lock() noexcept {
        const std::uint32_t me = lock_identity();
        if (me != 0 && lock_seat(me).load(relaxed) == nullptr) {
            lock({me, &lock_seat(me)});
        } else {
            lock_slow(me);
        }
    }

    /// The same for a worker that is in no lock.
    void lock(lock_ticket me) noexcept {
        if (enter(me)) [[likely]] {
            stay(me);
        } else {
            lock_slow(me.identity);
        }
    }

    /// The worker, which is in no lock, enters if it is the favourite. For short sections: leave()
    /// follows, or stay() and then unlock().
    bool enter(lock_ticket me) noexcept {
        if (favourite_.load(relaxed) != me.identity) return false;
        me.seat->store(this, release);  // release, here and below: the seat may stand for an
                                        // earlier unlock() in take_back()
        light_fence();                  // pairs with the heavy fence in revoke()
        if (favourite_.load(relaxed) == me.identity) [[likely]] {
            rank_.locks(this);
            rank_.has_locked(this);
            return true;
        }
        me.seat->store(nullptr, release);
        return false;
    }

    void leave(lock_ticket me) noexcept {
        rank_.unlocks();
        // release: pairs with the first acquire in take_back(), which then finds the seat taken or
        // left, not as it was before enter().
        if (wanted_.load(relaxed)) [[unlikely]]
            favourite_.store(0, release);
        // release: pairs with the second acquire in take_back().
        me.seat->store(nullptr, release);
    }

    void stay(lock_ticket me) noexcept { fast_holder_ = me.identity; }

    /// Waits, shortly, for a favourite that is inside; not for that favourite itself to call.
    bool try_lock() noexcept {
        if (held_.load(relaxed) || held_.exchange(true, acquire)) return false;
        rank_.locks(this);  // it may have to wait after all
        rank_.has_locked(this);
        if (favourite_.load(relaxed) != 0) take_back();
        fast_holder_ = 0;
        return true;
    }

    void unlock() noexcept {
        const std::uint32_t holder = fast_holder_;
        if (holder != 0) [[likely]] {
            leave({holder, &lock_seat(holder)});
        } else {
            rank_.unlocks();
            // release: pairs with the exchange in lock_slow() and try_lock().
            held_.store(false, release);
        }
    }

private:
    [[gnu::noinline]] void lock_slow(std::uint32_t me) noexcept {
        rank_.locks(this);
        // acquire: pairs with the release in unlock(); the previous holder's writes are visible.
        while (held_.exchange(true, acquire)) wait_until_free();
        rank_.has_locked(this);
        const std::uint32_t favourite = favourite_.load(relaxed);
        if (favourite != 0 && favourite != me) take_back();
        fast_holder_ = 0;  // only now: until then the favourite may be inside
        if (favourite != 0) return;
        if (me == 0 || me != last_) {
            last_ = me;
            streak_ = 0;
        } else if (++streak_ == bias_after()) {
            favourite_.store(me, relaxed);
            streak_ = 0;
        }
    }

    std::uint32_t bias_after() const noexcept {
        return left_ ? lock_bias_after_request : lock_bias_after << (2 * revocations_);
    }

    // held_ is ours. One who is busy here gets some time, and then leaves when asked to.
    void take_back() noexcept {
        atomic<const void*>& seat = lock_seat(favourite_.load(relaxed));
        back_off();
        wanted_.store(true, relaxed);
        patience wait;
        do {
            // acquire: pairs with the release in leave().
            left_ = favourite_.load(acquire) == 0;
        } while (!left_ && wait.left());
        if (!left_) {
            revoke();
        } else if (revocations_ != 0) {
            --revocations_;
        }
        spin_wait leaving;
        // acquire: pairs with the release in leave(); what the favourite wrote is visible.
        while (seat.load(acquire) == this) leaving.pause();
        wanted_.store(false, relaxed);
    }

    void revoke() noexcept {
        favourite_.store(0, relaxed);
        heavy_fence();  // pairs with the light fence in enter()
        if (revocations_ != most_revocations) ++revocations_;
    }

    void wait_until_free() noexcept {
        spin_wait wait;
        do {
            wait.pause();
        } while (held_.load(relaxed));
    }

    static constexpr std::uint8_t most_revocations = 10;

    [[no_unique_address]] ranked rank_;

    atomic<bool> held_{false};
    atomic<bool> wanted_{false};           // written under held_: the favourite is asked to leave
    plain<bool> left_ = false;             // under held_: the last favourite did
    plain<std::uint8_t> revocations_ = 0;  // under held_: of those that did not
    plain<std::uint32_t> fast_holder_ =
        0;                                // whoever is in the critical section; 0: it came by held_
    atomic<std::uint32_t> favourite_{0};  // a lock_identity(), 0: nobody
    plain<std::uint32_t> last_ = 0;       // under held_: who took it last
    plain<std::uint32_t> streak_ = 0;     // under held_: how often in a row
};

}  // namespace sluice::detail
