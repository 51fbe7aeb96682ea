#include <sluice/runtime/operation.hpp>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::detail {

// noinline, all of these: their callers are coroutines (worker.hpp, this_threads_worker).
[[gnu::noinline]] bool spend_budget() noexcept {
    return this_threads_worker->spend();
}

[[gnu::noinline]] bool slice_left() noexcept {
    return this_threads_worker->slice_left();
}

[[gnu::noinline]] bool in_simulation() noexcept {
    return this_threads_worker->owner().simulated();
}

[[gnu::noinline]] bool may_hold() noexcept {
    worker& here = *this_threads_worker;
    return here.owner().simulated() ? here.spend() : here.slice_left();
}

[[gnu::noinline]] void run_last(runnable* r) noexcept {
    this_threads_worker->go_last(r);
}

[[gnu::noinline]] void own_leaf(leaf& l, std::coroutine_handle<> frame) noexcept {
    l.own(runnable::from_frame(frame), &this_threads_worker->owner(), true);
}

}  // namespace sluice::detail
