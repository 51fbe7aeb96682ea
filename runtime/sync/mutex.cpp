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

// Gate held.
void mutex::pass_on(detail::wake_list& wakes) noexcept {
    if (auto* const next = static_cast<mutex_waiter*>(detail::claim_front(waiters_, wakes))) {
        next->grant();
    } else {
        locked_ = false;
    }
}

void mutex::unlock() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (!locked_) detail::die_of_misuse("unlock of a mutex that is not locked");
        pass_on(wakes);
    }
    wakes.wake_all();
}

}  // namespace sluice
