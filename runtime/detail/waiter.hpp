// Leaves: the places where a waiting task stands in the queues of what it waits for.
//
// Concepts
//   A source is anything one can wait for: a channel direction, a timer queue, a context, a mutex,
//   a socket. It has a lock (its gate) and lists of leaves. An operation owns one leaf per source
//   it waits for. An awaited operation with one leaf is a sole wait: the leaf's owner is the task's
//   frame itself (or what stands in for it, io_leaf::start_over(), mutex_waiter). Several leaves
//   (select, within) belong to a multi_wait, which is then their owner and decides which of them
//   wins. A completer is whoever makes a source ready: it claims a leaf and delivers under the
//   gate, releases the gate, and then readies the owner.
//
// Invariants
//   A leaf is linked, unlinked, claimed and delivered to under its gate only.
//   A sole leaf is claimed by unlinking it. A leaf of a multi_wait is claimed by the
//   compare-and-swap in try_win(). A claimed leaf stays valid until its owner is readied, and only
//   the claimer readies it. A completer on another runtime's thread, or on no runtime's, pins the
//   leaf's runtime before it releases the gate, so that the runtime cannot be torn down between the
//   claim and the wake.
#pragma once

#include <cstdint>

#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/spin_lock.hpp>

namespace sluice::detail {

class scheduler;
class multi_wait;

/// Node of a circular list; a node alone points to itself, so unlinking needs no list.
struct list_node {
    list_node* next;
    list_node* previous;

    list_node() noexcept { stand_alone(); }
    list_node(const list_node&) = delete;
    list_node& operator=(const list_node&) = delete;

    bool linked() const noexcept { return next != this; }

    void unlink() noexcept {
        next->previous = previous;
        previous->next = next;
        stand_alone();
    }

    void insert_before(list_node& position) noexcept {
        next = &position;
        previous = position.previous;
        previous->next = this;
        position.previous = this;
    }

protected:
    struct unset {};
    explicit list_node(unset) noexcept {}  // stand_alone() comes later

    void stand_alone() noexcept { next = previous = this; }
};

/// What a parked leaf waits for, for reports.
struct wait_site {
    const char* what;    // "recv on a channel", …
    const void* object;  // null: nothing can ever complete it
};

enum class claim_result : std::uint8_t {
    lost,    // another leaf of the same wait has won
    early,   // won while its task was still enlisting: the task goes on by itself and must not be
             // readied
    parked,  // won; the claimer delivers and readies the owner
};

class wake_list;

class leaf : public list_node {
public:
    leaf() noexcept : list_node(unset()) {}
    leaf(leaf&&) noexcept : leaf() {}  // operations move before they wait, never while they do
    leaf& operator=(leaf&&) = delete;

    /// Before it may stand in line. Most operations are done without, so that nothing of this is
    /// set before.
    void own(runnable* by, scheduler* at, bool alone) noexcept {
        stand_alone();
        owner = by;
        home = at;
        sole = alone;
    }

    /// The lock of the source; null: nothing will ever complete this leaf (a nil channel, a context
    /// without an end).
    virtual spin_lock* gate() noexcept = 0;

    /// Gate held. Whether commit() would succeed; asked of one-sided sources only.
    virtual bool ready() noexcept { return false; }

    /// Gate held. Completes the operation if that is possible now; counterparts to be readied go to
    /// `wakes`.
    virtual bool commit(wake_list& wakes) noexcept = 0;

    /// Takes the gate for it, and readies the counterparts. On the task's worker. True: a step of
    /// its slice is spent.
    virtual bool try_commit() noexcept;

    /// Gate held. Stands in line.
    virtual void enlist() noexcept = 0;

    /// Takes the gate. Steps out of line, if still there.
    virtual void retract() noexcept;

    /// Of a leaf with `regains`, when all leaves of its wait stand in line: gives up what it must
    /// while it waits.
    virtual void give_up() noexcept {}

    /// Of a leaf with `regains`, when its race is decided and the losers have stepped out: takes
    /// back what it gave up to wait. False: not yet; the owner is readied then, perhaps already.
    virtual bool regain([[maybe_unused]] bool lost) noexcept { return true; }

    virtual wait_site site() const noexcept = 0;

    /// The task of this sole wait is being destroyed: makes sure that nobody touches the leaf any
    /// more. Idempotent.
    void abandon() noexcept;

    // Constant.
    bool rendezvous = false;  // two parties commit together (at a channel): a wait holds the gates
                              // of all such leaves at once
    bool regains = false;     // gives something up to wait (a cond its mutex)
    // Under the gate, set by the claim.
    bool pinned;  // the claimer has pinned `home`
    // Set by own(); constant while the leaf is enlisted, but for start_over() and regain().
    bool sole;  // unlinking claims it
    // Of a multi_wait, set when it is polled or listed.
    std::uint32_t index;  // among its leaves
    // As `sole`.
    runnable* owner;            // the frame of a sole wait, else the multi_wait
    scheduler* home = nullptr;  // where the owner is readied; null before own()

protected:
    ~leaf() = default;
};

/// A source's leaves, first come first served.
class wait_queue {
public:
    bool empty() const noexcept { return !head_.linked(); }
    void push_back(leaf& l) noexcept { l.insert_before(head_); }
    void push_front(leaf& l) noexcept { l.insert_before(*head_.next); }
    leaf* front() noexcept { return empty() ? nullptr : &static_cast<leaf&>(*head_.next); }

    leaf* pop_front() noexcept {
        leaf* const l = front();
        if (l != nullptr) l->unlink();
        return l;
    }

private:
    list_node head_;
};

/// Leaves claimed under a gate, to be readied after it is released; readies them in the order of
/// their claims.
class wake_list {
public:
    wake_list() = default;
    wake_list(const wake_list&) = delete;
    wake_list& operator=(const wake_list&) = delete;

    /// Gate held; the leaf is claimed as `parked` and unlinked.
    void add(leaf& l) noexcept {
        l.previous = nullptr;  // the chain; `next` keeps saying that the leaf is in no queue
        (last_ == nullptr ? first_ : last_->previous) = &l;
        last_ = &l;
    }

    /// The last of them runs next, the others in their turn.
    void wake_all() noexcept {
        if (first_ != nullptr) wake_chain(first_);
        first_ = last_ = nullptr;
    }

    /// Each runs in its turn, after what is ready here.
    void wake_in_turn() noexcept;

private:
    static void wake_chain(list_node* first) noexcept;

    list_node* first_ = nullptr;
    list_node* last_ = nullptr;
};

}  // namespace sluice::detail
