// The monitor: a thread that looks every 10 ms whether a worker has been in one task since the last
// look, and sends an idle worker to take over what waits there: queued tasks, timers and I/O. In
// between it tries whether thefts pay (theft_trials.hpp). It sleeps while all workers do.
#include <sluice/runtime/detail/scheduler.hpp>

#include <algorithm>
#include <chrono>

#include <pthread.h>

namespace sluice::detail {

namespace {
constexpr std::int64_t interval = 10'000'000;  // nanoseconds
}

void scheduler::monitor() {
    ::pthread_setname_np(::pthread_self(), "sluice-monitor");
    std::vector<std::uint32_t> seen(size());
    std::unique_lock lock(monitor_mutex_);
    std::int64_t look = now() + interval;
    while (!stopping()) {
        const std::int64_t wait = std::min(look, trials_.next()) - now();
        monitor_wakes_.wait_for(lock, std::chrono::nanoseconds(wait));
        const std::int64_t time = now();
        if (trials_.due(time, thefts_pay())) weigh_thefts();
        if (time < look) continue;
        look = time + interval;
        if (look_for_stalls(seen)) continue;
        // All workers are idle. Whoever leaves idleness after this store sees it; who left before
        // is seen below.
        monitor_asleep_.store(true, seq_cst);
        while (!stopping() && monitor_asleep_.load(seq_cst) && sleepers_.idle_count() == size()) {
            monitor_wakes_.wait(lock);
        }
        monitor_asleep_.store(false, seq_cst);
        look = now() + interval;
        trials_.begin_again(work_done(), thefts_pay());
    }
}

theft_trials::tally scheduler::work_done() const noexcept {
    theft_trials::tally all{now(), 0, 0, 0};
    for (const auto& w : workers_) {
        all.work += w->done.get();
        all.thefts += w->steals.get();
        all.awake += w->asleep() ? 0 : 1;
    }
    return all;
}

void scheduler::weigh_thefts() noexcept {
    const bool on = thefts_pay();
    if (trials_.step(work_done(), on) != on) let_steal(!on);
}

// False: every worker is idle.
bool scheduler::look_for_stalls(std::vector<std::uint32_t>& seen) {
    if ((orders_.load(relaxed) & order_halt) != 0) {  // they stand still because they are told to
        for (std::size_t i = 0; i != size(); ++i) seen[i] = workers_[i]->ticks() - 1;
        return true;
    }
    bool any_stalled = false;
    bool any_awake = false;
    for (std::size_t i = 0; i != size(); ++i) {
        worker& w = *workers_[i];
        const std::uint32_t ticks = w.ticks();
        const bool awake = !w.asleep();
        const bool stuck = awake && ticks == seen[i];
        if (stuck && !stalled_[i].load(relaxed)) stalls_.fetch_add(1, relaxed);
        stalled_[i].store(stuck, relaxed);
        if (stuck) w.io().nudge();
        seen[i] = ticks;
        any_stalled |= stuck;
        any_awake |= awake;
    }
    help_wanted_.store(any_stalled, relaxed);
    if (any_stalled) wake_worker(sleepers_.take_idle_now());
    return any_awake;
}

void scheduler::left_idle() noexcept {
    if (!monitor_asleep_.load(seq_cst)) return;
    {
        const std::lock_guard guard(monitor_mutex_);
        monitor_asleep_.store(false, seq_cst);
    }
    monitor_wakes_.notify_one();
}

}  // namespace sluice::detail
