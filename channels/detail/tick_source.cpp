#include <sluice/channels/detail/tick_source.hpp>

#include <mutex>
#include <stdexcept>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice::detail {

tick_source::tick_source(std::int64_t first, std::int64_t period)
    : timer_node(&tick_source::fire), period_(period), next_(first) {
    unattended.store(true, relaxed);
    require_worker("a timer").timers().start(*this, first);
}

// Under control_. True: it was running, or a tick was pending.
bool tick_source::halt() noexcept {
    const bool was_running = leave_queue();
    next_.store(timer_queue::never, relaxed);
    if (was_running && period_ == 0) return true;  // it has not fired: nothing can be pending
    const std::lock_guard guard(gate_);
    return std::exchange(pending_, none) != none || was_running;
}

bool tick_source::stop() noexcept {
    const std::lock_guard guard(control_);
    return halt();
}

bool tick_source::reset(std::int64_t first, std::int64_t period) {
    timer_queue& here = require_worker("a timer").timers();
    const std::lock_guard guard(control_);
    const bool was_running = halt();
    period_ = period;
    next_.store(first, relaxed);
    here.start(*this, first);
    return was_running;
}

void tick_source::catch_up() noexcept {
    const std::int64_t time = now();
    if (next_.load(relaxed) > time) return;
    const std::lock_guard guard(control_);
    if (timer_node::queue != nullptr) timer_node::queue->run_if_due(*this, time);
}

runnable* tick_source::fire(timer_node& node, wake_list& wakes) noexcept {
    auto& self = static_cast<tick_source&>(node);
    const std::int64_t due = self.when;
    {
        const std::lock_guard guard(self.gate_);
        if (auto* const waiter = static_cast<tick_leaf*>(claim_front(self.waiters_, wakes))) {
            waiter->due = due;
        } else if (!self.pending()) {
            self.pending_ = due;
        }
        self.note_waiters();
    }
    std::int64_t next = timer_queue::never;
    if (self.period_ != 0) {
        // A late worker skips ticks, it does not catch up.
        const std::int64_t missed = (now() - due) / self.period_;
        const std::int64_t latest = due + missed * self.period_;
        if (self.period_ < timer_queue::never - latest) {  // else the next one lies beyond all time
            self.when = next = latest + self.period_;
            self.timer_node::queue->add(self);  // into the room that it has just left
        }
    }
    self.next_.store(next, relaxed);
    return nullptr;
}

void tick_leaf::retract() noexcept {
    const std::lock_guard guard(source_.gate());
    if (linked()) unlink();
    source_.note_waiters();
}

void throw_moved_from_timer() {
    throw std::logic_error("sluice: a timer or ticker that was moved from");
}

}  // namespace sluice::detail
