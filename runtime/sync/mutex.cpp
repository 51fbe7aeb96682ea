#include <sluice/runtime/sync/mutex.hpp>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice {

mutex_guard mutex::try_lock() noexcept {
    const std::lock_guard guard(gate_);
    return mutex_guard(std::exchange(locked_, true) ? nullptr : this);
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
