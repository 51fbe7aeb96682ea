// error_group: tasks that work on one thing, of which the first failure counts; Go's errgroup.
//
//     error_group group(parent);
//     for (auto& url : urls) co_await group.go(fetch, group.ctx(), url);
//     const auto fetched = co_await group.wait();    // the first failure; the others were
//     cancelled
//
// When to use: parts of one answer, which is worth nothing if one of them fails; a bounded number
// of tasks at a time (set_limit).
// When not: tasks whose failures are their own business (wait_group); the result of each is wanted
// (spawn, worker_pool); components of a program that live as long as it does (actor_group).
//
// Concepts
//   A failure is an error code that the function gave as a result<T>, or an exception that left it.
//   The first one is kept, and ends the group's context with itself as the cause; later ones are
//   mostly its consequences and are dropped. A task that is cut by a shutdown of its runtime before
//   its end has failed with errc::canceled.
//
// Invariants
//   A task holds its slot (if there is a limit) and its count from the moment it is admitted until
//   all that was moved into it is gone. A slot that becomes free goes to the one who waited longest
//   before the count of its former holder is given back, so that wait() cannot slip between.
//   The core belongs to the group; when the group goes while tasks are alive, to the last of them.
//
// Cost: one allocation for the group, and one for each task as with sluice::go. An admission takes
// one lock; the end of a task takes it only where there is a limit or a failure.
//
// Rejected: a group that ends the process when it goes before its tasks have ended, as std::thread
// does (an exception that passes through is the usual reason, and would never be seen); a reference
// count for the core (all workers would write to it, twice a task: the count of tasks serves).
//
// Source: golang.org/x/sync/errgroup.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <sluice/patterns/detail/group_core.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

namespace detail {

/// The parameters are destroyed from the last to the first: the place is given back when fn and
/// args are gone.
template <class F, class... Args>
task<> run_member(group_member self, F fn, Args... args) {
    using returned = std::invoke_result_t<F, Args...>;
    try {
        if constexpr (is_task<returned>) {
            auto body = std::invoke(std::move(fn), std::move(args)...);
            self.origin = body.origin();
            co_await origin_of(body.origin());
            if constexpr (is_result<typename awaited<returned>::type>) {
                const auto given = co_await std::move(body);
                if (!given) self.failed(given.error());
            } else {
                static_cast<void>(co_await std::move(body));
            }
        } else if constexpr (is_result<returned>) {
            const auto given = std::invoke(std::move(fn), std::move(args)...);
            if (!given) self.failed(given.error());
        } else {
            static_cast<void>(std::invoke(std::move(fn), std::move(args)...));
        }
    } catch (...) {
        self.failed(std::current_exception());
    }
    self.ended();
}

template <class F, class... Args>
void start_member(group_member place, F&& fn, Args&&... args) {
    scheduler& here = scheduler_here("error_group");
    place.begins();
    start_detached(here, run_member<std::decay_t<F>, std::decay_t<Args>...>(
                             std::move(place), std::forward<F>(fn), std::forward<Args>(args)...));
}

template <class F, class... Args>
class [[nodiscard]] group_go_operation : public sole_operation<group_go_operation<F, Args...>> {
public:
    using result_type = void;

    template <class Fn, class... As>
    explicit group_go_operation(group_core& core, Fn&& fn, As&&... args)
        : leaf_(core), call_(std::forward<Fn>(fn), std::forward<As>(args)...) {}
    group_go_operation(group_go_operation&&) = default;

    slot_leaf& the_leaf() noexcept { return leaf_; }
    void take(std::size_t) {
        std::apply(
            [this](F& fn, Args&... args) {
                start_member(leaf_.take(), std::move(fn), std::move(args)...);
            },
            call_);
    }

private:
    slot_leaf leaf_;
    std::tuple<F, Args...> call_;
};

class [[nodiscard]] group_wait_operation : public sole_operation<group_wait_operation> {
public:
    using result_type = result<>;
    explicit group_wait_operation(group_core& c) noexcept : leaf_(c) {}
    group_wait_operation(group_wait_operation&&) noexcept = default;

    group_wait_leaf& the_leaf() noexcept { return leaf_; }
    result_type take(std::size_t) { return leaf_.core.outcome(); }

private:
    group_wait_leaf leaf_;
};

}  // namespace detail

/// All members may be called from any thread, go() and try_go() from tasks only. Must outlive the
/// operations on it. If it goes while tasks are alive, its context ends, and they go on by
/// themselves: what they use by reference must still be there. An exception that is kept and that
/// no wait() has thrown then ends the process, as that of a spawned task does.
class error_group {
public:
    /// Without a context: a failure stops nobody.
    error_group() : core_(new detail::group_core) {}
    /// With a context below `parent`, which the first failure ends.
    explicit error_group(const context& parent) : core_(new detail::group_core(parent)) {}
    error_group(const error_group&) = delete;
    error_group& operator=(const error_group&) = delete;
    ~error_group() { core_->abandon(); }

    /// Ends with errc::canceled at the first failure, which is its cause, and when a wait() has
    /// returned. background() for a group without one.
    context ctx() const { return core_->ctx(); }

    /// At most n tasks at a time, from now on; none for n = 0, any number for a negative n, which
    /// is how a group begins. Throws std::logic_error while tasks hold slots, which tasks started
    /// without a limit do not.
    void set_limit(std::int64_t n) { core_->set_limit(n); }

    /// Operation: waits for a slot, first come first served, then starts fn(args...) as sluice::go
    /// does; an exception from moving them there, or from want of memory, is thrown, and fails the
    /// group too. One that loses a race, or is cut, has started nothing and destroys fn and args.
    /// Does not look at the context: bound it with within(group.ctx(), …) to start nothing after a
    /// failure. Should come from one of the group's tasks or before the wait().
    template <class F, class... Args>
    auto go(F&& fn, Args&&... args) {
        return detail::group_go_operation<std::decay_t<F>, std::decay_t<Args>...>(
            *core_, std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// The same without waiting. False: no slot is free, and fn and args are left as they were.
    /// Throws std::logic_error on a thread that runs no tasks.
    template <class F, class... Args>
    bool try_go(F&& fn, Args&&... args) {
        detail::scheduler_here("error_group::try_go()");
        detail::group_member place = core_->try_admit();
        if (!place) return false;
        detail::start_member(std::move(place), std::forward<F>(fn), std::forward<Args>(args)...);
        return true;
    }

    /// Operation: waits until no task is left, ends the context, and gives the first failure: an
    /// error code as it is, an exception by throwing it. Any number of tasks may wait, and all are
    /// told; a group that has failed stays so. What the tasks did is visible afterwards. One that
    /// loses a race, or is cut, ends neither the tasks nor the context.
    auto wait() noexcept { return detail::group_wait_operation(*core_); }

private:
    detail::group_core* const core_;
};

}  // namespace sluice
