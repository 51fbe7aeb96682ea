// tee: one channel becomes two, and each gets every value.
//
//     auto [to_disk, to_screen] = tee(ctx, lines);
//
// When to use: two readers that both need all of a stream, in order, and may wait for each other.
// When not: readers that share the work (they can receive from the same channel, or fan_out); many
// readers, or some that come and go or must not hold up the rest (broker).
//
// Concepts: a task takes a value, offers it to both outputs at once, and to the other one when one
// has taken it. So the readers may come in any order, but neither gets the next value before the
// other has this one: the slower one sets the pace.
//
// Invariant: when the second output has a value, the first has it. Both are closed when the task
// ends, and only then.
//
// Cost: a task and two channels, about 800 bytes; two copies a value. Keep large values in a
// std::shared_ptr<const T>.
//
// Rejected: to send to one output and then to the other. A task that reads both in the other order
// would wait for ever. A buffer for the slower reader: the caller knows how large it may be, and
// can put a channel behind the output.
#pragma once

#include <concepts>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

template <class T>
task<> send_to_both(context ctx, recv_chan<T> in, output<T> a, output<T> b) {
    const chan<T>& to_a = a.channel();
    const chan<T>& to_b = b.channel();
    while (auto got = co_await within(ctx, in.recv())) {
        if (!*got) co_return;
        const T& value = **got;
        const auto first = co_await within(ctx, select(to_a.send(value), to_b.send(value)));
        if (!first) co_return;
        const chan<T>& other = first->index() == 0 ? to_b : to_a;
        const auto second = co_await within(ctx, hand_on(other, *got));
        if (!second) co_return;
    }
}

}  // namespace detail

/// Two channels without buffers that both give the values of `in`, in order, and are closed when
/// `in` is closed and both have all, or when ctx has ended. Neither gives a value before the other
/// one has given that before it. When ctx ends, a value that was taken from `in` may have reached
/// one of them, or none; the others stay in `in`. With a nil `in` it ends with ctx. Both must be
/// read until they are closed: if one of the readers goes away earlier, ctx has to end. An
/// exception of T's copy constructor ends the process. Throws std::logic_error on a thread that
/// runs no tasks.
template <detail::stream Source>
    requires std::copy_constructible<typename Source::value_type>
auto tee(context ctx, const Source& in)
    -> std::pair<detail::receiving_end<Source>, detail::receiving_end<Source>> {
    using value = typename Source::value_type;
    const auto a = make_chan<value>();
    const auto b = make_chan<value>();
    go(detail::send_to_both<value>, std::move(ctx), recv_chan<value>(in), detail::output<value>(a),
       detail::output<value>(b));
    return {a, b};
}

}  // namespace sluice
