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

/// Claims a leaf that was just unlinked. Gate held.
inline claim_result claim(leaf& l) noexcept {
    claim_result how = claim_result::parked;
    if (!l.sole) {
        how = static_cast<multi_wait*>(l.owner)->try_win(l.index);
        if (how != claim_result::parked) return how;
    }
    const worker* const w = this_threads_worker;
    l.pinned = w == nullptr || &w->owner() != l.home;
    if (l.pinned) [[unlikely]]
        l.home->pin();
    return how;
}

/// Unlinks leaves from the front until one is claimed; null when none is left. One that is `parked`
/// goes to `wakes`.
inline leaf* claim_front(wait_queue& queue, wake_list& wakes) noexcept {
    while (leaf* const l = queue.pop_front()) {
        const claim_result how = claim(*l);
        if (how == claim_result::lost) continue;
        if (how == claim_result::parked) wakes.add(*l);
        return l;
    }
    return nullptr;
}

/// Claims every leaf of the queue: deliver(leaf) runs for each one that won.
template <class Deliver>
void claim_all(wait_queue& queue, wake_list& wakes, Deliver deliver) noexcept {
    while (leaf* const l = claim_front(queue, wakes)) deliver(*l);
}

}  // namespace sluice::detail
