// What the tests of the patterns between channels have in common: where their values come from.
#pragma once

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace streams {

/// A closed channel that holds `first`, first + 1, …
inline sluice::chan<int> closed_with(int count, int first = 0) {
    auto ch = sluice::make_chan<int>(count);
    for (int i = 0; i < count; ++i) ch.try_send(first + i);
    ch.close();
    return ch;
}

/// Sends 0, 1, 2, … until all are sent, and closes then, or ctx ends. `sent` counts what was taken.
template <class Counter>
sluice::task<> produce(sluice::context ctx, sluice::chan<int> to, int count, Counter* sent) {
    for (int i = 0; i < count; ++i) {
        const auto taken = co_await within(ctx, to.send(i));
        if (!taken) co_return;
        ++*sent;
    }
    to.close();
}

}  // namespace streams
