// What happens once, however many tasks ask for it.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/join_state.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

namespace detail {

/// Waits for a task whose result stays where it is: any number may have it.
template <class T>
class [[nodiscard]] shared_join_operation : public sole_operation<shared_join_operation<T>> {
public:
    using result_type =
        std::conditional_t<std::is_void_v<T>, void, std::add_lvalue_reference_t<const T>>;
    explicit shared_join_operation(join_state<T>& s) noexcept : state_(&s), leaf_(s) {}
    shared_join_operation(shared_join_operation&&) noexcept = default;

    join_leaf& the_leaf() noexcept { return leaf_; }
    result_type take(std::size_t) { return state_->share(); }

private:
    join_state<T>* state_;
    join_leaf leaf_;
};

/// A task that is started by whoever asks first.
template <class T>
class single_start {
public:
    /// True for the first caller, which then calls start(). Throws std::logic_error on a thread
    /// that runs no tasks.
    bool first() {
        scheduler_here("once");
        return !started_.load(relaxed) && !started_.exchange(true, relaxed);
    }
    template <class F, class... Args>
    void start(F&& fn, Args&&... args) {
        join_completion<T> completion(state_);  // also if no frame can be made
        start_detached(
            scheduler_here("once"),
            run_joined<T, std::decay_t<F>, std::decay_t<Args>...>(
                std::move(completion), std::forward<F>(fn), std::forward<Args>(args)...));
    }
    shared_join_operation<T> join() noexcept { return shared_join_operation<T>(*state_); }
    bool done() const noexcept { return state_->done(); }

private:
    join_ref<T> state_ = join_ref<T>::make();
    // relaxed: what the task did reaches a joiner by way of the state.
    atomic<bool> started_{false};
};

}  // namespace detail

/// Runs a function once. Any thread may hold it; must outlive the operations on it.
class once {
public:
    once() = default;
    once(const once&) = delete;
    once& operator=(const once&) = delete;

    /// Operation: waits until the function of the first call has ended. The first call starts
    /// fn(args...), plain or a coroutine, as a task of its own in the caller's runtime, awaited or
    /// not; other calls drop theirs. Losing a race leaves it running. Its exception is thrown to
    /// every caller, then and later; if there is none, it ends the process when this object goes,
    /// as that of a spawned task does. It is not run again, not even if its runtime was shut down
    /// before its end, which callers see as errc::canceled. A call from within fn waits for ever.
    /// Throws std::logic_error on a thread that runs no tasks.
    template <class F, class... Args>
    auto call(F fn, Args... args) {
        if (task_.first()) task_.start(std::move(fn), std::move(args)...);
        return task_.join();
    }

    /// Whether it has ended. Any thread.
    bool done() const noexcept { return task_.done(); }

private:
    detail::single_start<void> task_;
};

/// A value that is computed when it is first asked for:
///     sluice::once_value config(load_config);
///     const settings& s = co_await config();
/// Any thread may hold it; must outlive the operations on it and the references they give. With a
/// function that gives nothing it is a function that runs once.
template <class F>
class once_value {
public:
    using value_type = detail::awaited_result<F>;

    /// fn: a plain or a coroutine function without parameters.
    explicit once_value(F fn) : fn_(std::move(fn)) {}
    once_value(const once_value&) = delete;
    once_value& operator=(const once_value&) = delete;

    /// Operation: the value, as const value_type& (a std::reference_wrapper where it is raced or
    /// bounded). The first call starts fn; all else is as with once::call.
    auto operator()() {
        if (task_.first()) {
            task_.start(std::move(*fn_));
            fn_.reset();
        }
        return task_.join();
    }

    /// Whether the value, or an exception, is there. Any thread.
    bool done() const noexcept { return task_.done(); }

private:
    std::optional<F> fn_;  // until the first call
    detail::single_start<value_type> task_;
};

}  // namespace sluice
