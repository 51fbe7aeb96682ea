// rate_limiter: a token bucket. Events happen at a rate, and up to `burst` of them at once after a
// quiet time.
//
//     rate_limiter limiter(rate(100), 10);              // 100 a second, 10 at once
//     if (!limiter.allow()) co_return too_many();       // shed what exceeds it
//     auto turn = co_await limiter.wait(ctx);           // or slow down to it
//
// When to use: to keep within what a service grants, or to grant others no more than one can bear.
// When not: a bucket for each client (keyed_limiter); a limit to how many do something at the same
// time (semaphore); the same gap between any two values of a channel (pace).
//
// Concepts: a bucket of tokens starts full, with `burst` tokens. An event takes one, and they come
// back at the rate. A reservation takes its tokens at once, if need be before they are there: the
// bucket's level is then negative, and the reservation's time is when the debt is paid. So those
// who wait need no queue: they come in the order of their reservations, each with a timer of its
// own, and allow() says no as long as one of them waits.
//
// Those who give back before the others: the others keep their times, so what they hold cannot go
// to anybody else yet. It is remembered, and free when those others have given back too: of a
// thousand waiters that are cancelled together, in any order, nothing remains.
//
// Cost: a lock and a few multiplications a call; 160 bytes. A waiter costs a timer. Only giving
// back before others allocates.
//
// Rejected: a line of waiters that move up when one of them leaves. Nobody's time would have to be
// computed ahead, but then nobody could be told at once that it lies behind his deadline.
//
// Source of the algorithm: golang.org/x/time/rate. The arithmetic is our own
// (detail/token_bucket.hpp): in whole numbers, so that it is exact for any length of time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include <sluice/patterns/detail/token_bucket.hpp>
#include <sluice/patterns/rate.hpp>
#include <sluice/patterns/refusal.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/sleep.hpp>

namespace sluice {

class rate_limiter;

namespace detail {

class turn_operation;

/// Tokens that were taken, and from when on they may be used.
struct bucket_turn {
    bucket_turn() noexcept = default;
    explicit bucket_turn(std::int64_t when) noexcept : at(when) {}
    explicit bucket_turn(std::error_code why) noexcept : refused(why) {}

    std::int64_t at = timer_queue::never;  // nanoseconds of now(); never: none were taken
    std::error_code refused;               // why none were
    std::int64_t tokens = 0;
    std::uint64_t rates = 0;  // how many had been set before
    // Where it stands among the tokens that were taken before they were there.
    std::uint64_t from = 0;
    std::uint64_t to = 0;
};

}  // namespace detail

/// Events that may happen, now or later. Letting it go keeps them, as if they had happened. For one
/// task at a time.
class [[nodiscard]] reservation {
public:
    reservation(reservation&& other) noexcept
        : of_(other.of_), turn_(std::exchange(other.turn_, {})) {}
    reservation& operator=(reservation&& other) noexcept {
        of_ = other.of_;
        turn_ = std::exchange(other.turn_, {});
        return *this;
    }
    ~reservation() = default;

    /// False: the limiter will never allow so many at once, or not in any time that can be told.
    /// Nothing is reserved then.
    bool ok() const noexcept { return turn_.at != detail::timer_queue::never; }

    /// How long to wait, from now on, before they may happen: zero if they may; nanoseconds::max()
    /// if ok() is false.
    std::chrono::nanoseconds delay() const noexcept;

    /// They will not happen: gives back their tokens. Of those that others have reserved behind
    /// them, whose times stand, only when those others give theirs back too; and none that have
    /// come in again since they might have happened, or by now if the rate has changed meanwhile.
    /// Once; ok() is false afterwards.
    void cancel() noexcept;

private:
    friend class rate_limiter;
    reservation(rate_limiter& of, detail::bucket_turn turn) noexcept : of_(&of), turn_(turn) {}

    rate_limiter* of_;
    detail::bucket_turn turn_;
};

/// Every member may be called from any thread. Must outlive its reservations and the operations on
/// it.
class rate_limiter {
public:
    /// Throws std::invalid_argument for a negative burst. An infinite rate allows everything,
    /// whatever the burst; a burst of zero nothing else; a rate of zero `burst` events in all.
    rate_limiter(rate r, std::int64_t burst);
    rate_limiter(const rate_limiter&) = delete;
    rate_limiter& operator=(const rate_limiter&) = delete;

    /// Whether n events may happen now; if so, they count as happened. Never waits. Throws
    /// std::invalid_argument for a negative n, as do the next two.
    bool allow(std::int64_t n = 1);

    /// Takes the tokens for n events, now or of the future: see reservation. Never waits.
    reservation reserve(std::int64_t n = 1);

    /// Operation: waits until n events may happen; they then count as happened. Their tokens are
    /// reserved by this call, and given back, as by reservation::cancel(), if the operation loses a
    /// race, is let go or is ended by ctx. Errors, in this order: refusal::over_burst; ctx's error
    /// if it has ended; refusal::deadline_too_short if the turn comes at ctx's deadline or later,
    /// or never: all three at once. Then ctx's error if it ends meanwhile. Must not outlive ctx.
    auto wait(const context& ctx, std::int64_t n = 1);

    /// From now on; what came in until now stays. The times of those who wait, and of reservations,
    /// stand, so that one who comes afterwards may be earlier than they. Leaving an infinite rate
    /// finds the bucket full.
    void set_rate(rate r);

    /// From now on: tokens beyond the new burst are lost, room for more fills at the rate. The
    /// times of those who wait stand, even of those who wait for more than the new burst. Throws
    /// std::invalid_argument if it is negative.
    void set_burst(std::int64_t burst);

    /// Events that may happen now; negative if so many tokens are yet to come in for those who have
    /// reserved.
    std::int64_t tokens();

private:
    friend class reservation;
    friend class detail::turn_operation;

    static constexpr std::int64_t at_once = -1;

    /// If the time is before that one, or now for at_once.
    detail::bucket_turn take(std::int64_t n, std::int64_t before);
    detail::bucket_turn take_for(const context& ctx, std::int64_t n);
    void give_back(const detail::bucket_turn& turn) noexcept;

    // Under lock_.
    std::int64_t behind(const detail::bucket_turn& turn) const noexcept;
    void put_back(const detail::bucket_turn& turn, std::int64_t n, std::int64_t now) noexcept;
    bool is_worthless(const detail::bucket_turn& turn, std::int64_t n,
                      std::int64_t now) const noexcept;
    void keep(detail::bucket_turn turn, std::int64_t n, std::int64_t now) noexcept;

    static constexpr std::size_t least_sweep = 16;

    std::mutex lock_;
    // Under lock_.
    rate rate_;
    std::int64_t burst_;
    detail::token_bucket bucket_;
    std::uint64_t rates_ = 0;        // that were set after the first one
    std::uint64_t taken_ahead_ = 0;  // tokens taken before they were there, in all
    std::multimap<std::uint64_t, detail::bucket_turn> given_up_;  // by `to`; others stand behind
    std::size_t sweep_at_ = least_sweep;  // so many given up, of which some may be worthless by now
};

namespace detail {

class [[nodiscard]] turn_operation : public multi_operation<turn_operation, 2> {
public:
    using result_type = result<>;

    turn_operation(rate_limiter& of, const context& ctx, std::int64_t n)
        : of_(&of),
          turn_(of.take_for(ctx, n)),
          done_(ctx.nearest()),
          timer_(turn_.refused ? 0 : turn_.at) {}
    turn_operation(turn_operation&& other) noexcept
        : multi_operation(),
          of_(other.of_),
          turn_(std::exchange(other.turn_, {})),
          done_(std::move(other.done_)),
          timer_(std::move(other.timer_)) {}
    turn_operation& operator=(turn_operation&&) = delete;
    ~turn_operation() { of_->give_back(turn_); }

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        return v(done_, base) || v(timer_, base + 1);
    }
    result<> take(std::size_t i) noexcept {
        if (turn_.refused) return fail(turn_.refused);
        if (i == 0) return fail(done_.of()->error());
        turn_ = {};  // used
        return {};
    }

private:
    rate_limiter* of_;
    bucket_turn turn_;
    done_leaf done_;
    timer_leaf timer_;  // ready at once if it was refused
};

}  // namespace detail

inline auto rate_limiter::wait(const context& ctx, std::int64_t n) {
    return detail::turn_operation(*this, ctx, n);
}

}  // namespace sluice
