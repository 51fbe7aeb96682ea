// ticker: an event at regular intervals.
#pragma once

#include <chrono>

#include <sluice/channels/detail/tick_source.hpp>
#include <sluice/runtime/sleep.hpp>

namespace sluice {

namespace detail {
/// The same; throws std::logic_error unless positive.
std::int64_t checked_period(std::int64_t nanoseconds);
}  // namespace detail

/// Ticks every `period`. At most one tick is pending: a slow receiver misses ticks, the rhythm
/// stays. Move-only; letting it go stops it. Made and reset in a task. After a move from it stop()
/// does nothing, and the others throw std::logic_error.
class ticker {
public:
    /// Throws std::logic_error for a period of zero or less.
    template <class Rep = std::int64_t, class Period = std::nano>
    explicit ticker(std::chrono::duration<Rep, Period> period)
        : source_(detail::deadline_after(period),
                  detail::checked_period(detail::saturated(period))) {}

    /// Operation: waits for the next tick and gives the time it was due. After stop() it waits for
    /// ever.
    auto recv() const { return detail::tick_operation(*source_); }

    /// No tick can be received afterwards.
    void stop() const noexcept { source_.stop(); }

    /// Ticks every `period` from now on, whether it was stopped or not; the first one is a period
    /// away.
    template <class Rep = std::int64_t, class Period = std::nano>
    void reset(std::chrono::duration<Rep, Period> period) const {
        const std::int64_t p = detail::checked_period(detail::saturated(period));
        (*source_).reset(detail::deadline_after(period), p);
    }

private:
    detail::tick_owner source_;
};

}  // namespace sluice
