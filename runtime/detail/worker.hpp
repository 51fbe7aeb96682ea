// A worker: a thread that runs tasks, and what belongs to it.
//
// Where a worker looks for its next task, in this order
//   1. every 8th time its timers, every 61st its driver and the global queue, so that no stream of
//   local work starves them;
//   2. its next slot: the task most recently made ready here, which shares the time slice (budget)
//   of the one before;
//   3. its deque, oldest first;
//   4. the global queue, its driver, its timers;
//   5. the other workers' deques (half of one is taken), then next slots that have waited too long;
//      or, where thefts do not pay (theft_trials.hpp), it naps until there is something at 4;
//   6. then it parks (sleepers.hpp has the protocol).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <sluice/runtime/detail/deque.hpp>
#include <sluice/runtime/detail/held_mutexes.hpp>
#include <sluice/runtime/detail/next_slot.hpp>
#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/seam.hpp>
#include <sluice/runtime/detail/spin_lock.hpp>
#include <sluice/runtime/detail/timer_queue.hpp>
#include <sluice/runtime/driver.hpp>

namespace sluice::detail {

class scheduler;

/// A number that one thread changes and any thread reads.
class counter {
public:
    // release and acquire: whoever sees a task counted as finished sees it, and what it started,
    // counted as started.
    void add(std::int64_t n) noexcept { value_.store(value_.load(relaxed) + n, release); }
    std::int64_t get() const noexcept { return value_.load(acquire); }

private:
    atomic<std::int64_t> value_{0};
};

class worker {
public:
    /// Steps that a task and those it hands over to may take before others get their turn.
    static constexpr int slice = 128;

    worker(scheduler& owner, int id, std::unique_ptr<driver> d);
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;
    ~worker();

    scheduler& owner() const noexcept { return owner_; }
    int id() const noexcept { return id_; }
    lock_ticket ticket() const noexcept { return ticket_; }
    /// On the worker's thread.
    bool in_no_lock() const noexcept { return ticket_.seat->load(relaxed) == nullptr; }
    driver& io() noexcept { return *driver_; }
    timer_queue& timers() noexcept { return timers_; }
    random_source& random() noexcept { return random_; }

    // The worker's thread only.

    /// Runs tasks until the scheduler stops.
    void run();

    /// The task runs next here; the one that was to run next goes to the deque. Wakes nobody for a
    /// plain hand-off.
    void make_next(runnable* r) noexcept {
        r->next = nullptr;  // says "ready" in reports
        if (runnable* const before = next_.put(r)) make_last_and_notify(before);
    }

    /// The task runs in its turn, after those that are ready here. Wakes nobody for one that is
    /// alone.
    void make_ready(runnable* r) noexcept {
        if (next_.empty() && queue_.empty()) {
            make_next(r);
        } else {
            make_last_and_notify(r);
        }
    }

    /// The task runs after all that are ready here.
    void make_last(runnable* r) noexcept {
        r->next = nullptr;
        if (!queue_.push(r)) overflow(r);
    }

    /// The running task lets all others that are ready here go first. If there are any, an idle
    /// worker is told.
    void go_last(runnable* r) noexcept;

    /// Like make_last(), and tells an idle worker that there is work.
    void make_last_and_notify(runnable* r) noexcept;

    /// For a task that the running one starts: see start_stamp(), which is slower.
    std::uint64_t next_start_stamp() noexcept {
        if (const std::uint32_t tick = ticks(); tick != stamped_tick_) {
            stamped_tick_ = tick;
            last_stamp_ = start_stamp();
        }
        return ++last_stamp_;  // grows more slowly than start_stamp()
    }

    /// One step of the running task that did not suspend. False: its slice is used up, and it
    /// yields.
    bool spend() noexcept { return --budget_ > 0; }
    bool slice_left() const noexcept { return budget_ > 0; }

    /// Runs a task until it suspends or ends.
    void step(runnable* r) {
        const mutex_check mutexes;
        r->run();
        while (transfer != nullptr) std::exchange(transfer, nullptr)->run();
        mutexes.ended();
    }

    /// Where a trampoline build leaves the frame that runs next in place of the one that suspends
    /// (see task.hpp).
    runnable* transfer = nullptr;

    // Any thread.

    /// Ends the worker's sleep, or prevents the next one.
    void wake() noexcept;
    std::uint32_t ticks() const noexcept { return tick_.load(relaxed); }
    /// In park(), or napping; a hint.
    bool asleep() const noexcept { return sleep_.load(relaxed) == sleep_state::parked; }

    /// On the worker's thread, or after it has ended: takes out what the worker's queues hold.
    template <class Take>
    void take_all(Take take) {
        while (runnable* const r = next_.take()) take(r);
        while (runnable* const r = queue_.pop()) take(r);
    }

    counter started, finished, io_waits, switches, steals, parks;
    counter done;  // steps of tasks, and operations that did not suspend, up to the present slice

private:
    friend class simulation_loop;
    enum class sleep_state : std::uint8_t { awake, parked, notified };
    static constexpr std::uint32_t clock_checks = 8;
    static constexpr std::uint32_t fairness = 61;
    static constexpr unsigned io_group = 8;
    // Nanoseconds of looking around before parking.
    static constexpr std::int64_t search_time = 20'000;
    // Nanoseconds after which a waiting next slot is stolen.
    static constexpr std::int64_t aged_after = 10'000;
    static constexpr std::int64_t nap = 50'000;           // nanoseconds; shared by all who nap
    static constexpr std::int64_t stuck_after = 200'000;  // nanoseconds
    static constexpr std::size_t most_watched = 64;
    static constexpr int had_to_let_go = -(1 << 30);  // a budget, for simulations
    static constexpr int most_wakeful = 16;
    static constexpr std::uint32_t try_again_every = 32;
    static constexpr int least_pauses = 16;
    static constexpr int most_pauses = 256;

    inline runnable* find();
    inline runnable* look_around();
    runnable* look_further();
    inline runnable* take_local() noexcept;
    void begin_slice(int more_done = 0) noexcept {
        done.add(slice - std::max(budget_, 0) + more_done);
        budget_ = slice;
    }
    runnable* take_fair() noexcept;
    runnable* take_shared() noexcept;
    runnable* search() noexcept;
    runnable* rest() noexcept;
    runnable* wait_awake() noexcept;
    runnable* steal_once() noexcept;
    runnable* steal_from(worker& victim, bool next_slots) noexcept;
    void adapt_pauses(const worker& victim) noexcept;
    void park() noexcept;
    void sleep_until(std::int64_t deadline) noexcept;
    bool run_timers() noexcept;
    bool work_visible() noexcept;
    inline void execute(runnable* r);
    void overflow(runnable* r) noexcept;

    // Others read these, while they search.
    alignas(64) scheduler& owner_;
    const int id_;
    const lock_ticket ticket_;
    const std::unique_ptr<driver> driver_;
    timer_queue& timers_;
    atomic<std::uint32_t> tick_{0};  // own thread writes; others see whether it moves
    atomic<sleep_state> sleep_{sleep_state::awake};

    // Its own; changed with every task that it runs or starts.
    alignas(64) int wakeful_ = most_wakeful;  // how well waiting awake has paid lately
    std::uint32_t skipped_waits_ = 0;
    std::uint64_t last_stamp_ = 0;
    std::uint32_t stamped_tick_ = 0;
    std::uint32_t until_clock_check_ = clock_checks;
    std::uint32_t until_fair_ = fairness;
    bool searching_ = false;  // counted as such by the sleepers
    int budget_ = slice;
    int pauses_ = least_pauses;                       // before the next look at the others
    const worker* robbed_ = nullptr;                  // whom this worker stole from last, and
    std::uint32_t robbed_tick_ = 0;                   // that one's ticks() then
    std::int64_t seen_at_ = 0;                        // when this worker, resting, last looked at
    std::array<std::uint32_t, most_watched> seen_{};  // the others' ticks()
    random_source random_;
    next_slot next_;
    deque queue_;
};

/// The calling thread's worker; null on a thread that is none. Never cached over a suspension: a
/// task moves.
worker* current_worker() noexcept;

/// The same, inlined, for library functions that are no coroutines and are not inlined into one.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local worker* this_threads_worker;

/// The same for code that only a task can run; throws std::logic_error naming `what` elsewhere.
worker& require_worker(const char* what);

/// Makes `w` the calling thread's worker for the length of its life.
class worker_scope {
public:
    explicit worker_scope(worker& w) noexcept;
    worker_scope(const worker_scope&) = delete;
    worker_scope& operator=(const worker_scope&) = delete;
    ~worker_scope();

private:
    worker* const outer_;
};

}  // namespace sluice::detail
