// timer: one event in the future, which can be stopped and set anew.
#pragma once

#include <chrono>

#include <sluice/channels/detail/tick_source.hpp>
#include <sluice/runtime/sleep.hpp>

namespace sluice {

/// Fires once, after a time. Move-only; letting it go stops it. Made and reset in a task; recv()
/// may be awaited, raced and bounded anywhere. After a move from it stop() is false, and the others
/// throw std::logic_error. For a mere delay use sleep_for(), for a case of a select after().
class timer {
public:
    template <class Rep, class Period>
    explicit timer(std::chrono::duration<Rep, Period> d) : source_(detail::deadline_after(d), 0) {}

    /// Operation: waits for the timer and gives the time it was due, once per firing. After stop()
    /// it waits for ever.
    auto recv() const { return detail::tick_operation(*source_); }

    /// True: it had not been received, and will not be.
    bool stop() const noexcept { return source_.stop(); }

    /// Sets it anew, from now. True as for stop(). No earlier firing can be received afterwards.
    template <class Rep, class Period>
    bool reset(std::chrono::duration<Rep, Period> d) const {
        return (*source_).reset(detail::deadline_after(d), 0);
    }

private:
    detail::tick_owner source_;
};

}  // namespace sluice
