// Which workers sleep, how many search, and who must be woken: the parking protocol.
//
// Concepts
//   A worker is running, searching (it has no work of its own and looks for some at the others, or
//   naps between such looks where thefts do not pay) or idle (asleep, or about to be). One word
//   counts the searching and the idle ones, and a list names the idle ones.
//
// The protocol: no lost wakeup, and no needless one
//   Whoever makes work visible to others (pushes to a deque or to the global queue) then calls
//   pick(): light fence, load of the word; a worker is woken only when some are idle and none is
//   searching. The woken one is counted as searching before it is awake, so that a burst of pushes
//   wakes one. A worker that found nothing calls announce() (it is idle now), then runs a heavy
//   fence, then looks at every queue once more; only if all are empty it sleeps. Pusher: store
//   work, light fence, load word. Sleeper: store word, heavy fence, load queues. One of the two
//   sees the other: either the pusher finds it idle or the sleeper finds the work. A pusher that
//   sees a searching worker leaves the work to it. So the last worker that stops searching has a
//   duty: if it found work, it wakes another one (pick()), since there may be more; if it did not,
//   its own recheck after announce() covers the work.
//
// The word: searching in bits 0..15, idle in bits 16..31. It is changed under lock_ or, for
// `searching` alone, by fetch_add; idle always equals the length of the list.
//
// Rejected: one condition variable (wakes are then a lottery), a search by every idle worker (with
// two cores the second searcher only takes cycles from the worker that would give it work), waking
// one worker per push (12 to 40 microseconds each, for work that is done by then).
#pragma once

#include <mutex>
#include <vector>

#include <sluice/runtime/detail/spin_lock.hpp>

namespace sluice::detail {

class sleepers {
public:
    static constexpr int nobody = -1;

    explicit sleepers(std::uint32_t workers) : workers_(workers) { idle_.reserve(workers); }

    /// After making work visible to others. The worker to wake, counted as searching from now on;
    /// or nobody.
    int pick() noexcept {
        light_fence();  // pairs with the heavy fence between announce() and the recheck
        if (!should_wake(word_.load(relaxed))) return nobody;
        return take_idle();
    }

    /// The same for a thread that is no worker here: a runtime with one worker announces with a
    /// full fence, which pairs with full fences only.
    int pick_from_outside() noexcept {
        full_fence();
        if (!should_wake(word_.load(relaxed))) return nobody;
        return take_idle();
    }

    /// A worker that has run out of work. False: enough others search already.
    bool start_searching() noexcept {
        const std::uint32_t w = word_.load(relaxed);
        if (2 * searching(w) >= workers_ - idle(w)) return false;
        word_.fetch_add(1, seq_cst);
        return true;
    }

    /// The searching worker found work. True: it was the last one and calls pick() in its turn.
    bool stop_searching() noexcept { return searching(word_.fetch_sub(1, seq_cst)) == 1; }

    /// The worker becomes idle. The caller runs heavy_fence(), then looks at all queues again
    /// before it sleeps. Returns the number of idle workers, itself included.
    std::uint32_t announce(int worker, bool was_searching) noexcept {
        const std::lock_guard guard(lock_);
        idle_.push_back(worker);
        return idle(word_.fetch_add(one_idle - (was_searching ? 1 : 0), seq_cst)) + 1;
    }

    /// The worker is awake again, for work, a timer or I/O. True: it is searching from now on,
    /// since pick() has chosen it, or because its recheck has found work. Pushers may have left
    /// that work to it while it was searching before, so it keeps the duty of a searcher.
    bool withdraw(int worker, bool recheck_found_work) noexcept {
        const bool was_idle = remove(worker, recheck_found_work ? one_idle - 1 : one_idle);
        return !was_idle || recheck_found_work;
    }

    /// Any idle worker, for work that only a sleeping one can do; it is counted as searching.
    int take_idle_now() noexcept {
        return take_idle_if([](std::uint32_t w) { return idle(w) != 0; });
    }

    /// How often a worker has left idleness. If all are idle before and after, and this has not
    /// changed, then they were idle all the time between.
    std::uint32_t awakenings() const noexcept { return awakenings_.load(seq_cst); }

    /// Nobody is idle or searching; a hint.
    bool all_busy() const noexcept { return word_.load(relaxed) == 0; }

    std::uint32_t searching_count() const noexcept { return searching(word_.load(relaxed)); }

    std::uint32_t idle_count() const noexcept { return idle(word_.load(acquire)); }

private:
    static constexpr std::uint32_t one_idle = 1u << 16;

    static std::uint32_t searching(std::uint32_t w) noexcept { return w & 0xffffu; }
    static std::uint32_t idle(std::uint32_t w) noexcept { return w >> 16; }
    static bool should_wake(std::uint32_t w) noexcept { return searching(w) == 0 && idle(w) != 0; }

    // Takes the worker from the list and `change` from the word; false if it was not idle.
    bool remove(int worker, std::uint32_t change) noexcept {
        const std::lock_guard guard(lock_);
        for (auto it = idle_.begin(); it != idle_.end(); ++it) {
            if (*it != worker) continue;
            idle_.erase(it);
            word_.fetch_sub(change, seq_cst);
            awakenings_.fetch_add(1, seq_cst);
            return true;
        }
        return false;
    }

    int take_idle() noexcept { return take_idle_if(should_wake); }

    template <class Condition>
    int take_idle_if(Condition condition) noexcept {
        const std::lock_guard guard(lock_);
        if (!condition(word_.load(relaxed))) return nobody;
        const int worker = idle_.back();  // the one that went to sleep last: its caches are warmest
        idle_.pop_back();
        word_.fetch_sub(one_idle - 1, seq_cst);
        awakenings_.fetch_add(1, seq_cst);
        return worker;
    }

    const std::uint32_t workers_;
    atomic<std::uint32_t> word_{0};
    atomic<std::uint32_t> awakenings_{0};
    spin_lock lock_{lock_rank::sleepers};
    std::vector<int> idle_;  // under lock_
};

}  // namespace sluice::detail
