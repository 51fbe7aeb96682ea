#include <sluice/runtime/sync/mutex.hpp>

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice {

mutex_guard mutex::try_lock() noexcept {
    const std::lock_guard guard(gate_);
    mutex_guard held(*this);
    if (std::exchange(locked_, true)) held.mutex_ = nullptr;
    return held;
}

void mutex::unlock() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (!locked_) {
            std::fputs("sluice: unlock of a mutex that is not locked\n", stderr);
            std::abort();
        }
        if (detail::claim_front(waiters_, wakes) == nullptr) locked_ = false;
    }
    wakes.wake_all();
}

}  // namespace sluice
