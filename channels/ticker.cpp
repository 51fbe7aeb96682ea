#include <sluice/channels/ticker.hpp>

#include <stdexcept>

namespace sluice::detail {

std::int64_t checked_period(std::chrono::nanoseconds period) {
    if (period.count() <= 0)
        throw std::logic_error("sluice: the period of a ticker must be positive");
    return period.count();
}

}  // namespace sluice::detail
