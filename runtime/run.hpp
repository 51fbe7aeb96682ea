// run(): a program whose main function is a task.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/runtime/detail/result_slot.hpp>
#include <sluice/runtime/options.hpp>
#include <sluice/runtime/stats.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

/// Thrown by run() when tasks are left and nothing can ever run again. what() lists where each is
/// parked.
class deadlock : public std::runtime_error {
public:
    explicit deadlock(std::vector<task_info> tasks);
    const std::vector<task_info>& tasks() const noexcept { return *tasks_; }

private:
    std::shared_ptr<const std::vector<task_info>> tasks_;  // exceptions are copied
};

namespace detail {

/// A line for each, and the end of a line before it.
std::string described(const std::vector<task_info>& tasks);

template <class T>
struct main_outcome {
    result_slot<T> result;
    void take_error() noexcept { result.set_error(std::current_exception()); }
};

/// What run() gives for the coroutine function F: its task's result, 0 for task<>.
template <class F, class... Args>
using run_result =
    std::conditional_t<std::is_void_v<awaited_result<F, Args...>>, int, awaited_result<F, Args...>>;

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

/// Has `run` run the main task made of fn(args...), and gives its result.
template <class Run, class F, class... Args>
run_result<F, Args...> run_by(Run run, F&& fn, Args&&... args) {
    using task_type = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
    static_assert(is_task<task_type>, "the main task is a coroutine that returns sluice::task");
    using result_type = typename awaited<task_type>::type;
    main_outcome<result_type> outcome;
    run(run_main<result_type, std::decay_t<F>, std::decay_t<Args>...>(&outcome, std::forward<F>(fn),
                                                                      std::forward<Args>(args)...));
    if constexpr (std::is_void_v<result_type>) {
        outcome.result.take();
        return 0;
    } else {
        return outcome.result.take();
    }
}

}  // namespace detail

/// Starts a runtime of which the calling thread is a worker, runs the coroutine fn(args...) as its
/// main task, waits until all detached tasks have ended too, and gives the main task's result (0
/// for task<>). An exception of the main task is thrown here at once; tasks that are left then are
/// destroyed. Throws sluice::deadlock when all tasks wait for something that can no longer happen;
/// threads of the program's own that may still wake a task are not seen, so such programs use class
/// runtime.
template <class F, class... Args>
detail::run_result<F, Args...> run(options o, F&& fn, Args&&... args) {
    return detail::run_by([&o](task<> main) { detail::run_until_quiescent(o, std::move(main)); },
                          std::forward<F>(fn), std::forward<Args>(args)...);
}

template <class F, class... Args>
    requires(!std::is_same_v<std::remove_cvref_t<F>, options>)
detail::run_result<F, Args...> run(F&& fn, Args&&... args) {
    return run(options{}, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace sluice
