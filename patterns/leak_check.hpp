// leak_check: which tasks does a piece of work leave behind?
//
// When to use: in tests, around whatever is supposed to end what it starts.
// When not: in production, where all workers stand still for each look; there, watch num_tasks().
//
// What it does is compare two lists of live tasks. So in a runtime that does other things too,
// their new tasks are among those found: give the work a runtime, or a simulation, of its own. At
// the end of run() and of a simulation tasks that nothing can ready any more are reported anyway
// (sluice::deadlock); leak_check also finds those that a timer or a peer may yet wake, and it finds
// them where they were started, not at the end of the program.
//
// Cost: about a microsecond for each live task, before and after.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/runtime/live_tasks.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

namespace detail {

/// Tasks, by what tells them apart.
class task_set {
public:
    explicit task_set(const std::vector<task_info>& tasks);
    bool contains(const task_info& t) const;

private:
    std::vector<std::pair<const void*, std::uint64_t>> ids_;  // sorted
};

task<std::vector<task_info>> tasks_since(task_set before, std::chrono::nanoseconds grace);

}  // namespace detail

/// Runs fn(args...), plain or a coroutine, and gives the tasks that were started meanwhile and are
/// still alive when it has ended, the oldest first: each with its origin, where it is parked, and
/// on what (task_info::describe()). Tasks that end within `grace` after it are not among them; if
/// there are none it does not wait for longer than they take. An exception of fn goes on to the
/// caller.
template <class F, class... Args>
task<std::vector<task_info>> leak_check(std::chrono::nanoseconds grace, F fn, Args... args) {
    const std::vector<task_info> living = co_await live_tasks();
    detail::task_set before(living);
    if constexpr (detail::is_task<std::invoke_result_t<F&, Args...>>) {
        static_cast<void>(co_await std::invoke(fn, std::move(args)...));
    } else {
        static_cast<void>(std::invoke(fn, std::move(args)...));
    }
    std::vector<task_info> left = co_await detail::tasks_since(std::move(before), grace);
    co_return left;
}

}  // namespace sluice
