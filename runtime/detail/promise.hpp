// The part of a coroutine's promise that does not depend on its result.
//
// The frame of every task begins {resume, destroy, promise_base}, which makes it a runnable
// (runnable.hpp).
//
// promise_base::link says where a suspended coroutine stands, by its low two bits:
//   00  a queue's next pointer: ready, or not started yet
//   01  promise_base of the task it awaits
//   10  the leaf of its sole wait
//   11  its multi_wait
// Following it from a task's outermost frame gives the chain of awaits; reports do that, at no cost
// to the running task but this one store.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

class leaf;
class multi_wait;

struct promise_base {
    std::uintptr_t link = 0;  // must be first: see runnable
    // The frame that awaits this one; for a detached task 2 * its start stamp + 1.
    std::uintptr_t awaiter = 0;
    std::source_location origin;  // the coroutine function
    std::source_location where;   // its latest co_await

    /// The outermost frame of a task. The stamp grows from the start of a task to those it starts.
    void start_detached(std::uint64_t stamp) noexcept { awaiter = stamp * 2 + 1; }
    bool detached() const noexcept { return (awaiter & 1) != 0; }
    std::uint64_t start_stamp() const noexcept { return awaiter / 2; }

    void waits_for(promise_base& child) noexcept {
        link = reinterpret_cast<std::uintptr_t>(&child) | 1;
    }
    void waits_for(leaf& l) noexcept { link = reinterpret_cast<std::uintptr_t>(&l) | 2; }
    void waits_for(multi_wait& w) noexcept { link = reinterpret_cast<std::uintptr_t>(&w) | 3; }
    void runs_again() noexcept { link = 0; }

    static promise_base& of(void* frame) noexcept {
        return *reinterpret_cast<promise_base*>(static_cast<std::byte*>(frame) + 2 * sizeof(void*));
    }

    static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
    static void operator delete(void* memory) noexcept { frame_pool::deallocate(memory); }
};

/// An exception has left a detached task: reports the task's origin and the message, and ends the
/// process.
[[noreturn]] void die_of_detached_exception(const promise_base& promise) noexcept;

/// A detached task has come to its end.
void count_finished_task() noexcept;

// g++ 12 does not turn symmetric transfer into a tail call without optimisation or under a
// sanitizer: a loop of awaits that complete synchronously would overflow the stack. There the frame
// to run next is left with the worker instead.
#if defined(__GNUC__) && !defined(__clang__) && \
    (!defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
using transfer_target = void;
void leave_transfer(std::coroutine_handle<> frame) noexcept;
inline transfer_target transfer_to(std::coroutine_handle<> frame) noexcept {
    leave_transfer(frame);
}
#else
using transfer_target = std::coroutine_handle<>;
inline transfer_target transfer_to(std::coroutine_handle<> frame) noexcept {
    return frame;
}
#endif

struct final_awaiter {
    // True for a detached task: the coroutine flows off its end and the frame frees itself.
    bool await_ready() const noexcept {
        if ((awaiter_ & 1) == 0) return false;
        count_finished_task();
        return true;
    }
    transfer_target await_suspend(std::coroutine_handle<>) const noexcept {
        return transfer_to(
            std::coroutine_handle<>::from_address(reinterpret_cast<void*>(awaiter_)));
    }
    void await_resume() const noexcept {}

    explicit final_awaiter(std::uintptr_t awaiter) noexcept : awaiter_(awaiter) {}

private:
    const std::uintptr_t awaiter_;
};

}  // namespace sluice::detail
