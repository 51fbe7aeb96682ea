// The part of a runtime that its workers share: the global queue, the sleepers, start, end, and the
// list of what is left.
//
// Ending
//   A runtime made by run() ends when all its workers are idle, the main task has finished and no
//   task is left. When all are idle, tasks are left, and no timer, I/O, blocking call, signal or
//   foreign thread could ready any, that is a deadlock. The last worker to announce itself idle
//   decides (all_idle), so that running tasks pay nothing for it; an idle worker readies nothing,
//   not even what ended its sleep, before it has left idleness. close() makes the scheduler
//   refuse tasks and drop wakes; then the workers stop; then cut() destroys what is left.
//
// Standing still
//   list_tasks() looks into the frames of tasks, which nobody may resume meanwhile. It calls all
//   other workers to a halt, which they come to between two steps of tasks (those that sleep are
//   woken for it), and lets them go when it has seen all. A worker that has left run() counts as
//   halted for ever.
//
// Pins
//   Threads of other runtimes, or of none, that complete an operation of a task here pin the
//   scheduler between their claim and their inject(). cut() and the destructor wait until nobody
//   does.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/runtime/detail/global_queue.hpp>
#include <sluice/runtime/detail/promise.hpp>
#include <sluice/runtime/detail/sleepers.hpp>
#include <sluice/runtime/detail/theft_trials.hpp>
#include <sluice/runtime/detail/worker.hpp>
#include <sluice/runtime/options.hpp>
#include <sluice/runtime/stats.hpp>

namespace sluice::detail {

class scheduler {
public:
    enum class ending : std::uint8_t {
        on_request,      // class runtime: runs until it is told to stop
        when_quiescent,  // run(): ends by itself, and reports deadlocks
        simulated,       // class simulator decides, on the calling thread
    };

    scheduler(options o, ending e);
    /// For a simulator: one worker, which no thread runs.
    explicit scheduler(std::unique_ptr<driver> simulated);
    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;
    ~scheduler();

    // Start and end; called by the thread that owns the runtime.

    /// Starts the threads of the workers from `first` on.
    void start_threads(unsigned first);
    /// Worker 0 runs on the calling thread until the scheduler stops.
    void run_here();
    /// No task is accepted from outside any more; wakes from there are dropped.
    void close() noexcept;
    /// Workers return from run() after their present task.
    void stop() noexcept;
    void join();
    /// After join(): destroys all tasks that are left, and tells what each waited for.
    std::vector<task_info> cut();
    /// On a worker, whose running task has marked itself as ready: all tasks that live, the oldest
    /// first. Waits for the other workers.
    std::vector<task_info> list_tasks();

    // Any thread.

    /// Accepts a new task. False, and nothing has happened: the scheduler is closed. What a task
    /// starts is accepted to the last, and then cut with the others: it must not see, in the middle
    /// of its work, that the runtime ends.
    bool submit(runnable* frame) noexcept {
        worker* const w = this_threads_worker;
        if (w == nullptr || &w->owner() != this) return submit_from_outside(frame);
        start(frame, *w);
        return true;
    }
    /// The same for a task of this scheduler, on the worker that calls.
    void start(runnable* frame, worker& here) noexcept {
        mark_started(frame, here.next_start_stamp());
        here.started.add(1);
        here.make_next(frame);
    }
    /// Readies something from a thread that is no worker of this scheduler. The scheduler must be
    /// pinned, or its end excluded otherwise.
    void inject(runnable* r) noexcept;
    void pin() noexcept { pins_.fetch_add(1, acq_rel); }
    void unpin() noexcept {
        // release: pairs with the acquire in wait_until_unpinned(); the last access of a foreign
        // thread.
        pins_.fetch_sub(1, release);
    }
    void wait_until_unpinned() const noexcept;
    /// Something outside (a blocking call, a signal watcher) may ready a task later: no deadlock
    /// meanwhile.
    void hold_outside() noexcept { outside_.fetch_add(1, relaxed); }
    void release_outside() noexcept;
    /// Counts tasks parked on I/O up or down.
    void count_io(std::int64_t n) noexcept;
    /// The main task of a when_quiescent scheduler has ended.
    void main_ended(bool failed) noexcept;

    /// For the next simulation: as before the first task.
    void begin_again() noexcept;

    std::uint32_t id() const noexcept { return id_; }
    bool simulated() const noexcept { return ending_ == ending::simulated; }
    bool stopping() const noexcept { return (orders_.load(acquire) & order_stop) != 0; }
    /// To stop, or to halt: a worker looks for no more work.
    bool called() const noexcept { return orders_.load(acquire) != 0; }
    bool deadlocked() const noexcept { return deadlocked_.load(acquire); }
    /// The main task has ended, and all others too.
    bool finished() const noexcept { return num_tasks() == 0 && main_ended_.load(acquire); }
    std::int64_t num_tasks() const noexcept;
    runtime_stats stats() const;

    /// The scheduler with that id, pinned; null when it is gone.
    static scheduler* find_and_pin(std::uint32_t id) noexcept;

    // The workers.

    std::size_t size() const noexcept { return workers_.size(); }
    worker& at(std::size_t i) noexcept { return *workers_[i]; }
    const worker& at(std::size_t i) const noexcept { return *workers_[i]; }
    sleepers& idle() noexcept { return sleepers_; }
    /// Wakes a worker if there may be work for it (sleepers.hpp). The calling thread is a worker.
    void notify() noexcept { wake_worker(sleepers_.pick()); }
    void wake_worker(int i) noexcept {
        if (i != sleepers::nobody) workers_[static_cast<std::size_t>(i)]->wake();
    }
    global_queue& shared() noexcept { return global_; }
    /// While no worker runs, or on the thread of the only one: takes out what all queues hold.
    template <class Take>
    void take_queued(Take take) {
        for (const auto& w : workers_) w->take_all(take);
        while (runnable* const r = global_.pop(1, 1, [](runnable*) {})) take(r);
    }
    /// All workers are idle; the caller is the last one.
    void all_idle() noexcept;
    /// A worker that is called to a halt comes here, between two steps; returns when it may go on.
    void halt_here();
    void left_run();
    /// A worker that computes for long holds up what waits there; the monitor has seen it.
    bool help_wanted() const noexcept { return help_wanted_.load(relaxed); }
    bool stalled(std::size_t i) const noexcept { return stalled_[i].load(relaxed); }
    void left_idle() noexcept;
    /// Whether workers steal from each other at present (theft_trials.hpp).
    bool thefts_pay() const noexcept { return thefts_pay_.load(relaxed); }
    void let_steal(bool on) noexcept { thefts_pay_.store(on, relaxed); }

private:
    bool submit_from_outside(runnable* frame) noexcept;
    void mark_started(runnable* frame, std::uint64_t stamp) noexcept {
        block_header::of(frame)->runtime_id.store(id_, relaxed);
        promise_base::of(frame).start_detached(stamp);
    }
    void drop_queued();
    std::vector<void*> live_frames();
    bool nothing_pending() const noexcept;
    void monitor();
    bool look_for_stalls(std::vector<std::uint32_t>& seen);
    theft_trials::tally work_done() const noexcept;
    void weigh_thefts() noexcept;

    const std::uint32_t id_;
    const ending ending_;
    driver_choice driver_;
    std::vector<std::unique_ptr<worker>> workers_;
    std::vector<std::thread> threads_;
    sleepers sleepers_;

    global_queue global_;

    static constexpr std::uint32_t order_stop = 1;
    static constexpr std::uint32_t order_halt = 2;
    atomic<std::uint32_t> orders_{0};  // a sum of these
    atomic<bool> deadlocked_{false};
    atomic<bool> main_ended_{false};
    atomic<std::int64_t> cut_{0};  // tasks that cut() has destroyed
    atomic<std::int64_t> pins_{0};
    atomic<std::int64_t> outside_{0};
    atomic<std::int64_t> outside_started_{
        0};  // tasks that came from threads that are no workers here
    atomic<std::int64_t> outside_io_waits_{0};  // likewise, ends of waits for I/O

    // A halt of all workers but one.
    std::mutex halt_mutex_;
    std::condition_variable halt_changes_;
    bool halting_ = false;    // under halt_mutex_
    std::size_t halted_ = 0;  // likewise; those that have left run() included

    // The monitor: the thread itself, and what it tells the workers.
    std::thread monitor_;
    std::mutex monitor_mutex_;
    std::condition_variable monitor_wakes_;
    atomic<bool> monitor_asleep_{false};
    atomic<bool> help_wanted_{false};
    std::unique_ptr<atomic<bool>[]> stalled_;
    theft_trials trials_;  // the monitor's
    atomic<bool> thefts_pay_{true};
    atomic<std::int64_t> stalls_{0};
};

/// The task with that outermost frame, suspended and left alone.
task_info inspect_task(void* frame);
/// Takes it out of the queues it waits in.
void abandon_wait(void* frame) noexcept;

/// A runnable that holds something and stands in no task's frame marks itself with this in
/// `destroy`: it is run, not dropped, when a runtime ends with it in a queue, so that what it holds
/// is let go.
void action_mark(void*);

}  // namespace sluice::detail
