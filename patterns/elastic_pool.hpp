// elastic_pool: a pool of workers that grows with its load and shrinks without it.
//
//     elastic_pool pool(32, 100);
//     auto reply = co_await pool.submit(ask, server);     // waits while 32 are busy and 100 wait
//
// When to use: a load that comes in bursts, and workers that are not to stand by for the next one.
// When not: an idle worker is a parked task and costs next to nothing: a worker_pool of the
// greatest size does the same for less.
//
// The rule
//   A job that finds every worker busy gets a new one, at once, until there are `most`; only then
//   do jobs wait in the queue. To shrink, time is cut into windows: a worker without a job retires
//   when there are more of them than jobs were at hand at any moment of this window and of the one
//   before. So a pool grows in no time and shrinks after one to two windows, to what it has
//   needed, down to nothing; under a steady load, whose peaks are alike in all windows, it does
//   neither.
//
// Concepts
//   The demand is how many jobs are accepted and not done. Room is a channel of as many tokens as
//   jobs may be at hand, most + queue; who submits waits there. An accepted job is the first of a
//   new worker, or goes to a channel that has room for all.
//
// Invariants (under lock_)
//   demand_ > workers_ only if workers_ == most. A worker retires only while demand_ < workers_, so
//   that for each job that waits one is left: none is lost. Whoever finds the pool closed and the
//   demand zero closes the channel of jobs; nobody sends to it after that.
//
// Cost: a std::mutex at the start and at the end of a job, and two channels; some five times a job
// of a worker_pool.
//
// Rejected: retiring whoever has been idle for a while (the channel hands out jobs in turn: under a
// light load every worker gets one now and then, and a pool that has grown would never shrink);
// growing only when the queue is full (its jobs would wait for nothing).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
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

/// Of the workers of an elastic_pool; current is started - retired.
struct elastic_counters {
    std::size_t current = 0;
    std::size_t peak = 0;       // the most at once
    std::uint64_t started = 0;  // ever
    std::uint64_t retired = 0;  // ever
};

namespace detail {

/// Shared by a pool and its workers, which may outlive it.
class elastic_core : public std::enable_shared_from_this<elastic_core> {
public:
    elastic_core(std::size_t most, std::size_t queue, std::chrono::nanoseconds window);

    const chan<>& room() const noexcept { return room_; }
    auto wait() noexcept { return work_.wait(); }

    /// The caller has a token of the room; on false it has not any more, and the pool is closed.
    bool accept(task<> body);
    void give_back() noexcept { static_cast<void>(room_.try_recv()); }
    void close() noexcept;
    elastic_counters counters() const noexcept;

private:
    class member;

    static task<> work(member me, task<> first);
    bool start_worker(counted count, task<> first);
    void not_started();
    void job_gone();
    void abandon() noexcept;
    bool may_retire();
    void retire();
    std::chrono::nanoseconds window_left();

    const std::size_t most_;
    const std::int64_t window_;  // nanoseconds
    const std::uint32_t home_;   // the id of the runtime, which may be gone before the pool
    const chan<> room_;
    const chan<task<>> jobs_;
    wait_group work_;  // the workers, and one more until the pool is closed
    mutable std::mutex lock_;
    // Under lock_.
    bool closed_ = false;
    std::size_t demand_ = 0;
    std::size_t workers_ = 0;
    std::size_t highest_demand_ = 0;  // in this window
    std::size_t highest_before_ = 0;  // in the one before
    std::int64_t window_began_;
    elastic_counters counters_;  // but for current
};

template <class Job>
class [[nodiscard]] elastic_submit_operation
    : public sole_operation<elastic_submit_operation<Job>> {
public:
    using result_type = typename Job::accepted_type;

    elastic_submit_operation(elastic_core& core, Job job) noexcept
        : core_(core), send_(core.room().send()), job_(std::move(job)) {}
    elastic_submit_operation(elastic_submit_operation&&) noexcept = default;
    ~elastic_submit_operation() {
        // The task was cut before it came to take().
        if (the_leaf().result == chan_leaf::outcome::value && !taken_) core_.give_back();
    }

    typed_leaf& the_leaf() noexcept { return send_.the_leaf(); }
    sole_start begin() noexcept { return send_.begin(); }
    result_type take(std::size_t) {
        if (the_leaf().result == chan_leaf::outcome::closed) return fail(refusal::closed);
        taken_ = true;
        if (!core_.accept(std::move(job_.body))) return fail(refusal::closed);
        return job_.accepted();
    }

private:
    elastic_core& core_;
    send_operation<void> send_;
    Job job_;
    bool taken_ = false;
};

}  // namespace detail

/// Letting the pool go closes it and waits for nobody: what it has accepted is still done, so what
/// jobs refer to must live until wait() is over. Any number of tasks may use a pool at once.
class elastic_pool {
public:
    /// Its workers run in the calling task's runtime, at most `most` at once; up to `queue` jobs
    /// wait for one of them. `window` is that of the rule above. Throws std::invalid_argument if
    /// `most` or `window` is not positive, std::logic_error for a queue that is too large, or on a
    /// thread that runs no tasks.
    elastic_pool(std::size_t most, std::size_t queue,
                 std::chrono::nanoseconds window = std::chrono::seconds(1));
    elastic_pool(const elastic_pool&) = delete;
    elastic_pool& operator=(const elastic_pool&) = delete;
    ~elastic_pool() { close(); }

    /// Operation: waits for room, then gives a join_handle for the result of fn(args...), a plain
    /// or a coroutine function; refusal::closed if the pool is closed, before or meanwhile. One
    /// that loses a race, or is cancelled, submits nothing. fn and args are moved into the job. Its
    /// exception goes to who joins it; a handle may be let go as that of spawn(). A job that waits
    /// for room in its own pool can wait for ever.
    template <class F, class... Args>
    auto submit(F&& fn, Args&&... args) {
        using job = detail::job_for<F, Args...>;
        return detail::elastic_submit_operation<job>(
            *core_, job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// The same without waiting: refusal::queue_full if it would have to. fn and args are gone when
    /// it is refused. Any thread.
    template <class F, class... Args>
    auto try_submit(F&& fn, Args&&... args) {
        using job = detail::job_for<F, Args...>;
        return try_accept(job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// Operation: submit() for a job that nobody waits for; gives result<>. An exception that
    /// leaves the job ends the process, as with go().
    template <class F, class... Args>
    auto post(F&& fn, Args&&... args) {
        return detail::elastic_submit_operation<detail::posted_job>(
            *core_,
            detail::posted_job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// The same without waiting, like try_submit(). Any thread.
    template <class F, class... Args>
    result<> try_post(F&& fn, Args&&... args) {
        return try_accept(
            detail::posted_job(std::in_place, std::forward<F>(fn), std::forward<Args>(args)...));
    }

    /// Accepts no more jobs; whoever waits for room is refused. What is accepted is still done.
    /// Again: does nothing. Any thread; never waits.
    void close() noexcept { core_->close(); }

    /// Operation: waits until the pool is closed, all that it has accepted is done, and its workers
    /// are gone. A job that waits for its own pool waits for ever.
    auto wait() noexcept { return core_->wait(); }

    /// Of one moment. Any thread.
    elastic_counters counters() const noexcept { return core_->counters(); }

private:
    template <class Job>
    typename Job::accepted_type try_accept(Job job) {
        try {
            if (!core_->room().try_send()) return fail(refusal::queue_full);
        } catch (const channel_closed&) {
            return fail(refusal::closed);
        }
        if (!core_->accept(std::move(job.body))) return fail(refusal::closed);
        return job.accepted();
    }

    const std::shared_ptr<detail::elastic_core> core_;
};

}  // namespace sluice
