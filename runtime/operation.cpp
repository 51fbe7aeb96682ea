#include <sluice/runtime/operation.hpp>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::detail {

bool spend_budget() noexcept {
    return current_worker()->spend();
}

void run_again_last(std::coroutine_handle<> frame) noexcept {
    current_worker()->make_last(runnable::from_frame(frame));
}

void own_leaf(leaf& l, std::coroutine_handle<> frame) noexcept {
    l.owner = runnable::from_frame(frame);
    l.home = &current_worker()->owner();
    l.sole = true;
}

void abandon(leaf& l) noexcept {
    l.retract();
    l.home->wait_until_unpinned();
}

}  // namespace sluice::detail
