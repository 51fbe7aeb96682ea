#include <sluice/runtime/detail/waiter.hpp>

#include <mutex>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice::detail {

[[gnu::noinline]] bool leaf::try_commit() noexcept {
    spin_lock* const g = gate();
    if (g == nullptr) return false;
    wake_list wakes;
    g->lock();
    const bool done = commit(wakes);
    g->unlock();
    wakes.wake_all();
    if (done) this_threads_worker->spend();
    return done;
}

void leaf::retract() noexcept {
    spin_lock* const g = gate();
    if (g == nullptr) return;
    const std::lock_guard guard(*g);
    if (linked()) unlink();
}

void leaf::abandon() noexcept {
    if (home == nullptr) return;
    retract();
    home->wait_until_unpinned();  // a completer on another thread may be about to use it
    home = nullptr;
}

namespace {

template <void (worker::*Ready)(runnable*) noexcept>
void wake_by(leaf& l) noexcept {
    if (!l.pinned) {
        ((*this_threads_worker).*Ready)(l.owner);
        return;
    }
    scheduler* const home = l.home;
    home->inject(l.owner);
    home->unpin();
}

template <void (worker::*Ready)(runnable*) noexcept>
void wake_chain_by(list_node* first) noexcept {
    while (first != nullptr) {
        list_node* const following = first->previous;
        wake_by<Ready>(static_cast<leaf&>(*first));
        first = following;
    }
}

}  // namespace

void wake(leaf& l) noexcept {
    wake_by<&worker::make_next>(l);
}

claimed claim_raced(leaf* first, wait_queue& queue) noexcept {
    for (leaf* l = first; l != nullptr; l = queue.pop_front()) {
        const claim_result how = claim(*l);
        if (how != claim_result::lost) return {l, how == claim_result::parked};
    }
    return {nullptr, false};
}

void wake_list::wake_chain(list_node* first) noexcept {
    wake_chain_by<&worker::make_next>(first);
}

void wake_list::wake_in_turn() noexcept {
    wake_chain_by<&worker::make_ready>(first_);
    first_ = last_ = nullptr;
}

}  // namespace sluice::detail
