// One worker's timers: a 4-ary heap of nodes that live in their owners.
//
// Invariants
//   A node is in at most one queue; position == out exactly when it is in none. Both change under
//   gate(). nodes_[0] has the earliest time; earliest() repeats it for readers without the lock.
//   Queues are leased from a process-wide list and never freed, so that a node may outlive the
//   runtime it was started in: its queue pointer stays good, and says that the node is in no queue.
//   Only the worker that owns the queue adds to it, or whoever runs its timers, for a ticker that
//   comes back; anyone removes, and any worker may run what is due, so that a worker that is stuck
//   in a computation delays no one's timers.
//
// Rejected: a timer wheel (cheaper by some 20 ns per insertion, but it rounds up or needs a second
// structure to know how long a worker may sleep), a kernel timeout for each timer (a system call
// each).
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/waiter.hpp>

namespace sluice::detail {

class timer_queue;

struct timer_node {
    static constexpr std::uint32_t out = 0xffff'ffffu;

    /// Gate held, the node is out of the queue already. Claims leaves into `wakes`, or returns what
    /// is to be run.
    using action = runnable* (*)(timer_node&, wake_list&) noexcept;

    explicit timer_node(action on_expiry) noexcept : expired(on_expiry) {}
    timer_node(const timer_node&) = delete;
    timer_node& operator=(const timer_node&) = delete;

    /// For its owner: takes the queue's gate, if it has been in a queue since the last time. True:
    /// it still was, and its action has not run and will not.
    bool leave_queue() noexcept;

    const action expired;
    std::int64_t when = 0;         // nanoseconds of now(); constant while in a queue
    timer_queue* queue = nullptr;  // the last one it was in
    std::uint32_t position = out;
    atomic<bool> unattended{false};  // nobody waits for what its action does
};

class timer_queue {
public:
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

    /// An empty queue for a worker; throws std::bad_alloc.
    static timer_queue& lease();
    /// The actions of the nodes that are in it never run.
    void forget_all() noexcept;
    /// The same; the worker has ended.
    void give_back() noexcept;

    spin_lock& gate() noexcept { return gate_; }
    std::int64_t earliest() const noexcept { return earliest_.load(relaxed); }

    /// Gate held. Throws std::bad_alloc.
    void add(timer_node& node);

    /// Takes the gate, and adds the node, which is in no queue, for that time. Throws
    /// std::bad_alloc.
    void start(timer_node& node, std::int64_t when) {
        node.when = when;
        const std::lock_guard guard(gate_);
        add(node);
    }

    /// Takes the gate. True: the node was in the queue, and its action has not run and will not.
    bool cancel(timer_node& node) noexcept;

    /// Takes the gate. Whether somebody waits for one of the nodes.
    bool attended() noexcept;

    /// Runs the action of every node that is due at `time`; calls ready(runnable) for what they
    /// return, after the gate is released.
    template <class Ready>
    std::uint32_t run_due(std::int64_t time, Ready ready);

    /// The same for that node, whose action gives nothing to run, if it is in the queue and due.
    void run_if_due(timer_node& node, std::int64_t time) noexcept;

    /// The same for one of the nodes that are due, if there is one: any, as choose(n) decides,
    /// which gives a number below n.
    template <class Choose, class Ready>
    void run_one_due(std::int64_t time, Choose choose, Ready ready);

private:
    struct entry {
        std::int64_t when;
        timer_node* node;
    };
    static constexpr std::uint32_t arity = 4;

    void remove(timer_node& node) noexcept;  // whoever calls it publishes
    runnable* run_one(timer_node& node, wake_list& wakes) noexcept;
    void place(std::uint32_t i, entry e) noexcept;
    void sift_up(std::uint32_t i, entry e) noexcept;
    void sift_down(std::uint32_t i, entry e) noexcept;
    template <class Choose>
    std::uint32_t due_entry(std::int64_t time, Choose choose) const noexcept;
    void publish_earliest() noexcept;

    timer_queue() = default;

    timer_queue* next_ = nullptr;  // in the list of all queues; constant once there
    bool leased_ = true;           // under the list's lock
    spin_lock gate_{lock_rank::timer_queue};
    std::vector<entry> heap_;               // under gate_
    atomic<std::int64_t> earliest_{never};  // written under gate_
};

inline bool timer_node::leave_queue() noexcept {
    if (queue == nullptr) return false;
    const bool was_in = queue->cancel(*this);
    queue = nullptr;  // only now: until then a ticker may put itself in again
    return was_in;
}

template <class Ready>
std::uint32_t timer_queue::run_due(std::int64_t time, Ready ready) {
    wake_list wakes;
    runnable* first = nullptr;
    runnable** last = &first;
    std::uint32_t count = 0;
    gate_.lock();
    while (!heap_.empty() && heap_.front().when <= time) {
        timer_node& node = *heap_.front().node;
        remove(node);
        ++count;
        if (runnable* const r = node.expired(node, wakes)) {
            *last = r;
            r->next = nullptr;
            last = &r->next;
        }
    }
    // Only now: between a ticker's leaving and its coming back its worker might go to sleep.
    publish_earliest();
    gate_.unlock();
    wakes.wake_all();
    while (first != nullptr) {
        runnable* const r = first;
        first = r->next;
        ready(r);
    }
    return count;
}

template <class Choose, class Ready>
void timer_queue::run_one_due(std::int64_t time, Choose choose, Ready ready) {
    wake_list wakes;
    runnable* r = nullptr;
    {
        const std::lock_guard guard(gate_);
        if (heap_.empty() || heap_.front().when > time) return;  // it has been removed meanwhile
        r = run_one(*heap_[due_entry(time, choose)].node, wakes);
    }
    wakes.wake_all();
    if (r != nullptr) ready(r);
}

// What is due is the top of the heap, a tree: from its root on, the choice is to stop at an entry
// or to go on to one of those below it.
template <class Choose>
std::uint32_t timer_queue::due_entry(std::int64_t time, Choose choose) const noexcept {
    const auto size = static_cast<std::uint32_t>(heap_.size());
    std::uint32_t at = 0;
    for (;;) {
        std::uint32_t ways[1 + arity] = {at};
        std::uint32_t count = 1;
        const std::uint32_t end = std::min(at * arity + 1 + arity, size);
        for (std::uint32_t c = at * arity + 1; c < end; ++c) {
            if (heap_[c].when <= time) ways[count++] = c;
        }
        if (count == 1) return at;
        const std::uint32_t chosen = ways[choose(count)];
        if (chosen == at) return at;
        at = chosen;
    }
}

}  // namespace sluice::detail
