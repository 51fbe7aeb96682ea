// throttle: lets at most one value through in a period, and always the latest.
//
//     auto shown = throttle(ctx, progress, 100ms);    // the display changes ten times a second
//
// When to use: for a source that changes faster than anybody needs to know: progress, positions,
// measurements.
// When not: where every value matters (rate_limiter before the work, or batch); for bursts of which
// only the end matters (debounce).
//
// Concepts: the first value passes at once and begins a period. Of those that come during a period
// the latest is kept, passes at its end and begins the next. A period without a value ends the row:
// the next value passes at once again. The output shows the newest value only: one that nobody has
// read gives way to the next, so the task never waits for its reader.
//
// Invariant: two values are put out at least a period apart. A reader that comes late for one may
// get the next a shorter time after it.
//
// Cost: a task and a channel, about 700 bytes, and 900 more while a period lasts; a value costs a
// receive, a timer and two looks at the clock.
//
// Rejected: dropping what comes during a period. The last value of a row is the one that stays
// true, and would be lost.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/latest.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

/// Receives until the period is over, and keeps the latest. False: no more will come.
template <class T>
task<bool> keep_latest(context ctx, recv_chan<T> from, std::chrono::nanoseconds period,
                       std::optional<typename received<T>::type>* latest) {
    const auto start = sluice::now();
    for (;;) {
        const auto left = period - (sluice::now() - start);
        if (left.count() <= 0) co_return true;
        auto next = co_await within(ctx, within(left, from.recv()));
        if (!next) co_return !ctx.err();
        if (!*next) break;
        latest->emplace(std::move(*next));
    }
    if (*latest) {  // its turn is at the end of the period, also now
        const auto slept = co_await within(ctx, sleep_for(period - (sluice::now() - start)));
        if (!slept) latest->reset();
    }
    co_return false;
}

template <class T>
task<> pass_by_period(context ctx, recv_chan<T> from, output<T> to,
                      std::chrono::nanoseconds period) {
    std::optional<typename received<T>::type> latest;
    bool more = true;
    while (more) {
        auto first = co_await within(ctx, from.recv());
        if (!first || !*first) co_return;
        latest.emplace(std::move(*first));
        while (latest) {
            put_latest(to.channel(), *latest);
            latest.reset();
            if (more) more = co_await keep_latest<T>(ctx, from, period, &latest);
            if (ctx.err()) co_return;
        }
    }
}

}  // namespace detail

/// A channel that gives the first value of `from` at once, and then, a period after the one before,
/// the latest that has come meanwhile. It buffers that one value, and a later one takes its place
/// if it is unread. When `from` is closed, a value that was kept is given when its period is over,
/// and then the channel is closed; neither waits for a reader. When ctx ends, the channel is
/// closed, and the value that was kept, at most one, is dropped; the others stay in `from`. With a
/// nil `from` it ends with ctx. Throws std::invalid_argument unless the period is positive, and
/// std::logic_error on a thread that runs no tasks.
template <detail::stream Source>
detail::receiving_end<Source> throttle(context ctx, const Source& from,
                                       std::chrono::nanoseconds period) {
    using element = typename Source::value_type;
    if (period.count() <= 0) throw std::invalid_argument("throttle: the period must be positive");
    const auto to = make_chan<element>(1);
    go(detail::pass_by_period<element>, std::move(ctx), recv_chan<element>(from),
       detail::output<element>(to), period);
    return to;
}

}  // namespace sluice
