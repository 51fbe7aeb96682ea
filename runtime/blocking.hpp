// blocking(): calls that block their thread, kept away from the workers.
#pragma once

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/blocking_pool.hpp>
#include <sluice/runtime/detail/join_state.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

namespace detail {

template <class T, class F, class... Args>
class blocking_call final : public blocking_job {
public:
    blocking_call(scheduler& from, join_ref<T> state, F fn, Args... args)
        : blocking_job(from), state_(std::move(state)), call_(std::move(fn), std::move(args)...) {}

    void run() noexcept override {
        try {
            if constexpr (std::is_void_v<T>) {
                std::apply([](F& f, Args&... a) { std::invoke(std::move(f), std::move(a)...); },
                           call_);
                state_->result.set_value();
            } else {
                state_->result.set_value(std::apply(
                    [](F& f, Args&... a) -> T {
                        return std::invoke(std::move(f), std::move(a)...);
                    },
                    call_));
            }
        } catch (...) {
            state_->result.set_error(std::current_exception());
        }
        state_->disregard();  // one that lost a race may fail unseen; a joiner sees the exception
                              // all the same
        state_->complete();
    }

private:
    join_ref<T> state_;
    std::tuple<F, Args...> call_;
};

template <class T>
class [[nodiscard]] blocking_operation : public sole_operation<blocking_operation<T>> {
public:
    using result_type = T;
    explicit blocking_operation(join_ref<T> s) noexcept : state_(std::move(s)), leaf_(*state_) {}
    blocking_operation(blocking_operation&&) noexcept = default;

    join_leaf& the_leaf() noexcept { return leaf_; }
    T take(std::size_t) { return state_->take(); }

private:
    join_ref<T> state_;
    join_leaf leaf_;
};

}  // namespace detail

/// Operation: the result, or the exception, of fn(args...), which runs at once on a thread of a
/// pool that grows with demand. Losing a race, or being cut, abandons the result, not the call: fn
/// runs to its end and owns its arguments. A call costs two thread switches, tens of microseconds.
/// With g++ 12 name a closure that captures first: co_await blocking([x] {…}) is miscompiled.
template <class F, class... Args>
auto blocking(F&& fn, Args&&... args) {
    using result_type = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
    using call = detail::blocking_call<result_type, std::decay_t<F>, std::decay_t<Args>...>;
    auto state = detail::join_ref<result_type>::make();
    detail::scheduler& here = detail::scheduler_here("blocking()");
    detail::submit_blocking(
        std::make_unique<call>(here, state, std::forward<F>(fn), std::forward<Args>(args)...));
    return detail::blocking_operation<result_type>(std::move(state));
}

}  // namespace sluice
