#include <sluice/patterns/detail/token_bucket.hpp>

#include <algorithm>

#include <sluice/runtime/detail/timer_queue.hpp>

namespace sluice::detail {

void token_bucket::add(wide units, const rate& r, std::int64_t burst) noexcept {
    const wide period = r.period().count();
    units += fraction_;
    const wide whole = units / period;
    if (whole >= static_cast<wide>(burst) - tokens_) {
        tokens_ = burst;
        fraction_ = 0;
    } else {
        tokens_ += static_cast<std::int64_t>(whole);
        fraction_ = static_cast<std::int64_t>(units % period);
    }
}

void token_bucket::accrue(const rate& r, std::int64_t burst, std::int64_t now) noexcept {
    const wide passed = now > last_ ? static_cast<wide>(now) - last_ : 0;
    last_ = std::max(last_, now);
    if (r.is_infinite()) {
        tokens_ = burst;
        fraction_ = 0;
    } else {
        add(passed * r.events(), r, burst);
    }
}

std::int64_t token_bucket::paid(const rate& r, std::int64_t now) const noexcept {
    if (tokens_ >= 0) return now;
    if (r.events() == 0) return timer_queue::never;
    const wide debt = -static_cast<wide>(tokens_) * r.period().count() - fraction_;
    const wide at = last_ + (debt + r.events() - 1) / r.events();
    return static_cast<std::int64_t>(std::min<wide>(at, timer_queue::never));
}

void token_bucket::put_back(const rate& r, std::int64_t burst, std::int64_t n,
                            std::int64_t late) noexcept {
    const wide units = left_of(r, n, late);
    if (units > 0) add(units, r, burst);
}

void token_bucket::convert(const rate& from, const rate& to) noexcept {
    fraction_ = from.is_infinite() || to.is_infinite()
                    ? 0
                    : static_cast<std::int64_t>(static_cast<wide>(fraction_) * to.period().count() /
                                                from.period().count());
}

}  // namespace sluice::detail
