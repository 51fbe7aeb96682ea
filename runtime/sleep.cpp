#include <sluice/runtime/sleep.hpp>

#include <algorithm>
#include <mutex>
#include <new>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/misuse.hpp>

namespace sluice::detail {

std::int64_t deadline_after_ns(std::int64_t nanoseconds) noexcept {
    std::int64_t at = 0;
    if (__builtin_add_overflow(now(), nanoseconds, &at)) at = timer_queue::never;
    return std::min(at, timer_queue::never - 1);
}

spin_lock* timer_leaf::gate() noexcept {
    if (timer_node::queue == nullptr) timer_node::queue = &current_worker()->timers();
    return &timer_node::queue->gate();
}

[[gnu::noinline]] bool timer_leaf::try_commit() noexcept {
    if (when > now()) return false;
    this_threads_worker->spend();
    return true;
}

void timer_leaf::enlist() noexcept {
    try {
        timer_node::queue->add(*this);
    } catch (const std::bad_alloc&) {
        die_of_misuse("no memory for the list of timers");
    }
}

void timer_leaf::retract() noexcept {
    leave_queue();  // the next wait may run on another worker
}

runnable* timer_leaf::fire(timer_node& node, wake_list& wakes) noexcept {
    auto& self = static_cast<timer_leaf&>(node);
    if (claim(self) == claim_result::parked) wakes.add(self);
    return nullptr;
}

}  // namespace sluice::detail
