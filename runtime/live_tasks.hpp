// live_tasks: which tasks a runtime has, and where each of them waits.
//
//     for (const task_info& t : co_await live_tasks()) std::puts(t.describe().c_str());
#pragma once

#include <coroutine>
#include <utility>
#include <vector>

#include <sluice/runtime/stats.hpp>

namespace sluice {

namespace detail {

std::vector<task_info> list_tasks_here();

struct [[nodiscard]] live_tasks_awaiter {
    using sluice_awaitable = void;
    live_tasks_awaiter() noexcept {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) {
        frame.promise().runs_again();
        found_ = list_tasks_here();
        return false;
    }
    std::vector<task_info> await_resume() noexcept { return std::move(found_); }

private:
    std::vector<task_info> found_;
};

}  // namespace detail

/// co_await live_tasks() gives every task of the calling task's runtime, the caller among them
/// ("ready to run"), the oldest first. For debugging: all workers stand still meanwhile, about a
/// microsecond for each task, and so does a thread outside that would ready one; a task that
/// computes for long, or calls run() for another runtime, delays it by as much; one that blocks its
/// thread until another task of this runtime goes on would wait for ever. Nothing if the runtime is
/// told to end meanwhile. Throws std::bad_alloc.
inline auto live_tasks() noexcept {
    return detail::live_tasks_awaiter();
}

}  // namespace sluice
