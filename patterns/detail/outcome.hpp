// outcome: how a call of a user's function ended, for patterns that look at that before they pass
// it on: with a value, with the error code of a result<T>, or with an exception.
#pragma once

#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice::detail {

/// What a call of fn, plain or a coroutine, gives in the end: its result<T> as it is, any other T
/// as result<T>.
template <class F, class... Args>
using call_result = flattened<awaited_result<F, Args...>>;

template <class Result>
class [[nodiscard]] outcome {
public:
    outcome(Result r) noexcept(std::is_nothrow_move_constructible_v<Result>)
        : result_(std::move(r)) {}
    explicit outcome(std::exception_ptr e) noexcept
        : result_(fail(errc::canceled)), thrown_(std::move(e)) {}

    bool ok() const noexcept { return !thrown_ && result_.has_value(); }

    /// Empty if it is ok.
    failure why() const {
        if (thrown_) return thrown_;
        return result_ ? failure() : failure(result_.error());
    }

    /// Throws the exception, if that is how it ended. Once.
    Result take() {
        if (thrown_) std::rethrow_exception(thrown_);
        return std::move(result_);
    }

private:
    Result result_;  // of no meaning when thrown_ is set
    std::exception_ptr thrown_;
};

/// Calls fn(args...) and awaits it if it is a coroutine. fn must outlive the await.
template <class F, class... Args>
task<outcome<call_result<F&, Args...>>> attempt(F& fn, Args... args) {
    using result_type = call_result<F&, Args...>;
    using returned = std::invoke_result_t<F&, Args...>;
    try {
        if constexpr (is_task<returned>) {
            if constexpr (std::is_void_v<awaited_result<F&, Args...>>) {
                co_await std::invoke(fn, std::move(args)...);
                co_return result_type();
            } else {
                result_type taken = co_await std::invoke(fn, std::move(args)...);
                co_return taken;
            }
        } else if constexpr (std::is_void_v<returned>) {
            std::invoke(fn, std::move(args)...);
            co_return result_type();
        } else {
            co_return result_type(std::invoke(fn, std::move(args)...));
        }
    } catch (...) {
        co_return outcome<result_type>(std::current_exception());
    }
}

}  // namespace sluice::detail
