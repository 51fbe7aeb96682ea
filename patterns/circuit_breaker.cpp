#include <sluice/patterns/circuit_breaker.hpp>

#include <exception>
#include <stdexcept>

#include <sluice/runtime/sleep.hpp>

namespace sluice {

const char* to_string(circuit_state s) noexcept {
    if (s == circuit_state::closed) return "closed";
    return s == circuit_state::open ? "open" : "half-open";
}

namespace detail {

void circuit_window::clear() noexcept {
    age_ = 0;
    sum_ = {};
    for (circuit_counts& b : buckets_) b = {};
}

void circuit_window::move_to(std::uint64_t age) noexcept {
    if (age - age_ >= buckets_.size()) {
        clear();
        age_ = age;
        return;
    }
    while (age_ != age) {
        circuit_counts& oldest = buckets_[++age_ % buckets_.size()];
        sum_.requests -= oldest.requests;
        sum_.total_successes -= oldest.total_successes;
        sum_.total_failures -= oldest.total_failures;
        sum_.total_exclusions -= oldest.total_exclusions;
        sum_.consecutive_successes -= oldest.consecutive_successes;
        sum_.consecutive_failures -= oldest.consecutive_failures;
        oldest = {};
    }
}

circuit_counts* circuit_window::bucket_of(std::uint64_t age) noexcept {
    return age_ - age < buckets_.size() ? &buckets_[age % buckets_.size()] : nullptr;
}

void circuit_window::add_request() noexcept {
    ++sum_.requests;
    ++bucket_of(age_)->requests;
}

bool circuit_window::add_success(std::uint64_t age) noexcept {
    circuit_counts* const bucket = bucket_of(age);
    if (bucket == nullptr) return false;
    if (sum_.consecutive_failures != 0) {
        sum_.consecutive_failures = 0;
        for (circuit_counts& b : buckets_) b.consecutive_failures = 0;
    }
    for (circuit_counts* c : {&sum_, bucket}) {
        ++c->total_successes;
        ++c->consecutive_successes;
    }
    return true;
}

bool circuit_window::add_failure(std::uint64_t age) noexcept {
    circuit_counts* const bucket = bucket_of(age);
    if (bucket == nullptr) return false;
    if (sum_.consecutive_successes != 0) {
        sum_.consecutive_successes = 0;
        for (circuit_counts& b : buckets_) b.consecutive_successes = 0;
    }
    for (circuit_counts* c : {&sum_, bucket}) {
        ++c->total_failures;
        ++c->consecutive_failures;
    }
    return true;
}

bool circuit_window::add_exclusion(std::uint64_t age) noexcept {
    circuit_counts* const bucket = bucket_of(age);
    if (bucket == nullptr) return false;
    ++sum_.total_exclusions;
    ++bucket->total_exclusions;
    return true;
}

namespace {

bool has_buckets(const circuit_settings& s) {
    return s.interval.count() > 0 && s.bucket_period.count() > 0;
}

std::size_t bucket_count(const circuit_settings& s) {
    constexpr std::int64_t most = 10'000;
    if (!has_buckets(s)) return 1;
    const std::int64_t before_last = (s.interval.count() - 1) / s.bucket_period.count();
    if (before_last >= most)
        throw std::invalid_argument("circuit_breaker: an interval of more than 10,000 buckets");
    return 1 + static_cast<std::size_t>(before_last);
}

}  // namespace
}  // namespace detail

circuit_ticket::~circuit_ticket() {
    if (breaker_ != nullptr) breaker_->exclude(generation_, age_);
}

void circuit_ticket::done(const failure& why) {
    circuit_breaker* const b = std::exchange(breaker_, nullptr);
    if (b != nullptr) b->settle(generation_, age_, why);
}

circuit_breaker::circuit_breaker(circuit_settings settings)
    : settings_(std::move(settings)),
      bucket_period_(detail::has_buckets(settings_) ? settings_.bucket_period : settings_.interval),
      since_(now()),
      window_(detail::bucket_count(settings_)) {
    if (settings_.max_requests == 0)
        throw std::invalid_argument("circuit_breaker: max_requests must be at least 1");
    if (settings_.timeout.count() <= 0)
        throw std::invalid_argument("circuit_breaker: the timeout must be positive");
}

result<circuit_ticket> circuit_breaker::allow() {
    std::unique_lock lock(lock_);
    look(now());
    const circuit_counts& counts = window_.sum();
    result<circuit_ticket> answer = fail(refusal::circuit_open);
    if (state_ == circuit_state::half_open &&
        counts.requests - counts.total_exclusions >= settings_.max_requests) {
        answer = fail(refusal::too_many_requests);
    } else if (state_ != circuit_state::open) {
        window_.add_request();
        answer = circuit_ticket(*this, generation_, window_.age());
    }
    tell(std::move(lock));
    return answer;
}

circuit_state circuit_breaker::state() {
    std::unique_lock lock(lock_);
    look(now());
    const circuit_state s = state_;
    tell(std::move(lock));
    return s;
}

circuit_counts circuit_breaker::counts() {
    const std::lock_guard guard(lock_);
    keep_window(now());
    return window_.sum();
}

bool circuit_breaker::excluded(const failure& why) const {
    if (settings_.is_excluded) return settings_.is_excluded(why);
    return why.code() == errc::canceled;
}

bool circuit_breaker::successful(const failure& why) const {
    return settings_.is_successful ? settings_.is_successful(why) : !why;
}

bool circuit_breaker::trips(const circuit_counts& counts) const {
    constexpr std::uint64_t usual = 5;
    return settings_.ready_to_trip ? settings_.ready_to_trip(counts)
                                   : counts.consecutive_failures > usual;
}

void circuit_breaker::settle(std::uint64_t generation, std::uint64_t age, const failure& why) {
    circuit_ticket unsettled(*this, generation, age);  // excluded, if a predicate says so or throws
    if (excluded(why)) return;
    const bool success = successful(why);
    unsettled.breaker_ = nullptr;

    std::unique_lock lock(lock_);
    look(now());
    if (generation != generation_) {
        // Too old to count.
    } else if (success) {
        window_.add_success(age);
        if (state_ == circuit_state::half_open &&
            window_.sum().consecutive_successes >= settings_.max_requests)
            change_to(circuit_state::closed, now());
    } else if (state_ == circuit_state::half_open) {
        change_to(circuit_state::open, now());
    } else if (window_.add_failure(age)) {
        const circuit_counts counts = window_.sum();
        lock.unlock();
        const bool trip = trips(counts);
        lock.lock();
        // Another failure, or the time, may have ended the generation that was judged.
        if (trip && generation == generation_) change_to(circuit_state::open, now());
    }
    tell(std::move(lock));
}

void circuit_breaker::exclude(std::uint64_t generation, std::uint64_t age) noexcept {
    const std::lock_guard guard(lock_);
    if (generation == generation_) window_.add_exclusion(age);
}

// Unlocks, and tells of the changes that nobody has told of.
void circuit_breaker::tell(std::unique_lock<std::mutex> lock) {
    if (telling_ || untold_.empty()) return;
    telling_ = true;
    std::exception_ptr thrown;
    while (!untold_.empty()) {
        const std::vector<change> changes = std::exchange(untold_, {});
        lock.unlock();
        for (const change& c : changes) {
            try {
                settings_.on_state_change(settings_.name, c.from, c.to);
            } catch (...) {
                if (!thrown) thrown = std::current_exception();
            }
        }
        lock.lock();
    }
    telling_ = false;
    lock.unlock();
    if (thrown) std::rethrow_exception(thrown);
}

// Closed: drops what has become too old.
void circuit_breaker::keep_window(time_point now) noexcept {
    if (state_ != circuit_state::closed || bucket_period_.count() <= 0) return;
    const auto age = static_cast<std::uint64_t>((now - since_) / bucket_period_);
    if (window_.moves()) {
        if (age > window_.age()) window_.move_to(age);
    } else if (age > 0) {
        begin_generation(now);
    }
}

// Does what the time that has passed asks for.
void circuit_breaker::look(time_point now) {
    keep_window(now);
    if (state_ == circuit_state::open && now - since_ >= settings_.timeout)
        change_to(circuit_state::half_open, now);
}

void circuit_breaker::change_to(circuit_state s, time_point now) {
    if (settings_.on_state_change) untold_.push_back({state_, s});
    state_ = s;
    begin_generation(now);
}

void circuit_breaker::begin_generation(time_point now) noexcept {
    ++generation_;
    since_ = now;
    window_.clear();
}

}  // namespace sluice
