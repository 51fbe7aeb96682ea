#include "crew.hpp"

#include <cstdlib>
#include <stdexcept>

#include <sluice/runtime/detail/timer_queue.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice::detail {

namespace {
scheduler* the_scheduler = nullptr;
// What runs next where g++ cannot transfer to it. No other worker goes on before it does.
runnable* transfer = nullptr;
}  // namespace

scheduler::scheduler() noexcept {
    the_scheduler = this;
}

scheduler::~scheduler() {
    the_scheduler = nullptr;
}

void scheduler::start(runnable* frame) noexcept {
    promise_base::of(frame).start_detached(0);
    counts_.fetch_add(one_task, relaxed);
    ready(frame);
}

void scheduler::ready(runnable* r) noexcept {
    r->next = nullptr;
    counts_.fetch_add(1, release);
    ready_.push_back(r);
}

void scheduler::ended() noexcept {
    counts_.fetch_sub(one_task, release);
}

void scheduler::work() {
    for (;;) {
        // An update, since that sees the newest value.
        std::uint32_t seen = counts_.fetch_add(0, acquire);
        if (seen == 0) return;
        if (seen % one_task == 0) {
            cpu_relax();
        } else if (counts_.compare_exchange_strong(seen, seen - 1, acquire, relaxed)) {
            auto chosen = ready_.begin();
            std::advance(chosen,
                         ready_.size() == 1 ? 0 : model::world::current().chance(ready_.size()));
            runnable* const r = *chosen;
            ready_.erase(chosen);
            r->run();
            while (transfer != nullptr) std::exchange(transfer, nullptr)->run();
        }
    }
}

scheduler* scheduler::find_and_pin(std::uint32_t) noexcept {
    if (the_scheduler != nullptr) the_scheduler->pin();
    return the_scheduler;
}

void action_mark(void*) {}

void worker::make_next(runnable* r) noexcept {
    owner_.ready(r);
}

worker* current_worker() noexcept {
    return lock_identity() == 0 ? nullptr : &the_scheduler->only_worker();
}

worker& require_worker(const char* what) {
    if (lock_identity() == 0) throw std::logic_error(what);
    return *current_worker();
}

// Only g++ without optimisation, or with a sanitizer, needs it.
void leave_transfer(std::coroutine_handle<> frame) noexcept {
    transfer = runnable::from_frame(frame);
}

void count_finished_task() noexcept {
    the_scheduler->ended();
}

scheduler& scheduler_here(const char* what) {
    return require_worker(what).owner();
}

bool start_detached(scheduler& in, task<>&& t) noexcept {
    in.start(runnable::from_frame(t.release()));
    return true;
}

void die_of_detached_exception(const promise_base&) noexcept {
    model::world::current().fail("an exception left a task");
}

// No program of these has timers.
timer_queue& worker::timers() noexcept {
    std::abort();
}
void timer_queue::add(timer_node&) {
    std::abort();
}
bool timer_queue::cancel(timer_node&) noexcept {
    std::abort();
}

}  // namespace sluice::detail
