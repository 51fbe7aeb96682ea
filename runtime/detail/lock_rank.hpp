// In which order locks may be taken, in one table, which a debug build checks.
//
// A thread that holds a lock takes only those further down the table, so that no circle of threads
// can wait for each other. Where SLUICE_CHECKED is defined (meson does, for builds with assertions,
// and tells those who link with the library) every taking is compared with what the thread holds,
// and one against the order ends the program with the names of both locks: also when no other
// thread was there to complete the circle. Source: the Go runtime's lockrank.go.
//
// The define changes the layout of what has a lock. A program that disagrees with its library about
// it does not link: either has a symbol that the other one asks for.
#pragma once

#include <cstdint>

namespace sluice::detail {

/// From the outermost to the innermost. Of one rank a thread holds one lock at a time, but for
/// channels, which are locked by address.
enum class lock_rank : std::uint8_t {
    completions,  // what comes from the kernel is delivered under it
    channel,      // a select tries its other cases under those of its channels
    ring_channel,
    subscription,
    task_group,
    context,
    mutex,
    rw_mutex,
    semaphore,
    wait_group,
    join,
    descriptor,
    ticker_control,
    timer_queue,
    ticker,
    registrations,
    stop_inbox,
    registry,
    sleepers,
    global_queue,
    all_timer_queues,
    object_pool,
    all_frame_pools,
    frame_pool,
};

#if !defined(SLUICE_MODEL)
#if defined(SLUICE_CHECKED)
extern const bool library_is_checked;
[[gnu::used, gnu::retain]] inline const bool* const library_agrees = &library_is_checked;
#else
extern const bool library_is_unchecked;
[[gnu::used, gnu::retain]] inline const bool* const library_agrees = &library_is_unchecked;
#endif
#endif

#if defined(SLUICE_CHECKED) && !defined(SLUICE_MODEL)

/// A lock's place in the order; the lock says what this thread does to it.
class ranked {
public:
    explicit constexpr ranked(lock_rank rank) noexcept : rank_(rank) {}

    /// Is about to wait for it. Ends the program if that breaks the order.
    void locks(const void* lock) const noexcept;
    void has_locked(const void* lock) const noexcept;
    void unlocks() const noexcept;

private:
    lock_rank rank_;
};

#else

class ranked {
public:
    explicit constexpr ranked(lock_rank) noexcept {}
    void locks(const void*) const noexcept {}
    void has_locked(const void*) const noexcept {}
    void unlocks() const noexcept {}
};

#endif

}  // namespace sluice::detail
