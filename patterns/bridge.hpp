// bridge: a channel of channels becomes one channel, with their values one after the other.
//
//     auto lines = bridge(ctx, files);    // a channel that gives a channel of lines for each file
//
// When to use: a stream that comes in pieces, each a channel of its own (pages, files, sessions),
// whose reader wants to see one stream.
// When not: pieces whose order does not matter and which should not wait for each other (merge).
//
// Concepts: a task takes the first channel, hands on its values until it is closed, and takes the
// next channel only then. A channel that never closes, a nil one for example, holds up those behind
// it until ctx ends.
//
// Invariant: a value comes after all values of the channels before its own. The output is closed
// when the task ends, and only then.
//
// Cost: a task and a channel, about 800 bytes, and a frame per inner channel; a value costs two
// sends and two receives.
#pragma once

#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

template <class Inner, class T>
task<> forward_each(context ctx, recv_chan<Inner> in, output<T> out) {
    while (auto inner = co_await within(ctx, in.recv())) {
        if (!*inner) co_return;
        const bool drained =
            co_await forward_values(ctx, ctx, recv_chan<T>(std::move(**inner)), out.channel());
        if (!drained) co_return;
    }
}

}  // namespace detail

/// The values of the channels that `in` gives, in one channel without a buffer. It is closed when
/// `in` is closed, and its last channel too, and all is delivered; or when ctx has ended. Then at
/// most one value is taken and not delivered, and destroyed; the rest of its channel, and the
/// channels that wait in `in`, are left as they are. It must be read until it is closed: if its
/// reader goes away earlier, ctx has to end. Throws std::logic_error on a thread that runs no
/// tasks.
template <detail::stream Source>
    requires detail::stream<typename Source::value_type>
auto bridge(context ctx, const Source& in) -> detail::receiving_end<typename Source::value_type> {
    using inner = typename Source::value_type;
    using value = typename inner::value_type;
    const auto out = make_chan<value>();
    go(detail::forward_each<inner, value>, std::move(ctx), recv_chan<inner>(in),
       detail::output<value>(out));
    return out;
}

}  // namespace sluice
