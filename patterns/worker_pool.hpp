// worker_pool: a fixed number of tasks that do jobs from a bounded queue.
//
//     worker_pool pool(4, 100);
//     auto area = co_await pool.submit(area_of, shape);     // waits for room in the queue
//     if (!area) co_return;                                 // refusal::closed
//     use(co_await area->join());                           // its result, or its exception
//
// When to use: something (a disk, a licence, the memory that a job needs) bears so many at once,
// and whoever brings jobs faster than they are done is to be slowed down or refused.
// When not: nothing to bound (spawn() each job: a task is cheap); what one call does with its own
// children (error_group with a limit); a single kind of job that nobody waits for (a few tasks that
// receive from a chan need no pool).
//
// Concepts: a job is the coroutine that spawn() or go() would start, with fn and its arguments in
// its frame. It goes through a channel of frames, and the worker that receives it awaits it. A job
// may itself wait; it keeps its worker meanwhile.
//
// Invariants: a job is accepted when the channel has taken it. It is then done, once, whatever
// becomes of the pool and of who submitted it; only the end of the runtime cuts it, and its handle
// says so. Jobs are started in the order in which they were accepted.
//
// Cost: a send and a receive on a channel, and the job's frame from a free list; a job with a
// handle needs a second block, for the result. An idle worker is a parked task.
//
// Rejected: one result channel for the pool (all jobs would need one result type, and who reads it
// slowly would stop the workers). A job may send its result wherever it likes:
// docs/patterns/worker_pool.md.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/job.hpp>
#include <sluice/patterns/refusal.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

namespace detail {

/// Sends a job to a pool's workers.
template <class Job>
class [[nodiscard]] submit_operation : public sole_operation<submit_operation<Job>> {
public:
    using result_type = typename Job::accepted_type;

    submit_operation(const chan<task<>>& queue, Job job) noexcept
        : send_(queue.send(std::move(job.body))), job_(std::move(job)) {}
    submit_operation(submit_operation&&) noexcept = default;

    typed_leaf& the_leaf() noexcept { return send_.the_leaf(); }
    sole_start begin() noexcept { return send_.begin(); }
    result_type take(std::size_t) noexcept {
        if (the_leaf().result == chan_leaf::outcome::closed) return fail(refusal::closed);
        return job_.accepted();
    }

private:
    send_operation<task<>> send_;
    Job job_;
};

}  // namespace detail

/// Letting the pool go closes it and waits for nobody: what it has accepted is still done, so what
/// jobs refer to must live until wait() is over. Any number of tasks may use a pool at once.
class worker_pool {
public:
    /// Starts the workers in the calling task's runtime. At most `queue` jobs wait for one of them;
    /// with 0 a job is accepted when a worker is free. Throws std::invalid_argument for no workers,
    /// std::logic_error for a queue that is too large, or on a thread that runs no tasks.
    worker_pool(std::size_t workers, std::size_t queue);
    worker_pool(const worker_pool&) = delete;
    worker_pool& operator=(const worker_pool&) = delete;
    ~worker_pool() { close(); }

    /// Operation: waits for room, then gives a join_handle for the result of fn(args...), a plain
    /// or a coroutine function; refusal::closed if the pool is closed, before or meanwhile. One
    /// that loses a race, or is cancelled, submits nothing. fn and args are moved into the job. Its
    /// exception goes to who joins it, and to nobody else; a handle may be let go as that of
    /// spawn(). A job that waits for room in its own pool can wait for ever.
    template <class F, class... Args>
    auto submit(F&& fn, Args&&... args) {
        using job = detail::job_for<F, Args...>;
        return detail::submit_operation<job>(
            crew_->jobs, job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// The same without waiting: refusal::queue_full if it would have to. fn and args are gone when
    /// it is refused. Any thread.
    template <class F, class... Args>
    auto try_submit(F&& fn, Args&&... args) {
        using job = detail::job_for<F, Args...>;
        return try_send(job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// Operation: submit() for a job that nobody waits for, which is cheaper; gives result<>. An
    /// exception that leaves the job ends the process, as with go().
    template <class F, class... Args>
    auto post(F&& fn, Args&&... args) {
        return detail::submit_operation<detail::posted_job>(
            crew_->jobs,
            detail::posted_job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// The same without waiting, like try_submit(). Any thread.
    template <class F, class... Args>
    result<> try_post(F&& fn, Args&&... args) {
        return try_send(
            detail::posted_job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// Accepts no more jobs; whoever waits for room is refused. What is accepted is still done.
    /// Again: does nothing. Any thread; never waits.
    void close() noexcept;

    /// Operation: waits until the pool is closed and all that it has accepted is done. What the
    /// jobs did is visible then. A job that waits for its own pool waits for ever.
    auto wait() noexcept { return crew_->workers.wait(); }

private:
    // Shared with the workers, which may outlive the pool.
    struct crew {
        explicit crew(std::size_t queue)
            : jobs(make_chan<task<>>(static_cast<std::ptrdiff_t>(queue))) {}
        void close() noexcept;
        void abandon() noexcept;

        chan<task<>> jobs;
        wait_group workers;
        detail::atomic<bool> closed{false};
    };
    class member;

    static task<> work(member me);

    template <class Job>
    typename Job::accepted_type try_send(Job job) {
        try {
            if (!crew_->jobs.try_send(std::move(job.body))) return fail(refusal::queue_full);
        } catch (const channel_closed&) {
            return fail(refusal::closed);
        }
        return job.accepted();
    }

    const std::shared_ptr<crew> crew_;
};

}  // namespace sluice
