#include <sluice/runtime/sync/cond.hpp>

#include <mutex>
#include <stdexcept>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice {

void cond::check(const mutex_guard& guard) const {
    if (guard.mutex() != &mutex_) {
        throw std::logic_error("sluice: a cond waits with a guard that does not hold its mutex");
    }
}

void cond::signal() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(mutex_.gate_);
        ++signals_;
        while (auto* const l = static_cast<cond_leaf*>(waiters_.pop_front())) {
            if (l->signalled(wakes)) break;
        }
    }
    wakes.wake_all();
}

void cond::broadcast() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(mutex_.gate_);
        ++signals_;
        while (auto* const l = static_cast<cond_leaf*>(waiters_.pop_front())) l->signalled(wakes);
    }
    wakes.wake_all();
}

bool cond_leaf::signalled(detail::wake_list& wakes) noexcept {
    if (!sole) {
        switch (static_cast<detail::multi_wait*>(owner)->try_win(index)) {
            case detail::claim_result::lost:
                return false;
            case detail::claim_result::early:
                return true;  // its task still enlists, and locks again in regain()
            case detail::claim_result::parked:
                break;
        }
        sole = true;
    }
    waiting_ = false;
    if (lock_if_free()) {
        detail::keep_home(*this, detail::this_threads_worker);
        wakes.add(*this);
    } else {
        stand_in_line();
    }
    return true;
}

// In line before the mutex is given up: whoever locks it next can signal this wait. Of a sole wait
// both happen at once, and the competitor is readied under the gate, which it may have to wait for.
void cond_leaf::enlist() noexcept {
    waiting_ = true;
    lost_ = false;
    signals_before_ = cond_.signals_;
    cond_.waiters_.push_back(*this);
    if (!sole) return;
    detail::wake_list wakes;
    release_mutex(wakes);
    wakes.wake_all();
}

void cond_leaf::give_up() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(mutex_.gate_);
        release_mutex(wakes);
    }
    wakes.wake_all();
}

void cond_leaf::release_mutex(detail::wake_list& wakes) noexcept {
    if (granted_to_->disown() == nullptr) return;  // another wait of this select gave it up
    mutex_.release(wakes);
}

// A wait that has lost may have to start over. If there are signals until then it may have missed
// them, and looks first.
bool cond_leaf::regain(bool lost) noexcept {
    const std::lock_guard guard(mutex_.gate_);
    if (!std::exchange(waiting_, false)) return true;
    lost_ = lost;
    if (granted_to_->owns_lock() || lock_if_free()) return true;
    sole = true;
    stand_in_line();
    return false;
}

}  // namespace sluice
