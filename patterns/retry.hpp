// retry: calls a function again until it succeeds, with growing, random delays between.
//
//     retry_policy policy;
//     policy.max_attempts = 5;
//     const auto reply = co_await retry(ctx, policy, [&] { return ask(ctx, question); });
//
// When to use: a call may fail for reasons that pass (a lost connection, a busy service), and doing
// it twice does no harm.
// When not: the failure says that the call itself is wrong (retry_attempt::give_up()); somebody
// above or below retries already (attempts multiply: retry in one layer); a service that is down
// (circuit_breaker; a retry_budget at least).
//
// Concepts: the delay before attempt n + 1 is random, up to a bound that doubles with n, so that
// callers who failed together do not come back together. Four things end it without success: the
// attempts, the time, the budget, and the function that says so. In all of them the caller gets the
// last failure as it came, since that is what he can act on.
//
// Cost: one frame, and one of the function's per attempt; a timer per delay. A budget is a lock.
//
// Rejected: a predicate in the policy that classes failures. What a failure means, and when the
// service wants to be asked again, stands in its reply, which only the function has seen.
//
// Source of the jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
// Source of the budget: Finagle's RetryBudget.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <system_error>
#include <type_traits>
#include <utility>

#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/detail/timer_queue.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

/// Where in its bounds a delay lies. The bound b of the nth delay is first_delay doubled n - 1
/// times, max_delay at most.
enum class jitter : std::uint8_t {
    full,          // from 0 to b: the least load on the service
    equal,         // from b/2 to b: never at once
    decorrelated,  // from first_delay to three times the last delay, max_delay at most
};

/// How many retries all who share it may make: `percent` of a hundred calls, and at first `reserve`
/// beyond that, which is also the most that is ever saved up: with 0 there are none. So in an
/// outage the load grows by percent/100, however many attempts each call is allowed. Every member
/// may be called from any thread.
///
/// Rejected: Finagle's window of ten seconds. It lets idle callers retry at a fixed rate, and needs
/// clocks and slots for it; here the reserve fills up again with the calls that follow.
class retry_budget {
public:
    /// Throws std::invalid_argument for a negative number.
    explicit retry_budget(std::int64_t percent = 20, std::int64_t reserve = 100);
    retry_budget(const retry_budget&) = delete;
    retry_budget& operator=(const retry_budget&) = delete;

    /// A call is made: `percent` hundredths of a retry more, up to the reserve.
    void deposit();
    /// Takes a retry. False: there is none left.
    bool withdraw();
    /// Gives one back that was not made.
    void refund();

private:
    void add(std::int64_t hundredths);

    const std::int64_t percent_;
    const std::int64_t most_;  // in hundredths, as is left_
    std::mutex lock_;
    std::int64_t left_;  // under lock_
};

/// When to try again, and how often. The defaults suit a call to a service near by.
class retry_policy {
public:
    retry_policy() noexcept {}

    /// The first one included.
    int max_attempts = 4;
    std::chrono::nanoseconds first_delay = std::chrono::milliseconds(100);
    std::chrono::nanoseconds max_delay = std::chrono::seconds(10);
    jitter spread = jitter::full;
    /// No attempt starts later than this after the first one.
    std::chrono::nanoseconds max_elapsed = std::chrono::nanoseconds::max();
    /// Shared with others; may be null.
    std::shared_ptr<retry_budget> budget;
};

namespace detail {

/// Throws std::invalid_argument for a policy that makes no sense.
void check_policy(const retry_policy& p);

/// The delays of one retry().
class backoff {
public:
    explicit backoff(const retry_policy& p) noexcept;
    std::int64_t next() noexcept;  // nanoseconds

private:
    const jitter spread_;
    const std::int64_t first_;  // nanoseconds, as are all
    const std::int64_t most_;
    std::int64_t bound_;
    std::int64_t last_;
};

/// What one retry() has come to.
class retry_course {
public:
    explicit retry_course(const retry_policy& p);

    /// The next attempt.
    void begin();
    /// After a failed attempt: when the next one starts, in nanoseconds of now(); `never` if it was
    /// the last.
    std::int64_t next(const context& ctx);
    /// That one will not be made.
    void cut();

    int number = 0;
    bool final = false;
    std::chrono::nanoseconds not_before{0};

private:
    const int max_attempts_;
    const std::int64_t latest_;
    const std::shared_ptr<retry_budget> budget_;
    backoff delays_;
};

}  // namespace detail

/// What the function may know and say about the attempt it is called for. Refers to the retry().
class retry_attempt {
public:
    explicit retry_attempt(detail::retry_course& of) noexcept : of_(&of) {}

    /// 1, 2, …
    int number() const noexcept { return of_->number; }
    /// If this attempt fails, it is the last one.
    void give_up() const noexcept { of_->final = true; }
    /// If this attempt fails, the next one starts that long after its end at least: what a service
    /// said. The usual delay is added, so that not all of its callers come at the same moment.
    void retry_after(std::chrono::nanoseconds d) const noexcept { of_->not_before = d; }

private:
    detail::retry_course* of_;
};

namespace detail {

template <class F>
inline constexpr bool takes_attempt = std::is_invocable_v<F&, retry_attempt>;

template <class F>
auto attempt_of([[maybe_unused]] retry_course& course, F& fn) {
    if constexpr (takes_attempt<F>) {
        return attempt(fn, retry_attempt(course));
    } else {
        return attempt(fn);
    }
}

template <class F>
struct retried {
    using type = call_result<F&>;
};
template <class F>
    requires takes_attempt<F>
struct retried<F> {
    using type = call_result<F&, retry_attempt>;
};

template <class F>
task<typename retried<F>::type> retry_calls(context ctx, retry_policy policy, F fn) {
    retry_course course(policy);
    std::error_code ended = ctx.err();
    while (!ended) {
        course.begin();
        auto got = co_await attempt_of(course, fn);
        if (got.ok()) co_return got.take();
        const std::int64_t at = course.next(ctx);
        if (at == timer_queue::never) co_return got.take();
        const result<> slept = co_await within(ctx, sleep_until(to_time_point(at)));
        ended = slept ? ctx.err() : slept.error();
        if (ended) course.cut();
    }
    co_return fail(ended);
}

}  // namespace detail

/// Calls fn() or fn(retry_attempt), a plain or a coroutine function, until it succeeds; an error of
/// a result<T> and an exception are failures. Gives what it gave in the end, as result<T>: its
/// value, or its last failure as it came. The context's error if ctx ends before the first attempt
/// or in a delay, which it cuts short; an attempt that runs is fn's to end, and the last one then.
/// No delay begins that ctx's deadline or max_elapsed would cut. Throws std::invalid_argument for
/// a policy that makes no sense.
template <class F>
auto retry(context ctx, retry_policy policy, F fn) {
    detail::check_policy(policy);
    return detail::retry_calls<F>(std::move(ctx), std::move(policy), std::move(fn));
}

}  // namespace sluice
