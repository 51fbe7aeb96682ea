#include <sluice/patterns/rate_limiter.hpp>

#include <algorithm>
#include <iterator>
#include <new>
#include <stdexcept>

namespace sluice {

namespace {

std::int64_t checked_burst(std::int64_t burst) {
    if (burst < 0) throw std::invalid_argument("rate_limiter: a negative burst");
    return burst;
}

}  // namespace

std::chrono::nanoseconds reservation::delay() const noexcept {
    if (!ok()) return std::chrono::nanoseconds::max();
    return std::chrono::nanoseconds(std::max<std::int64_t>(turn_.at - detail::now(), 0));
}

void reservation::cancel() noexcept {
    of_->give_back(std::exchange(turn_, {}));
}

rate_limiter::rate_limiter(rate r, std::int64_t burst)
    : rate_(r), burst_(checked_burst(burst)), bucket_(burst, detail::now()) {}

bool rate_limiter::allow(std::int64_t n) {
    return !take(n, at_once).refused;
}

reservation rate_limiter::reserve(std::int64_t n) {
    return {*this, take(n, detail::timer_queue::never)};
}

void rate_limiter::set_rate(rate r) {
    const std::lock_guard guard(lock_);
    bucket_.accrue(rate_, burst_, detail::now());
    bucket_.convert(rate_, r);
    rate_ = r;
    ++rates_;
}

void rate_limiter::set_burst(std::int64_t burst) {
    checked_burst(burst);
    const std::lock_guard guard(lock_);
    bucket_.accrue(rate_, burst_, detail::now());
    burst_ = burst;
}

std::int64_t rate_limiter::tokens() {
    const std::lock_guard guard(lock_);
    bucket_.accrue(rate_, burst_, detail::now());
    return bucket_.tokens();
}

// The time is read under the lock, so that it does not go backwards from one call to the next.
detail::bucket_turn rate_limiter::take(std::int64_t n, std::int64_t before) {
    if (n < 0) throw std::invalid_argument("rate_limiter: a negative number of events");
    const std::lock_guard guard(lock_);
    const std::int64_t now = detail::now();
    if (rate_.is_infinite()) return detail::bucket_turn(now);
    if (n > burst_) return detail::bucket_turn(make_error_code(refusal::over_burst));

    bucket_.accrue(rate_, burst_, now);
    detail::token_bucket after = bucket_;
    const std::int64_t at = after.take(n) ? after.paid(rate_, now) : detail::timer_queue::never;
    if (at >= (before == at_once ? now + 1 : before))
        return detail::bucket_turn(make_error_code(refusal::deadline_too_short));

    detail::bucket_turn turn(at);
    turn.tokens = n;
    turn.rates = rates_;
    turn.from = taken_ahead_;
    turn.to = taken_ahead_ += after.debt() - bucket_.debt();
    bucket_ = after;
    return turn;
}

detail::bucket_turn rate_limiter::take_for(const context& ctx, std::int64_t n) {
    const std::error_code ended = ctx.err();
    std::int64_t before = detail::timer_queue::never;
    if (ended) {
        before = 0;  // takes nothing, but says if it is too much
    } else if (ctx.node() != nullptr) {
        before = ctx.node()->deadline();
    }
    const detail::bucket_turn turn = take(n, before);
    if (ended && turn.refused != refusal::over_burst) return detail::bucket_turn(ended);
    return turn;
}

void rate_limiter::give_back(const detail::bucket_turn& turn) noexcept {
    if (turn.tokens == 0) return;
    const std::lock_guard guard(lock_);
    if (rate_.is_infinite()) return;
    const std::int64_t now = detail::now();
    bucket_.accrue(rate_, burst_, now);
    const std::int64_t kept = std::min(behind(turn), turn.tokens);
    if (kept > 0) {
        put_back(turn, turn.tokens - kept, now);
        keep(turn, kept, now);
        return;
    }
    put_back(turn, turn.tokens, now);
    taken_ahead_ = std::min(taken_ahead_, turn.from);
    while (!given_up_.empty()) {
        const auto last = std::prev(given_up_.end());
        if (last->first < taken_ahead_) break;
        put_back(last->second, last->second.tokens, now);
        taken_ahead_ = std::min(taken_ahead_, last->second.from);
        given_up_.erase(last);
    }
}

// The tokens that others have taken ahead since.
std::int64_t rate_limiter::behind(const detail::bucket_turn& turn) const noexcept {
    return std::max<std::int64_t>(static_cast<std::int64_t>(taken_ahead_ - turn.to), 0);
}

void rate_limiter::put_back(const detail::bucket_turn& turn, std::int64_t n,
                            std::int64_t now) noexcept {
    if (is_worthless(turn, n, now)) return;
    const std::int64_t late = turn.rates == rates_ ? std::max<std::int64_t>(now - turn.at, 0) : 0;
    bucket_.put_back(rate_, burst_, n, late);
}

bool rate_limiter::is_worthless(const detail::bucket_turn& turn, std::int64_t n,
                                std::int64_t now) const noexcept {
    if (turn.rates == rates_) return detail::token_bucket::outlived(rate_, n, now - turn.at);
    // Under another rate its tokens come in at another time: known is only whether they have by
    // now.
    return bucket_.debt() <= static_cast<std::uint64_t>(behind(turn));
}

void rate_limiter::keep(detail::bucket_turn turn, std::int64_t n, std::int64_t now) noexcept {
    if (given_up_.size() >= sweep_at_) {
        std::erase_if(given_up_, [&](const auto& kept) {
            return is_worthless(kept.second, kept.second.tokens, now);
        });
        sweep_at_ = std::max(least_sweep, 2 * given_up_.size());
    }
    turn.tokens = n;
    try {
        given_up_.emplace(turn.to, turn);
    } catch (const std::bad_alloc&) {  // the next event is later than it could be, which is allowed
    }
}

}  // namespace sluice
