// or_done: a channel that also ends with a context, so that it can be ranged over.
//
//     auto lines = or_done(ctx, input);
//     while (auto line = co_await lines.recv()) use(*line);    // until input is closed or ctx
//     ended
//
// When to use: for code that takes a channel, reads it to its end and knows no context; and instead
// of the same select in several loops over one channel.
// When not: in a loop of your own. within(ctx, input.recv()) there needs no task, says which of the
// two happened, and takes no value that it does not give.
//
// Concepts: a task between the two channels. It takes a value and waits with it in hand until the
// reader comes; the values keep their order.
//
// Invariant: the output is closed when the task ends, and only then.
//
// Cost: a task and a channel, about 700 bytes; a value costs two sends and two receives.
#pragma once

#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

namespace detail {

template <class T>
task<> forward_or_done(context ctx, recv_chan<T> in, output<T> out) {
    co_await forward_values(ctx, ctx, std::move(in), out.channel());
}

}  // namespace detail

/// The values of `in`, in a channel without a buffer that is closed when `in` is closed and its
/// values are delivered, or when ctx has ended; which of the two, ctx.err() says. When ctx ends, a
/// value that was taken from `in` and is not delivered yet is destroyed, at most one; the others
/// stay in `in`. With a nil `in` it ends with ctx. It must be read until it is closed: if its
/// reader goes away earlier, ctx has to end. Throws std::logic_error on a thread that runs no
/// tasks.
template <detail::stream Source>
detail::receiving_end<Source> or_done(context ctx, const Source& in) {
    using value = typename Source::value_type;
    const auto out = make_chan<value>();
    go(detail::forward_or_done<value>, std::move(ctx), recv_chan<value>(in),
       detail::output<value>(out));
    return out;
}

}  // namespace sluice
