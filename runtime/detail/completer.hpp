// What the completer of a wait does: claiming leaves, under their gate (waiter.hpp).
//
// For the sources' own functions, out of line of any coroutine: it reads the calling thread's
// worker (worker.hpp, this_threads_worker).
#pragma once

#include <sluice/runtime/detail/multi_wait.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::detail {

/// A leaf is claimed that will be readied: its runtime must not end before that. Gate held.
inline void keep_home(leaf& l) noexcept {
    const worker* const w = this_threads_worker;
    l.pinned = w == nullptr || &w->owner() != l.home;
    if (l.pinned) [[unlikely]]
        l.home->pin();
}

/// Claims a leaf that was just unlinked. Gate held.
inline claim_result claim(leaf& l) noexcept {
    if (!l.sole) {
        const claim_result how = static_cast<multi_wait*>(l.owner)->try_win(l.index);
        if (how != claim_result::parked) return how;
    }
    keep_home(l);
    return claim_result::parked;
}

/// The rest of claim_front(), from a leaf of a multi_wait on.
leaf* claim_raced(leaf* first, wait_queue& queue, wake_list& wakes) noexcept;

/// Unlinks leaves from the front until one is claimed; null when none is left. One that is `parked`
/// goes to `wakes`.
inline leaf* claim_front(wait_queue& queue, wake_list& wakes) noexcept {
    leaf* const l = queue.pop_front();
    if (l == nullptr) return nullptr;
    if (!l->sole) return claim_raced(l, queue, wakes);
    keep_home(*l);
    wakes.add(*l);
    return l;
}

inline void wake_list::wake_all(worker& here) noexcept {
    if (first_ == nullptr) return;
    leaf& l = static_cast<leaf&>(*first_);
    if (first_ == last_ && !l.pinned) [[likely]] {
        here.make_next(l.owner);
    } else {
        wake_chain(first_);
    }
    first_ = last_ = nullptr;
}

/// Claims every leaf of the queue: deliver(leaf) runs for each one that won.
template <class Deliver>
void claim_all(wait_queue& queue, wake_list& wakes, Deliver deliver) noexcept {
    while (leaf* const l = claim_front(queue, wakes)) deliver(*l);
}

}  // namespace sluice::detail
