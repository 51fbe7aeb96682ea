#include <sluice/patterns/keyed_limiter.hpp>

#include <algorithm>
#include <limits>

namespace sluice::detail {

std::int64_t checked_lifetime(const rate& r, std::int64_t burst) {
    if (burst < 0) throw std::invalid_argument("keyed_limiter: a negative burst");
    if (r.is_infinite()) return 0;
    if (r.events() == 0) throw std::invalid_argument("keyed_limiter: a rate of zero");
    using wide = token_bucket::wide;
    const wide time = (static_cast<wide>(burst) * r.period().count() + r.events() - 1) / r.events();
    return static_cast<std::int64_t>(
        std::min<wide>(time, std::numeric_limits<std::int64_t>::max()));
}

}  // namespace sluice::detail
