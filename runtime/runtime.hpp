// class runtime: workers for applications that have a life of their own. Programs that are all
// tasks use run().
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/options.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/stats.hpp>

namespace sluice {

/// What shutdown() had to cut short.
struct shutdown_report {
    std::vector<task_info> cut;
};

/// Workers of its own, and the tasks on them. Any number of runtimes may live in a process. Members
/// may be called from any thread but the runtime's own workers, unless noted otherwise.
class runtime {
public:
    /// Starts the workers. Throws std::system_error when the system refuses threads, descriptors or
    /// a named driver.
    explicit runtime(options o = {});
    runtime(const runtime&) = delete;
    runtime& operator=(const runtime&) = delete;
    /// shutdown(0s), its report dropped.
    ~runtime();

    /// Starts fn(args...) as a detached task. Any thread. Throws std::logic_error after shutdown().
    template <class F, class... Args>
    void go(F&& fn, Args&&... args) {
        accept(detail::start_detached(
            scheduler(), detail::detached_task(std::forward<F>(fn), std::forward<Args>(args)...)));
    }

    /// Starts fn(args...); the handle's get() waits for its result. Any thread. After shutdown()
    /// the handle gives errc::canceled.
    template <class F, class... Args>
    auto spawn(F&& fn, Args&&... args) {
        return detail::spawn_in(scheduler(), std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// Runs fn(args...) as a task and blocks the calling thread until it has ended; gives its
    /// result or its exception.
    template <class F, class... Args>
    decltype(auto) block_on(F&& fn, Args&&... args) {
        return spawn(std::forward<F>(fn), std::forward<Args>(args)...).get();
    }

    /// Ends when shutdown() begins: derive the tasks' contexts from it, so that they end by
    /// themselves in time.
    const context& stopping() const noexcept;

    /// Cancels stopping(), waits up to `grace` for all tasks to end, then destroys those that are
    /// left, wherever they wait, and names each. Idempotent: a second call waits for the end of the
    /// first one, with its grace, and reports nothing. Throws std::logic_error in a task of this
    /// runtime.
    template <class Rep = std::int64_t, class Period = std::nano>
    shutdown_report shutdown(std::chrono::duration<Rep, Period> grace) {
        return shut_down(detail::saturated(grace));
    }

    /// Tasks alive now. Any thread, workers included.
    std::size_t num_tasks() const noexcept;
    runtime_stats stats() const;

private:
    shutdown_report shut_down(std::int64_t grace);
    detail::scheduler& scheduler() const noexcept;
    static void accept(bool accepted);

    struct state;
    std::unique_ptr<state> state_;
};

/// The stats of the calling task's runtime.
runtime_stats stats();

}  // namespace sluice
