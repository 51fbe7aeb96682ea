// debounce: lets the latest value through once the source has been quiet for a while.
//
//     auto changes = debounce(ctx, watched_files, 200ms);    // one event for a burst of them
//
// When to use: for bursts of which only the end matters: a file that is written in pieces, a text
// field, a configuration that changes line by line.
// When not: for a source that may never be quiet, which would let nothing through (throttle); where
// every value matters (batch).
//
// Concepts: a task keeps the latest value and starts a wait of `quiet` with each that comes. The
// output shows the newest value only: one that nobody has read gives way to the next, so the task
// never waits for its reader, and a slow one gets the state of now and not that of then.
//
// Invariant: the output is closed when the task ends, and only then.
//
// Cost: a task and a channel, about 1.1 kB; a value costs a receive and a timer.
//
// Rejected: letting the first of a burst through at once as well. Half of its users do not want it,
// and throttle does so.
#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/latest.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

template <class T>
task<> pass_when_quiet(context ctx, recv_chan<T> from, output<T> to,
                       std::chrono::nanoseconds quiet) {
    std::optional<typename received<T>::type> latest;
    for (;;) {
        auto first = co_await within(ctx, from.recv());
        if (!first || !*first) co_return;
        latest.emplace(std::move(*first));
        for (;;) {
            auto next = co_await within(ctx, within(quiet, from.recv()));
            if (ctx.err()) co_return;
            if (!next || !*next) break;
            latest.emplace(std::move(*next));
        }
        put_latest(to.channel(), *latest);
    }
}

}  // namespace detail

/// A channel that gives the latest value of `from` whenever no other has come for `quiet`. It
/// buffers that one value, and a later one takes its place if it is unread. When `from` is closed,
/// the value that was kept is given at once, and the channel is closed; neither waits for a reader.
/// When ctx ends, the channel is closed, and the value that was kept, at most one, is dropped; the
/// others stay in `from`. With a nil `from` it ends with ctx. Throws std::invalid_argument unless
/// quiet is positive, and std::logic_error on a thread that runs no tasks.
template <detail::stream Source>
detail::receiving_end<Source> debounce(context ctx, const Source& from,
                                       std::chrono::nanoseconds quiet) {
    using element = typename Source::value_type;
    if (quiet.count() <= 0) throw std::invalid_argument("debounce: quiet must be positive");
    const auto to = make_chan<element>(1);
    go(detail::pass_when_quiet<element>, std::move(ctx), recv_chan<element>(from),
       detail::output<element>(to), quiet);
    return to;
}

}  // namespace sluice
