// pace: passes the values of a channel on, no two of them closer together than a period.
//
//     auto calm = pace(ctx, requests, 100ms);
//     while (auto request = co_await calm.recv()) send(*request);    // ten a second at most
//
// When to use: what comes in bursts must go out evenly (a device, a service without a burst).
// When not: bursts are fine as long as the average is kept (rate_limiter); values may be dropped
// (throttle, or a ticker and the latest value).
//
// Concepts: a task waits until a period after the last value has been received, takes one from the
// source and hands it over; the output has no buffer. A reader that is late shifts the whole
// rhythm, so that there is nothing to catch up on. What waits, waits in the source, whose buffer is
// what slows the senders down.
//
// Cost: one task; a value costs a timer, a receive and a send.
//
// Rejected: a ticker. It keeps a fixed rhythm, and one tick for a reader that is late: two values
// then follow each other at once.
#pragma once

#include <chrono>
#include <stdexcept>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

template <class T>
task<> pace_values(context ctx, recv_chan<T> in, output<T> out, std::chrono::nanoseconds period) {
    while (auto got = co_await within(ctx, in.recv())) {
        if (!*got) break;
        const result<> sent = co_await within(ctx, hand_on<T>(out.channel(), *got));
        if (!sent) break;
        const result<> rested = co_await within(ctx, sleep_for(period));
        if (!rested) break;
    }
}

}  // namespace detail

/// The values of `in`, in order: the first at once, each other one at least `period` after the one
/// before it was received. Closed when `in` is closed and drained, at the latest a period after the
/// last value, or at once when ctx ends. If a value had been taken then and nobody had received it,
/// it is gone; the others stay in `in`. Whoever stops reading before ends ctx. Throws
/// std::invalid_argument for a period of zero or less, and std::logic_error on a thread that runs
/// no tasks.
template <detail::stream In>
auto pace(context ctx, In in, std::chrono::nanoseconds period) {
    using value_type = typename In::value_type;
    if (period <= std::chrono::nanoseconds(0))
        throw std::invalid_argument("pace: a period of zero or less");
    const auto out = make_chan<value_type>();
    go(detail::pace_values<value_type>, std::move(ctx), detail::receiving_end<In>(in),
       detail::output<value_type>(out), period);
    return recv_chan<value_type>(out);
}

}  // namespace sluice
