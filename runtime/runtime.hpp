// Running tasks: run() for programs, class runtime for applications that have a life of their own.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/options.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/stats.hpp>

namespace sluice {

/// Thrown by run() when tasks are left and nothing can ever run again. what() lists where each is parked.
class deadlock : public std::runtime_error {
public:
    explicit deadlock(std::vector<task_info> tasks);
    const std::vector<task_info>& tasks() const noexcept { return *tasks_; }

private:
    std::shared_ptr<const std::vector<task_info>> tasks_;  // exceptions are copied
};

/// What shutdown() had to cut short.
struct shutdown_report {
    std::vector<task_info> cut;
};

/// Workers of its own, and the tasks on them. Any number of runtimes may live in a process. Members may be called from
/// any thread but the runtime's own workers, unless noted otherwise.
class runtime {
public:
    /// Starts the workers. Throws std::system_error when the system refuses threads, descriptors or a named driver.
    explicit runtime(options o = {});
    runtime(const runtime&) = delete;
    runtime& operator=(const runtime&) = delete;
    /// shutdown(0s), its report dropped.
    ~runtime();

    /// Starts fn(args...) as a detached task. Any thread. Throws std::logic_error after shutdown().
    template <class F, class... Args>
    void go(F&& fn, Args&&... args) {
        accept(detail::start_detached(scheduler(),
                                      detail::detached_task(std::forward<F>(fn), std::forward<Args>(args)...)));
    }

    /// Starts fn(args...); the handle's get() waits for its result. Any thread. After shutdown() the handle gives
    /// errc::canceled.
    template <class F, class... Args>
    auto spawn(F&& fn, Args&&... args) {
        return detail::spawn_in(scheduler(), std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// Runs fn(args...) as a task and blocks the calling thread until it has ended; gives its result or its exception.
    template <class F, class... Args>
    auto block_on(F&& fn, Args&&... args) {
        return spawn(std::forward<F>(fn), std::forward<Args>(args)...).get();
    }

    /// Ends when shutdown() begins: derive the tasks' contexts from it, so that they end by themselves in time.
    const context& stopping() const noexcept;

    /// Cancels stopping(), waits up to `grace` for all tasks to end, then destroys those that are left, wherever they
    /// wait, and names each. Idempotent: the second call reports nothing.
    shutdown_report shutdown(std::chrono::nanoseconds grace);

    /// Tasks alive now. Any thread, workers included.
    std::size_t num_tasks() const noexcept;
    runtime_stats stats() const;

private:
    detail::scheduler& scheduler() const noexcept;
    static void accept(bool accepted);

    struct state;
    std::unique_ptr<state> state_;
};

/// The stats of the calling task's runtime.
runtime_stats stats();

namespace detail {

template <class T>
struct main_outcome {
    result_slot<T> result;
    void take_error() noexcept { result.set_error(std::current_exception()); }
};

void end_of_main(bool failed) noexcept;
void run_until_quiescent(options o, task<> main_task);

template <class T, class F, class... Args>
task<> run_main(main_outcome<T>* outcome, F fn, Args... args) {
    bool failed = false;
    try {
        auto body = std::invoke(std::move(fn), std::move(args)...);
        if constexpr (std::is_void_v<T>) {
            co_await std::move(body);
            outcome->result.set_value();
        } else {
            T value = co_await std::move(body);
            outcome->result.set_value(std::forward<T>(value));
        }
    } catch (...) {
        outcome->take_error();
        failed = true;
    }
    end_of_main(failed);
}

}  // namespace detail

/// Starts a runtime of which the calling thread is a worker, runs the coroutine fn(args...) as its main task, waits
/// until all detached tasks have ended too, and gives the main task's result (0 for task<>). An exception of the main
/// task is thrown here at once; tasks that are left then are destroyed. Throws sluice::deadlock when all tasks wait for
/// something that can no longer happen; threads of the program's own that may still wake a task are not seen, so such
/// programs use class runtime.
template <class F, class... Args>
auto run(options o, F&& fn, Args&&... args) {
    using task_type = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
    static_assert(detail::is_task<task_type>, "run() takes a coroutine function that returns sluice::task");
    using result_type = typename detail::awaited<task_type>::type;
    detail::main_outcome<result_type> outcome;
    detail::run_until_quiescent(o, detail::run_main<result_type, std::decay_t<F>, std::decay_t<Args>...>(
                                       &outcome, std::forward<F>(fn), std::forward<Args>(args)...));
    if constexpr (std::is_void_v<result_type>) {
        outcome.result.take();
        return 0;
    } else {
        return outcome.result.take();
    }
}

template <class F, class... Args>
    requires(!std::is_same_v<std::remove_cvref_t<F>, options>)
auto run(F&& fn, Args&&... args) {
    return run(options{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace sluice
