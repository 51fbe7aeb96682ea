#include <sluice/runtime/detail/waiter.hpp>

#include <mutex>
#include <utility>

#include <sluice/runtime/detail/multi_wait.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::detail {

void leaf::retract() noexcept {
    spin_lock* const g = gate();
    if (g == nullptr) return;
    const std::lock_guard guard(*g);
    if (linked()) unlink();
}

void leaf::abandon() noexcept {
    scheduler* const was_home = std::exchange(home, nullptr);
    if (was_home == nullptr) return;
    retract();
    was_home->wait_until_unpinned();
}

claim_result claim(leaf& l) noexcept {
    claim_result how = claim_result::parked;
    if (!l.sole) {
        how = static_cast<multi_wait*>(l.owner)->try_win(l.index);
        if (how != claim_result::parked) return how;
    }
    worker* const w = this_threads_worker;
    l.pinned = w == nullptr || &w->owner() != l.home;
    if (l.pinned) l.home->pin();
    return how;
}

void wake(leaf& l) noexcept {
    if (!l.pinned) {
        this_threads_worker->make_next(l.owner);
        return;
    }
    scheduler* const home = l.home;
    home->inject(l.owner);
    home->unpin();
}

leaf* wait_queue::claim_front(bool& early) noexcept {
    while (leaf* const l = pop_front()) {
        const claim_result how = claim(*l);
        if (how == claim_result::lost) continue;
        early = how == claim_result::early;
        return l;
    }
    return nullptr;
}

}  // namespace sluice::detail
