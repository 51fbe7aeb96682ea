#include <sluice/runtime/sync/mutex.hpp>

#include <mutex>
#include <utility>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/misuse.hpp>

namespace sluice {

mutex_guard mutex::try_lock() noexcept {
    const std::lock_guard guard(gate_);
    return mutex_guard(std::exchange(locked_, true) ? nullptr : this);
}

// The short way, for a worker at a mutex of its own, enters the gate without a call.
[[gnu::noinline]] void mutex::unlock() noexcept {
    const detail::worker* const here = detail::this_threads_worker;
    if (here != nullptr && here->in_no_lock() && gate_.enter(here->ticket())) [[likely]] {
        if (locked_ && waiters_.empty()) [[likely]] {
            locked_ = starving_ = false;
            gate_.leave(here->ticket());
            return;
        }
        gate_.stay(here->ticket());
    } else {
        gate_.lock();
    }
    if (!locked_) detail::die_of_misuse("unlock of a mutex that is not locked");
    detail::wake_list wakes;
    release(wakes);
    gate_.unlock();
    wakes.wake_all();
}

// It is locked.
void mutex::release(detail::wake_list& wakes) noexcept {
    if (!starving_) {
        locked_ = false;
        send_first(wakes);
    } else if (auto* const next =
                   static_cast<mutex_waiter*>(detail::claim_front(waiters_, wakes))) {
        starving_ = !waiters_.empty() && next->impatient();
        next->grant();
    } else {
        locked_ = starving_ = false;
    }
}

void mutex::send_first(detail::wake_list& wakes) noexcept {
    if (waking_) return;
    auto* const first = static_cast<mutex_waiter*>(detail::claim_front(waiters_, wakes));
    if (first != nullptr) waking_ = first->on_its_way_ = true;
}

bool mutex_waiter::impatient() const noexcept {
    return losses_ >= detail::most_mutex_losses || detail::now() - since_ > mutex::patience;
}

void mutex_waiter::stand_in_line() noexcept {
    if (since_ != nowhere) {
        mutex_.waiters_.push_front(*this);
        return;
    }
    since_ = detail::now();
    if (sole) {
        competitor_.resume = &run_competitor;
        competitor_.of = this;
        competitor_.owner = std::exchange(owner, &competitor_);
    }
    mutex_.waiters_.push_back(*this);
}

bool mutex_waiter::compete() noexcept {
    arrive();
    if (granted_to_->owns_lock() || lock_if_free()) return true;
    ++losses_;
    if (impatient()) mutex_.starving_ = true;
    return false;
}

void mutex_waiter::run_competitor(void* self) {
    auto& competitor =
        *static_cast<mutex_waiter::competitor*>(static_cast<detail::runnable*>(self));
    mutex_waiter& waiter = *competitor.of;
    {
        const std::lock_guard guard(waiter.mutex_.gate_);
        if (!waiter.compete()) {
            waiter.stand_in_line();
            return;
        }
    }
    competitor.owner->run();
}

void mutex_waiter::retract() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(mutex_.gate_);
        if (linked()) unlink();
        leave_line();
        if (on_its_way_) {
            arrive();
            if (!mutex_.locked_) mutex_.send_first(wakes);
        }
    }
    wakes.wake_all();
}

[[gnu::noinline]] detail::sole_start mutex_leaf::begin() noexcept {
    detail::worker& here = *detail::this_threads_worker;
    detail::spin_lock& gate = mutex_.gate_;
    if (!gate.enter(here.ticket())) [[unlikely]]
        return detail::begin_sole(*this);
    if (mutex_.locked_) {
        gate.stay(here.ticket());
        return detail::sole_start::held;
    }
    mutex_.locked_ = true;
    gate.leave(here.ticket());
    guard_ = mutex_guard(&mutex_);
    return here.spend() ? detail::sole_start::done : detail::sole_start::spent;
}

bool mutex_leaf::finish() noexcept {
    if (guard_.owns_lock()) return true;
    const std::lock_guard guard(mutex_.gate_);
    return compete();
}

}  // namespace sluice
