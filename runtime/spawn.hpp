// Starting tasks: go() for detached ones, spawn() for those whose result someone wants.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/join_state.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

namespace detail {

template <class... Parameters>
struct parameter_list {};

/// The parameters of a function that has no state; void for any other.
template <class F>
struct stateless_parameters {
    using type = void;
};
template <class F>
    requires(std::is_empty_v<F> && requires { &F::operator(); })
struct stateless_parameters<F> : stateless_parameters<decltype(&F::operator())> {};
template <class R, class... Parameters>
struct stateless_parameters<R (*)(Parameters...)> {
    using type = parameter_list<Parameters...>;
};
template <class R, class F, class... Parameters>
struct stateless_parameters<R (F::*)(Parameters...) const> {
    using type = parameter_list<Parameters...>;
};

/// Whether a parameter owns what the argument does: a value of its very type. What is made from
/// another one may be a view of it (a string_view of a string).
template <class Parameter, class Argument>
inline constexpr bool takes_over = std::is_same_v<Parameter, Argument> ||
                                   (std::is_scalar_v<Parameter> && std::is_scalar_v<Argument>);

/// Whether the frame of the coroutine that F starts with decayed arguments owns all that it needs.
template <class Parameters, class... Arguments>
inline constexpr bool frame_owns = false;
template <class... Parameters, class... Arguments>
    requires(sizeof...(Parameters) == sizeof...(Arguments))
inline constexpr bool frame_owns<parameter_list<Parameters...>, Arguments...> =
    (takes_over<Parameters, Arguments> && ...);

/// A coroutine that owns fn and args for as long as fn's own task runs. Plain functions may be
/// started likewise.
template <class F, class... Args>
task<> call_owned(F fn, Args... args) {
    if constexpr (is_task<std::invoke_result_t<F, Args...>>) {
        auto body = std::invoke(std::move(fn), std::move(args)...);
        co_await origin_of(body.origin());
        static_cast<void>(co_await std::move(body));
    } else {
        static_cast<void>(std::invoke(std::move(fn), std::move(args)...));
        co_return;
    }
}

/// The task to run for fn(args...), detached: without a frame around it where its own frame owns
/// everything.
template <class F, class... Args>
task<> detached_task(F&& fn, Args&&... args) {
    if constexpr (frame_owns<typename stateless_parameters<std::decay_t<F>>::type,
                             std::decay_t<Args>...> &&
                  std::is_same_v<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>,
                                 task<>>) {
        return std::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
    } else {
        return call_owned<std::decay_t<F>, std::decay_t<Args>...>(std::forward<F>(fn),
                                                                  std::forward<Args>(args)...);
    }
}

/// Starts a detached task in that runtime. False: it has been shut down, and t keeps the task.
bool start_detached(scheduler& in, task<>&& t) noexcept;

/// Starts a detached task in the calling task's runtime; throws std::logic_error naming `what`
/// elsewhere.
void start_here(const char* what, task<> t);

/// The scheduler of the calling task; throws std::logic_error elsewhere.
scheduler& scheduler_here(const char* what);

/// The parameters are destroyed from the last to the first, so that whoever joins finds fn and args
/// gone.
template <class T, class F, class... Args>
task<> run_joined(join_completion<T> state, F fn, Args... args) {
    try {
        if constexpr (is_task<std::invoke_result_t<F, Args...>>) {
            auto body = std::invoke(std::move(fn), std::move(args)...);
            state->origin = body.origin();
            co_await origin_of(body.origin());
            if constexpr (std::is_void_v<T>) {
                co_await std::move(body);
                state->result.set_value();
            } else {
                T value = co_await std::move(body);
                state->result.set_value(std::forward<T>(value));
            }
        } else if constexpr (std::is_void_v<T>) {
            std::invoke(std::move(fn), std::move(args)...);
            state->result.set_value();
        } else {
            state->result.set_value(std::invoke(std::move(fn), std::move(args)...));
        }
    } catch (...) {
        state->result.set_error(std::current_exception());
    }
}

}  // namespace detail

/// The result of a spawned task. Move-only. Letting it go without a join detaches the task; an
/// exception that nobody can receive any more then ends the process, as one that leaves a go() task
/// does; if the handle goes because its holder is cut with its runtime, it is printed instead.
template <class T = void>
class [[nodiscard]] join_handle {
public:
    explicit join_handle(detail::join_ref<T> state) noexcept : state_(std::move(state)) {}

    /// Operation: waits for the task's end, when what was moved into it is gone too; gives its
    /// result or throws its exception. Cancelling the wait leaves the task running. The result is
    /// moved out: join once; after that std::logic_error is thrown (void and references can be had
    /// again). Must not outlive this handle.
    auto join() { return detail::join_operation<T>(*state_); }

    /// The same from a thread that runs no tasks: blocks it. Throws std::logic_error on a worker,
    /// which it would block.
    T get() {
        state_->wait_from_outside();
        return state_->take();
    }

    bool done() const noexcept { return state_->done(); }

private:
    detail::join_ref<T> state_;
};

/// Starts fn(args...) as a detached task of the calling task's runtime. fn and args are moved (or
/// copied) into the task, as with std::thread: pass std::ref for what outlives it. An exception
/// that leaves it ends the process. Throws std::logic_error on a thread that runs no tasks, and
/// what was moved in is gone (there, use runtime::go).
template <class F, class... Args>
void go(F&& fn, Args&&... args) {
    detail::start_here("go()",
                       detail::detached_task(std::forward<F>(fn), std::forward<Args>(args)...));
}

namespace detail {

template <class F, class... Args>
auto spawn_in(scheduler& in, F&& fn, Args&&... args) {
    using result_type = awaited_result<F, Args...>;
    auto state = join_ref<result_type>::make();
    start_detached(in, run_joined<result_type, std::decay_t<F>, std::decay_t<Args>...>(
                           join_completion<result_type>(state), std::forward<F>(fn),
                           std::forward<Args>(args)...));
    return join_handle<result_type>(std::move(state));
}

}  // namespace detail

/// Starts fn(args...) like go(), and gives a handle to wait for its result or its exception.
template <class F, class... Args>
auto spawn(F&& fn, Args&&... args) {
    return detail::spawn_in(detail::scheduler_here("spawn()"), std::forward<F>(fn),
                            std::forward<Args>(args)...);
}

/// The tasks alive in the calling task's runtime; a snapshot while others start and end.
std::size_t num_tasks();

}  // namespace sluice
