// batch: collects single values into vectors, by count or by time.
//
// When to use: before something that costs as much for many as for one: a write to a disk, an
// insert, a request to a log service.
// When not: where each value is urgent, or where values come all at once as a vector already.
//
// Concepts
//   A batch begins with its first value. It is handed on when it has max_count values, or when
//   max_wait has passed since the first; so an empty one is never handed on, and no value waits
//   here for longer than that but for the reader. While a full batch waits for the reader no
//   further value is taken: a slow reader holds up the senders (backpressure).
//
// Invariants
//   Batches keep the order of the values. Closing the source loses nothing.
//
// Cost: a task and a channel, about 800 bytes, and 900 more while a batch is filled; a value costs
// a receive and a timer, a batch its vector and a send.
//
// Rejected: a ticker that hands on whatever is there (values then wait half a period in the mean,
// also when they come one by one, and timers fire for nothing).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

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

/// Adds values until the batch is full or its time is up. False: no more will come.
template <class T>
task<bool> fill_batch(context ctx, recv_chan<T> from, std::vector<T>* batch, std::size_t max_count,
                      std::chrono::nanoseconds max_wait) {
    const auto first_at = sluice::now();
    while (batch->size() < max_count) {
        const auto left = max_wait - (sluice::now() - first_at);
        if (left.count() <= 0 && max_wait.count() > 0) co_return true;
        auto got = co_await within(ctx, within(left, from.recv()));
        if (!got) co_return !ctx.err();
        if (!*got) co_return false;
        batch->push_back(std::move(**got));
    }
    co_return true;
}

template <class T>
task<> make_batches(context ctx, recv_chan<T> from, output<std::vector<T>> to,
                    std::size_t max_count, std::chrono::nanoseconds max_wait) {
    bool more = true;
    while (more) {
        auto first = co_await within(ctx, from.recv());
        if (!first || !*first) co_return;
        std::vector<T> values;
        values.push_back(std::move(**first));
        more = co_await fill_batch(ctx, from, &values, max_count, max_wait);
        const auto sent = co_await within(ctx, to.channel().send(std::move(values)));
        if (!sent) co_return;
    }
}

}  // namespace detail

/// A channel without a buffer that gives the values of `from` in vectors of 1 to max_count: when
/// there are so many, or what has come within max_wait after the first (zero or less: what is there
/// at once). When `from` is closed, what is left is handed on, and the channel is closed. When ctx
/// ends, the channel is closed, and values that were taken and not handed on (at most max_count)
/// are dropped; the others stay in `from`. So to lose nothing close `from`. With a nil `from` it
/// ends with ctx. It must be read until it is closed: if its reader goes away earlier, ctx has to
/// end. Throws std::invalid_argument for a max_count of 0, and std::logic_error on a thread that
/// runs no tasks.
template <detail::stream Source>
auto batch(context ctx, const Source& from, std::size_t max_count,
           std::chrono::nanoseconds max_wait)
    -> recv_chan<std::vector<typename Source::value_type>> {
    using element = typename Source::value_type;
    if (max_count == 0) throw std::invalid_argument("batch: max_count must be at least 1");
    const auto to = make_chan<std::vector<element>>();
    max_wait = std::max(max_wait, max_wait.zero());
    go(detail::make_batches<element>, std::move(ctx), recv_chan<element>(from),
       detail::output<std::vector<element>>(to), max_count, max_wait);
    return to;
}

}  // namespace sluice
