// std::mutex held across a suspension: the worker's other tasks may wait for it without end, and
// the task may go on in another thread, which must not unlock it.
//
// A debug build (SLUICE_CHECKED) counts what each thread has locked, by standing in front of the C
// library's functions, and compares after each step of a task. Not under ThreadSanitizer, which
// stands there itself.
#pragma once

#include <source_location>

namespace sluice::detail {

#if defined(SLUICE_CHECKED) && !defined(SLUICE_MODEL)

/// A co_await begins on this thread.
void note_await(const std::source_location& place) noexcept;

/// A task's step on a worker, from here to ended().
class mutex_check {
public:
    mutex_check() noexcept;
    /// Ends the program if the step has locked more than it unlocked.
    void ended() const noexcept;

private:
    const int held_before_;
    const std::source_location outer_await_;  // of a step that runs this one, in a run()
};

#else

inline void note_await(const std::source_location&) noexcept {}

class mutex_check {
public:
    mutex_check() noexcept {}
    void ended() const noexcept {}
};

#endif

}  // namespace sluice::detail
