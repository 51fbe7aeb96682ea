// Waiting for several leaves at once, of which exactly one wins.
//
// The state word
//   enlisting   the task is still linking its leaves; a completer may win already ("early")
//   parked      all leaves are linked and the task is suspended
//   0, 1, …     the leaf with that index has won
// enlisting -> parked by the task, with compare-and-swap; enlisting -> i and parked -> i by
// completers, likewise, or by the task itself for a one-sided leaf that it finds ready. A won state
// is final.
//
// The phases
//   1. Attempt, before the task is suspended (but see stand_in()): the operation polls its leaves
//      in its order (a select shuffles its cases, within() asks its two sides in turn), each under
//      its own gate, and leaves out those that do not look ready. No leaf of this wait is linked
//      yet, so nobody can claim it, and committing needs only the counterpart's claim.
//   2. Enlist, where start() begins: the gates of all rendezvous leaves are taken, each once, in
//      address order. All leaves are polled again, in the order in which they are listed
//      (raced_wait::list_leaves()), those of channels at one moment; then these are linked, the
//      gates are released, and the one-sided leaves are linked one by one, each under its own gate,
//      until one is found ready or the wait is won. When all stand in line, leaves that must give
//      something up for the wait do so (leaf::give_up()).
//   3. Arm: enlisting -> parked. On success nothing more is touched: another worker may run the
//   task already. On failure
//      the winner's gate is passed through once (its completer delivers under it), and the task
//      goes on inline.
//   4. Retire, on the worker that resumes the task and before user code: the losers step out of
//   their queues. Then leaves that gave something up take it back (leaf::regain()), one after the
//   other, for which the task may be suspended once more.
// Then finish() completes what was only promised (the call that a socket was ready for). It may
// find that somebody was faster; then everything starts over, without resuming the coroutine.
//
// Rejected: allocating a shared node per select (the leaves and this object live in the awaiting
// frame), enlisting under one gate at a time (two selects that face each other would then need to
// claim two state words at once).
#pragma once

#include <utility>

#include <sluice/runtime/detail/waiter.hpp>

namespace sluice::detail {

/// Of a random order of n: a fraction of 2^64, of which the caller takes the whole part of n times
/// that. A simulation decides it for n > 1.
std::uint64_t order_fraction(std::uint32_t n) noexcept;

/// Calls visit(k) for each of the n numbers k in `room`, in random order, until one gives true;
/// gives whether one did.
template <class Visit>
[[gnu::always_inline]] inline bool in_random_order(std::uint32_t* room, std::uint32_t n,
                                                   Visit visit) noexcept {
    __extension__ using wide = unsigned __int128;
    if (n < 2) return n == 1 && visit(room[0]);
    // One fraction: each step leaves what is behind its point.
    constexpr std::uint32_t enough_for = 8;
    std::uint64_t fraction = order_fraction(n);
    for (std::uint32_t k = 0; k != n; ++k) {
        if (k >= enough_for) fraction = order_fraction(1);
        const wide scaled = static_cast<wide>(fraction) * (n - k);
        std::swap(room[k], room[k + static_cast<std::uint32_t>(scaled >> 64)]);
        fraction = static_cast<std::uint64_t>(scaled);
        if (visit(room[k])) return true;
    }
    return false;
}

/// Whether two of the leaves have one gate, so that the order in which they stand in line can
/// matter. Compares each with all before it.
bool some_share_a_gate(leaf* const* leaves, std::uint32_t count) noexcept;

/// What a simulation is told of an order: that one is about to be drawn, and that the latest, after
/// which no other has begun, made no difference.
inline void order_begins() noexcept {
    if (choice_source* const chance = simulated_chance()) [[unlikely]]
        chance->begin_order();
}
inline void order_was_in_vain() noexcept {
    if (choice_source* const chance = simulated_chance()) [[unlikely]]
        chance->drawn_in_vain();
}

class multi_wait : public runnable {
public:
    /// Completes what the winner of the wait only promised. False: start over; the leaves are
    /// listed anew.
    using finisher = bool (*)(multi_wait&) noexcept;

    /// An operation with more leaves than this brings `leaves` with room for twice as many.
    static constexpr std::uint32_t on_stack = 16;
    static constexpr std::uint32_t nothing = 0xffff'fffdu;  // winner() when `otherwise` was taken

    multi_wait() noexcept { resume = &multi_wait::resumed; }
    multi_wait(multi_wait&&) noexcept : multi_wait() {}
    multi_wait& operator=(multi_wait&&) = delete;

    /// The task is being destroyed: makes sure that nobody touches a leaf any more.
    void abandon() noexcept;

    /// Of an attempt that needs no wait: has leaf i won?
    template <class Leaf>
    bool try_at_once(Leaf& l, std::uint32_t i) noexcept {
        l.index = i;
        if (!l.try_commit()) return false;
        state_.store(i, relaxed);
        return true;
    }

    /// After an attempt in vain: waits, in `frame`. `leaves` are all, in the order to poll
    /// them; they and their list must stay until the wait is over. True: the task is parked, and
    /// nothing of it may be touched. False: it goes on at once.
    bool start(runnable* frame, leaf** leaves, std::uint32_t count, finisher finish,
               bool has_default) noexcept;

    /// Before the first attempt: runs begin(this) in place of the task when its turn comes.
    void stand_in(runnable* frame, function begin) noexcept {
        frame_ = frame;
        resume = begin;
    }
    /// For whom it did; no longer.
    runnable* stood_in() noexcept {
        resume = &multi_wait::resumed;
        return frame_;
    }

    std::uint32_t winner() const noexcept { return state_.load(relaxed); }

    claim_result try_win(std::uint32_t index) noexcept {
        std::uint32_t expected = parked;
        // acq_rel: acquire pairs with arm() (the task is whole), release with resumed() and
        // settle() by way of the gate.
        if (state_.compare_exchange_strong(expected, index, acq_rel, acquire))
            return claim_result::parked;
        if (expected == enlisting &&
            state_.compare_exchange_strong(expected, index, acq_rel, acquire)) {
            return claim_result::early;
        }
        // The task may have armed between the two attempts.
        if (expected == parked &&
            state_.compare_exchange_strong(expected, index, acq_rel, acquire)) {
            return claim_result::parked;
        }
        return claim_result::lost;
    }

    /// For reports on a suspended task.
    bool is_parked() const noexcept { return state_.load(acquire) == parked; }
    /// Of a wait that is decided: the leaf that has yet to take back what it gave up, or null.
    const leaf* regaining() const noexcept;
    std::uint32_t count() const noexcept { return count_; }
    const leaf& at(std::uint32_t i) const noexcept;

private:
    static constexpr std::uint32_t enlisting = 0xffff'ffffu;
    static constexpr std::uint32_t parked = 0xffff'fffeu;

    static void resumed(void* self);

    bool wait_once() noexcept;
    void own_leaves() noexcept;
    bool poll_together(wake_list& wakes) noexcept;
    void enlist_one_sided(wake_list& wakes) noexcept;
    void give_up() noexcept;
    void retire() noexcept;
    bool regain() noexcept;

    // The task's worker only, and constant while parked.
    std::uint32_t count_ = 0;
    std::uint32_t regained_ = 0;  // how many leaves regain() has come to; 0: not retired yet
    bool active_ = false;         // between start() and the task's resumption
    // Likewise, and set by start().
    bool has_default_;
    bool some_regain_;
    leaf** leaves_;  // in the order to poll them; if some regain, later by their index
    runnable* frame_;
    finisher finish_;
    // Anyone, by compare-and-swap.
    atomic<std::uint32_t> state_{nothing};
};

}  // namespace sluice::detail
