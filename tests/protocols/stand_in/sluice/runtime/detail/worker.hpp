// A worker as the protocols see one. What it readies, any worker may run at once: as if it were
// stolen in that moment.
#pragma once

#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/seam.hpp>
#include <sluice/runtime/detail/spin_lock.hpp>

namespace sluice::detail {

class scheduler;
class timer_queue;

class worker {
public:
    explicit worker(scheduler& owner) noexcept : owner_(owner) {}

    scheduler& owner() const noexcept { return owner_; }
    lock_ticket ticket() const noexcept { return {}; }
    bool in_no_lock() const noexcept { return true; }
    random_source& random() noexcept { return random_; }
    timer_queue& timers() noexcept;

    void make_next(runnable* r) noexcept;
    void make_ready(runnable* r) noexcept { make_next(r); }
    void go_last(runnable* r) noexcept { make_next(r); }
    bool spend() noexcept { return true; }
    bool slice_left() const noexcept { return true; }

private:
    scheduler& owner_;
    random_source random_{0};
};

/// Null on a foreign thread.
worker* current_worker() noexcept;
worker& require_worker(const char* what);

struct worker_of_this_thread {
    operator worker*() const noexcept { return current_worker(); }
    worker* operator->() const noexcept { return current_worker(); }
    worker& operator*() const noexcept { return *current_worker(); }
};
inline constexpr worker_of_this_thread this_threads_worker{};

}  // namespace sluice::detail
