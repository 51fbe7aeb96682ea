// job: what goes through the queue of a pool, and what its submitter gets for it.
#pragma once

#include <type_traits>
#include <utility>

#include <sluice/runtime/result.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice::detail {

/// A job that nobody waits for: the task that go() would start.
class posted_job {
public:
    using accepted_type = result<>;

    template <class F, class... Args>
    explicit posted_job(std::in_place_t, F&& fn, Args&&... args)
        : body(detached_task(std::forward<F>(fn), std::forward<Args>(args)...)) {}

    accepted_type accepted() const noexcept { return {}; }

    task<> body;
};

/// A job with a handle: the task that spawn() would start.
template <class T>
class joined_job {
public:
    using accepted_type = result<join_handle<T>>;

    template <class F, class... Args>
    explicit joined_job(std::in_place_t, F&& fn, Args&&... args)
        : joined_job(join_ref<T>::make(), std::forward<F>(fn), std::forward<Args>(args)...) {}

    accepted_type accepted() noexcept { return std::move(handle_); }

    task<> body;

private:
    template <class F, class... Args>
    joined_job(join_ref<T> state, F&& fn, Args&&... args)
        : body(run_joined<T, std::decay_t<F>, std::decay_t<Args>...>(
              join_completion<T>(state), std::forward<F>(fn), std::forward<Args>(args)...)),
          handle_(std::move(state)) {}

    join_handle<T> handle_;
};

template <class F, class... Args>
using job_for = joined_job<awaited_result<F, Args...>>;

}  // namespace sluice::detail
