// circuit_breaker: stops calling a service that is down, and tries it again after a while.
//
// When to use: before calls of something remote that can be down or overloaded as a whole, where
// callers are better off with an error at once than with one more timeout.
// When not: for a single bad request (retry it); to limit a rate (rate_limiter) or how many calls
// are under way (semaphore). One breaker guards one service: two behind one hide each other.
//
// Concepts
//   Closed: every request passes, and how it ends is counted. Open: none passes. Half-open, once
//   `timeout` has passed: max_requests trial requests may be under way; if all of them succeed the
//   breaker closes, if one fails it opens again. Nothing runs in the background: the step from open
//   to half-open is taken by the next call that looks.
//   A generation is the time between two changes of the state, or one interval while closed.
//   Counts begin at zero with each, and the result of a request that was let in under an older one
//   is dropped.
//   With a bucket_period the counts are those of a window that moves on by one bucket at a time;
//   then a generation lasts while the breaker is closed.
//
// Invariants
//   No lock is held while a callback runs, so each may call the breaker. Changes of the state are
//   told one at a time, in their order: whoever makes one while another is being told leaves it to
//   that caller.
//   Every request let in is settled once: by its result, or as excluded when its ticket goes.
//
// Cost: a short lock before and one after the call. About 400 bytes, 48 for each bucket.
//
// Rejected: a timer that half-opens the breaker (it needs a runtime, and wakes up for nobody);
// calling back with the lock held, as Go does (a callback that asks for the state then deadlocks).
//
// Source: github.com/sony/gobreaker/v2.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/patterns/refusal.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

enum class circuit_state : std::uint8_t { closed, half_open, open };

/// "closed", "half-open", "open".
const char* to_string(circuit_state s) noexcept;

/// What became of the requests of this generation, or of the window.
struct circuit_counts {
    std::uint64_t requests = 0;  // let in, settled or not
    std::uint64_t total_successes = 0;
    std::uint64_t total_failures = 0;
    std::uint64_t total_exclusions = 0;
    std::uint64_t consecutive_successes = 0;  // since the latest failure
    std::uint64_t consecutive_failures = 0;   // since the latest success

    friend bool operator==(const circuit_counts&, const circuit_counts&) noexcept = default;
};

/// The callbacks may be called on any thread, several at once. They are plain functions: what
/// should wait is started with go(). An exception of one goes to whoever made the call.
struct circuit_settings {
    std::string name = {};  // for on_state_change
    /// Half-open: how many requests are tried, and must succeed. At least 1.
    std::uint64_t max_requests = 1;
    /// Closed: how long results are counted. Zero or less: for as long as it is closed.
    std::chrono::nanoseconds interval{0};
    /// More than zero: the interval is a window that moves on in steps of this, and is rounded up
    /// to a multiple of it. Else all counts begin anew after each interval.
    std::chrono::nanoseconds bucket_period{0};
    /// Open: how long. More than zero.
    std::chrono::nanoseconds timeout = std::chrono::seconds(60);
    /// Asked after each failure while closed, with the counts right after it; true opens. Not set:
    /// more than 5 consecutive failures.
    std::function<bool(const circuit_counts&)> ready_to_trip = {};
    /// Told of every change of the state.
    std::function<void(const std::string& name, circuit_state from, circuit_state to)>
        on_state_change = {};
    /// Whether a request that ended so (an empty failure: well) counts as a success. Not set: if it
    /// ended well.
    std::function<bool(const failure&)> is_successful = {};
    /// Asked before it: whether the request counts as neither. Not set: if it was errc::canceled,
    /// since a caller that has left says nothing about the service.
    std::function<bool(const failure&)> is_excluded = {};
};

namespace detail {

/// Counts over the latest buckets.
class circuit_window {
public:
    explicit circuit_window(std::size_t buckets) : buckets_(buckets) {}

    const circuit_counts& sum() const noexcept { return sum_; }
    std::uint64_t age() const noexcept { return age_; }
    bool moves() const noexcept { return buckets_.size() > 1; }
    void clear() noexcept;
    /// The bucket of that age is the current one now; those that are too old go.
    void move_to(std::uint64_t age) noexcept;

    void add_request() noexcept;
    // Of a request let in at that age. False: it has left the window.
    bool add_success(std::uint64_t age) noexcept;
    bool add_failure(std::uint64_t age) noexcept;
    bool add_exclusion(std::uint64_t age) noexcept;

private:
    circuit_counts* bucket_of(std::uint64_t age) noexcept;

    std::uint64_t age_ = 0;  // of the current bucket, in buckets since the last clear()
    circuit_counts sum_;
    // By age modulo their number. Consecutive results are those of the latest run that fell into
    // this bucket, so that they add up like the others.
    std::vector<circuit_counts> buckets_;
};

}  // namespace detail

class circuit_breaker;

/// A request that was let in. Move-only. Letting it go without done() counts the request as
/// excluded, which frees its place. Must not outlive the breaker. One thread at a time.
class [[nodiscard]] circuit_ticket {
public:
    circuit_ticket(circuit_ticket&& other) noexcept
        : breaker_(std::exchange(other.breaker_, nullptr)),
          generation_(other.generation_),
          age_(other.age_) {}
    circuit_ticket& operator=(circuit_ticket&& other) noexcept {
        circuit_ticket old(std::move(other));
        std::swap(breaker_, old.breaker_);
        std::swap(generation_, old.generation_);
        std::swap(age_, old.age_);
        return *this;
    }
    ~circuit_ticket();

    /// The request has ended so; an empty failure: well. Does nothing the second time. If a
    /// predicate throws, the request counts as excluded.
    void done(const failure& why = {});

private:
    friend class circuit_breaker;
    circuit_ticket(circuit_breaker& b, std::uint64_t generation, std::uint64_t age) noexcept
        : breaker_(&b), generation_(generation), age_(age) {}

    circuit_breaker* breaker_;
    std::uint64_t generation_;
    std::uint64_t age_;
};

/// Any thread may use it. Must outlive its calls and its tickets.
class circuit_breaker {
public:
    /// Throws std::invalid_argument for max_requests of 0, a timeout that is not positive or more
    /// than 10,000 buckets.
    explicit circuit_breaker(circuit_settings settings = {});
    circuit_breaker(const circuit_breaker&) = delete;
    circuit_breaker& operator=(const circuit_breaker&) = delete;

    /// Calls fn(args...), plain or a coroutine, if a request may pass now, and hands its result or
    /// its exception on; both are counted. Else refusal::circuit_open, or, when half-open,
    /// refusal::too_many_requests. It does not wait itself: pass a context to fn to bound it. A
    /// task that is destroyed meanwhile counts as excluded.
    template <class F, class... Args>
    task<detail::call_result<F&, Args...>> call(F fn, Args... args) {
        auto admitted = allow();
        if (!admitted) co_return fail(admitted.error());
        auto ended = co_await detail::attempt(fn, std::move(args)...);
        admitted->done(ended.why());
        co_return ended.take();
    }

    /// The same in two steps, for what is no function call: a ticket that is told how it ended, or
    /// the refusal. Never waits.
    result<circuit_ticket> allow();

    /// Open turns to half-open here when its time is up.
    circuit_state state();

    circuit_counts counts();

    const std::string& name() const noexcept { return settings_.name; }

private:
    friend class circuit_ticket;
    using time_point = std::chrono::steady_clock::time_point;
    struct change {
        circuit_state from;
        circuit_state to;
    };

    bool excluded(const failure& why) const;
    bool successful(const failure& why) const;
    bool trips(const circuit_counts& counts) const;
    void settle(std::uint64_t generation, std::uint64_t age, const failure& why);
    void exclude(std::uint64_t generation, std::uint64_t age) noexcept;
    void tell(std::unique_lock<std::mutex> lock);

    // Lock held.
    void keep_window(time_point now) noexcept;
    void look(time_point now);
    void change_to(circuit_state s, time_point now);
    void begin_generation(time_point now) noexcept;

    const circuit_settings settings_;
    const std::chrono::nanoseconds bucket_period_;  // or the interval of a window of one; 0: none

    std::mutex lock_;
    // Under lock_.
    circuit_state state_ = circuit_state::closed;
    std::uint64_t generation_ = 0;
    time_point since_;  // the start of this generation
    detail::circuit_window window_;
    std::vector<change> untold_;
    bool telling_ = false;  // somebody takes from untold_ until it is empty
};

}  // namespace sluice
