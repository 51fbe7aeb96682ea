// rate: how often events may happen, as a whole number of them in a time.
//
// Rejected: a floating-point number of events a second (x/time/rate). One event a minute or a third
// of a second between two then has no exact value, and what a bucket accrues drifts.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>

namespace sluice {

class rate {
public:
    /// So many events in each period: rate(100) is 100 a second, rate(1, 10min) one every ten
    /// minutes, rate(0) none. Throws std::invalid_argument for a negative number of events or a
    /// period of zero or less.
    explicit constexpr rate(std::int64_t events,
                            std::chrono::nanoseconds period = std::chrono::seconds(1))
        : events_(events), period_(period.count()) {
        if (events < 0) throw std::invalid_argument("rate: a negative number of events");
        if (period_ <= 0) throw std::invalid_argument("rate: a period of zero or less");
    }

    /// No limit.
    static constexpr rate infinite() noexcept { return rate(); }
    constexpr bool is_infinite() const noexcept { return period_ == 0; }

    constexpr std::int64_t events() const noexcept { return events_; }
    constexpr std::chrono::nanoseconds period() const noexcept {
        return std::chrono::nanoseconds(period_);
    }

private:
    constexpr rate() noexcept = default;

    std::int64_t events_ = 0;
    std::int64_t period_ = 0;  // nanoseconds; 0: infinite
};

}  // namespace sluice
