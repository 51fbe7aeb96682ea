#include <sluice/patterns/retry.hpp>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include <sluice/runtime/random.hpp>

namespace sluice {

namespace {

constexpr std::int64_t whole = 100;  // a retry, in the units of a budget
constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

std::int64_t sum(std::int64_t a, std::int64_t b) noexcept {
    std::int64_t s = 0;
    return __builtin_add_overflow(a, b, &s) ? largest : s;
}

std::int64_t checked(std::int64_t n) {
    if (n < 0 || n > largest / whole)
        throw std::invalid_argument("retry_budget: a negative or too large number");
    return n;
}

/// From 0 to n, each as likely as the others.
std::int64_t random_up_to(std::int64_t n) noexcept {
    __extension__ using wide = unsigned __int128;
    const wide scaled = static_cast<wide>(random_bits()) * (static_cast<std::uint64_t>(n) + 1);
    return static_cast<std::int64_t>(scaled >> 64);
}

}  // namespace

retry_budget::retry_budget(std::int64_t percent, std::int64_t reserve)
    : percent_(checked(percent)), most_(checked(reserve) * whole), left_(most_) {}

void retry_budget::deposit() {
    add(percent_);
}

bool retry_budget::withdraw() {
    const std::lock_guard guard(lock_);
    if (left_ < whole) return false;
    left_ -= whole;
    return true;
}

void retry_budget::refund() {
    add(whole);
}

void retry_budget::add(std::int64_t hundredths) {
    const std::lock_guard guard(lock_);
    left_ += std::min(hundredths, most_ - left_);
}

namespace detail {

void check_policy(const retry_policy& p) {
    if (p.max_attempts < 1) throw std::invalid_argument("retry: less than one attempt");
    if (p.first_delay.count() <= 0 || p.max_delay < p.first_delay)
        throw std::invalid_argument("retry: the delays must be positive, and grow");
    if (p.max_elapsed.count() < 0) throw std::invalid_argument("retry: a negative time");
}

backoff::backoff(const retry_policy& p) noexcept
    : spread_(p.spread),
      first_(p.first_delay.count()),
      most_(p.max_delay.count()),
      bound_(first_),
      last_(first_) {}

std::int64_t backoff::next() noexcept {
    if (spread_ == jitter::decorrelated) {
        const std::int64_t top = last_ > largest / 3 ? largest : 3 * last_;
        last_ = std::min(most_, first_ + random_up_to(top - first_));
        return last_;
    }
    const std::int64_t least = spread_ == jitter::equal ? bound_ / 2 : 0;
    const std::int64_t delay = least + random_up_to(bound_ - least);
    bound_ = bound_ > most_ / 2 ? most_ : 2 * bound_;
    return delay;
}

retry_course::retry_course(const retry_policy& p)
    : max_attempts_(p.max_attempts),
      latest_(sum(now(), p.max_elapsed.count())),
      budget_(p.budget),
      delays_(p) {}

void retry_course::begin() {
    if (number == 0 && budget_) budget_->deposit();
    ++number;
    final = false;
    not_before = std::chrono::nanoseconds(0);
}

std::int64_t retry_course::next(const context& ctx) {
    if (final || number == max_attempts_ || ctx.err()) return timer_queue::never;
    const std::int64_t delay = sum(delays_.next(), std::max<std::int64_t>(not_before.count(), 0));
    const std::int64_t at = sum(now(), delay);
    if (at == timer_queue::never || at > latest_) return timer_queue::never;
    if (ctx.node() != nullptr && at >= ctx.node()->deadline()) return timer_queue::never;
    if (budget_ && !budget_->withdraw()) return timer_queue::never;
    return at;
}

void retry_course::cut() {
    if (budget_) budget_->refund();
}

}  // namespace detail
}  // namespace sluice
