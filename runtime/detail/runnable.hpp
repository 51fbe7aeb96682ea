// What a ready queue holds: anything that begins like a coroutine frame.
//
// Concepts
//   A coroutine frame begins, on every compiler for the Itanium ABI, with the address of its resume
//   function and then that of its destroy function; our promises come next, and begin with a link
//   (promise_base::link). A runnable is exactly this prefix. So a suspended frame is queued as it
//   is, without a node around it, and other things that run on a worker (a select that must retire
//   its losers first, a timer's action) take the same shape.
//
// Rejected: queues of std::coroutine_handle<> (nothing but frames could be queued, and the global
// queue would need to allocate), a node per task (24 bytes and a cache miss for each hand-off).
#pragma once

#include <coroutine>

namespace sluice::detail {

// may_alias: a frame's first words are written by compiler-generated code and by promise_base under
// other types.
struct [[gnu::may_alias]] runnable {
    using function = void (*)(void*);

    function resume = nullptr;
    function destroy = nullptr;
    // Whoever holds the runnable: a queue, or a list of things about to be queued.
    runnable* next = nullptr;

    static runnable* from_frame(std::coroutine_handle<> frame) noexcept {
        return static_cast<runnable*>(frame.address());
    }

    void run() { resume(this); }
};

}  // namespace sluice::detail
