#include <sluice/channels/ticker.hpp>

#include <stdexcept>

namespace sluice::detail {

std::int64_t checked_period(std::int64_t nanoseconds) {
    if (nanoseconds <= 0) throw std::logic_error("sluice: the period of a ticker must be positive");
    return nanoseconds;
}

}  // namespace sluice::detail
