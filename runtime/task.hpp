// task<T>: a lazy coroutine.
#pragma once

#include <coroutine>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/held_mutexes.hpp>
#include <sluice/runtime/detail/promise.hpp>
#include <sluice/runtime/detail/result_slot.hpp>

namespace sluice {

template <class T = void>
class task;

/// What may stand behind co_await in a task: operations, tasks and yield().
template <class A>
concept awaitable = requires { typename std::remove_cvref_t<A>::sluice_awaitable; };

namespace detail {

template <class T>
struct task_promise;

struct origin_of {
    explicit origin_of(std::source_location p) noexcept : place(p) {}
    std::source_location place;
};

template <class T>
struct task_promise_base : promise_base {
    task<T> get_return_object(std::source_location here = std::source_location::current()) noexcept;
    std::suspend_always initial_suspend() const noexcept { return {}; }
    final_awaiter final_suspend() const noexcept { return final_awaiter(awaiter); }

    void unhandled_exception() noexcept {
        if (detached()) die_of_detached_exception(*this);
        result.set_error(std::current_exception());
    }

    template <awaitable A>
    A&& await_transform(A&& a,
                        std::source_location here = std::source_location::current()) noexcept {
        static_assert(
            !std::is_lvalue_reference_v<A>,
            "an operation or a task is awaited once, as an rvalue: co_await std::move(it)");
        where = here;
        note_await(here);
        return static_cast<A&&>(a);
    }

    /// A wrapper's frame speaks in reports for the coroutine it was made for.
    std::suspend_never await_transform(origin_of o) noexcept {
        origin = o.place;
        return {};
    }

    result_slot<T> result;
};

template <class T>
struct task_promise : task_promise_base<T> {
    template <class U = T>
    void return_value(U&& value) {
        this->result.set_value(std::forward<U>(value));
    }
};

template <>
struct task_promise<void> : task_promise_base<void> {
    void return_void() noexcept { result.set_value(); }
};

}  // namespace detail

/// A coroutine that starts when it is awaited, on the awaiting task, and gives its result or its
/// exception there. Move-only; awaited once, as an rvalue. Destroying one that never started frees
/// its arguments and runs nothing. A call costs a frame from a free list and no atomic operation.
/// Parameters taken by reference must outlive the await; a lambda with captures must outlive the
/// coroutine it started (docs/coroutine-traps.md).
template <class T>
class [[nodiscard]] task {
public:
    using promise_type = detail::task_promise<T>;
    using sluice_awaitable = void;
    static_assert(alignof(detail::result_slot<T>) <= 2 * sizeof(void*),
                  "the result of a task must not be over-aligned; return a std::unique_ptr to it");

    task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    task& operator=(task&& other) noexcept {
        task(std::move(other)).swap(*this);
        return *this;
    }
    ~task() {
        if (frame_) frame_.destroy();
    }

    void swap(task& other) noexcept { std::swap(frame_, other.frame_); }

    // co_await
    bool await_ready() const noexcept { return false; }

    template <class Promise>
    detail::transfer_target await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        awaiting.promise().waits_for(frame_.promise());
        frame_.promise().awaiter = reinterpret_cast<std::uintptr_t>(awaiting.address());
        return detail::transfer_to(frame_);
    }

    T await_resume() { return frame_.promise().result.take(); }

    /// Where the coroutine function stands in the source.
    std::source_location origin() const noexcept { return frame_.promise().origin; }

    /// For the runtime: the frame, and the same when the caller becomes its owner.
    std::coroutine_handle<promise_type> frame() const noexcept { return frame_; }
    std::coroutine_handle<promise_type> release() noexcept {
        return std::exchange(frame_, nullptr);
    }

private:
    friend detail::task_promise_base<T>;
    explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

    std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T>
task<T> task_promise_base<T>::get_return_object(std::source_location here) noexcept {
    origin = where = here;
    return task<T>(
        std::coroutine_handle<task_promise<T>>::from_promise(static_cast<task_promise<T>&>(*this)));
}

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

/// What a callable gives in the end: the result of its task if it is a coroutine function.
template <class T>
struct awaited {
    using type = T;
};
template <class T>
struct awaited<task<T>> {
    using type = T;
};
template <class F, class... Args>
using awaited_result =
    typename awaited<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>>::type;

}  // namespace detail
}  // namespace sluice
