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

/// A leaf is claimed that will be readied: its runtime must not end before that. Gate held; `here`
/// is the calling thread's worker, or null.
inline void keep_home(leaf& l, const worker* here) noexcept {
    l.pinned = here == nullptr || &here->owner() != l.home;
    if (l.pinned) [[unlikely]]
        l.home->pin();
}

/// Claims a leaf that was just unlinked and whose runtime cannot end meanwhile. Gate held.
inline claim_result win(leaf& l) noexcept {
    return l.sole ? claim_result::parked : static_cast<multi_wait*>(l.owner)->try_win(l.index);
}

/// The same for any leaf. Gate held.
inline claim_result claim(leaf& l) noexcept {
    keep_home(l, this_threads_worker);  // first: the runtime must not look idle in between
    const claim_result how = win(l);
    if (how != claim_result::parked && l.pinned) l.home->unpin();
    return how;
}

/// A leaf that has won, or null, and whether it is to be readied: not while its task still enlists.
struct claimed {
    leaf* who;
    bool parked;
};

/// The rest of claim_first(), from a leaf of a multi_wait on.
claimed claim_raced(leaf* first, wait_queue& queue) noexcept;

/// Unlinks leaves from the front until one is claimed. Gate held; `here` as above.
inline claimed claim_first(wait_queue& queue, const worker* here) noexcept {
    leaf* const l = queue.pop_front();
    if (l == nullptr) return {nullptr, false};
    if (!l->sole) return claim_raced(l, queue);
    keep_home(*l, here);
    return {l, true};
}

/// The same; a leaf that is to be readied goes to `wakes`.
inline leaf* claim_front(wait_queue& queue, wake_list& wakes) noexcept {
    const claimed c = claim_first(queue, this_threads_worker);
    if (c.parked) wakes.add(*c.who);
    return c.who;
}

/// Readies the owner of a claimed leaf, which may be gone afterwards. Gate released.
void wake(leaf& l) noexcept;

/// The same for a caller that knows its worker.
inline void wake(leaf& l, worker& here) noexcept {
    if (l.pinned) [[unlikely]] {
        wake(l);
    } else {
        here.make_next(l.owner);
    }
}

/// Claims every leaf of the queue: deliver(leaf) runs for each one that won.
template <class Deliver>
void claim_all(wait_queue& queue, wake_list& wakes, Deliver deliver) noexcept {
    while (leaf* const l = claim_front(queue, wakes)) deliver(*l);
}

}  // namespace sluice::detail
