// The lock of a source without its bias, so that a schedule goes to what it guards; the real one is
// explored by itself (model/spin_lock.cpp).
#pragma once

#include <sluice/runtime/detail/lock_rank.hpp>
#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

struct lock_ticket {};

class spin_lock {
public:
    explicit spin_lock(lock_rank) noexcept {}

    void lock() noexcept {
        while (!try_lock()) cpu_relax();
    }
    void lock(lock_ticket) noexcept { lock(); }
    bool try_lock() noexcept { return !held_.exchange(true, acquire); }
    void unlock() noexcept { held_.store(false, release); }

    /// Whoever finds it free is the favourite.
    bool enter(lock_ticket) noexcept { return try_lock(); }
    void stay(lock_ticket) noexcept {}
    void leave(lock_ticket) noexcept { unlock(); }

private:
    atomic<bool> held_{false};
};

}  // namespace sluice::detail
