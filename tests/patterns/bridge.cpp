#include <sluice/patterns/bridge.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "streams.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace streams;

namespace {

constexpr int pieces = 4;
constexpr int each = 5;

/// Sends until it has sent all, and closes then, or ctx ends.
task<> fill(context ctx, chan<int> piece, int first, std::atomic<int>* sent) {
    for (int i = 0; i < each; ++i) {
        const auto taken = co_await within(ctx, piece.send(first + i));
        if (!taken) co_return;
        ++*sent;
    }
    piece.close();
}

/// Gives pieces whose values are sent at the same time.
task<> offer(context ctx, chan<recv_chan<int>> to, wait_group* fillers, std::atomic<int>* sent) {
    for (int p = 0; p < pieces; ++p) {
        auto piece = make_chan<int>();
        fillers->go(fill, ctx, piece, p * each, sent);
        const auto taken = co_await within(ctx, to.send(piece));
        if (!taken) co_return;
    }
    to.close();
}

/// The main program, with whatever happens to ctx.
task<> read_all(context ctx) {
    auto in = make_chan<recv_chan<int>>();
    std::atomic<int> sent = 0;
    wait_group others;
    others.go(offer, ctx, in, &others, &sent);
    int next = 0;
    auto out = bridge(ctx, in);
    while (auto v = co_await out.recv()) EXPECT(*v == next++);
    co_await others.wait();
    if (ctx.err()) {
        EXPECT((next == sent || next + 1 == sent));
    } else {
        EXPECT(next == pieces * each);
        EXPECT(sent == next);
    }
}

task<> read_to_the_end() {
    co_await read_all(background());
}

}  // namespace

TEST_CASE("bridge: the values of one channel come after those of the channel before it") {
    simulated(read_to_the_end, 1'000);
    on_real_workers(read_to_the_end);
}

TEST_CASE("bridge: a context cancelled at any moment closes it, with at most one value in hand") {
    simulated_cancelled(read_all, 50);
}

TEST_CASE("bridge: empty and closed channels are passed over") {
    on_workers([]() -> task<> {
        auto in = make_chan<chan<int>>(4);
        in.try_send(closed_with(0, 0));
        in.try_send(closed_with(1, 1));
        in.try_send(closed_with(0, 0));
        in.try_send(closed_with(1, 2));
        in.close();
        auto out = bridge(background(), in);
        EXPECT(co_await out.recv() == 1);
        EXPECT(co_await out.recv() == 2);
        EXPECT(!co_await out.recv());
    });
}

TEST_CASE("bridge: of a channel that is closed and empty closes at once") {
    on_workers([]() -> task<> {
        auto in = make_chan<recv_chan<int>>();
        in.close();
        auto out = bridge(background(), recv_chan<recv_chan<int>>(in));
        EXPECT(!co_await out.recv());
    });
}

TEST_CASE("bridge: a nil channel holds up those behind it, until the context ends") {
    simulated([]() -> task<> {
        auto in = make_chan<recv_chan<int>>(3);
        in.try_send(closed_with(1, 1));
        in.try_send(recv_chan<int>());
        in.try_send(closed_with(1, 2));
        in.close();
        auto [ctx, cancel] = with_timeout(background(), 1h);
        auto out = bridge(ctx, in);
        EXPECT(co_await out.recv() == 1);
        const auto start = now();
        EXPECT(!co_await out.recv());
        EXPECT(now() - start == 1h);
        EXPECT(in.size() == 1);
        auto nil = bridge(ctx, recv_chan<recv_chan<int>>());
        EXPECT(!co_await nil.recv());
    });
}

TEST_CASE("bridge: when the context ends the rest stays in its channels") {
    simulated([]() -> task<> {
        auto in = make_chan<recv_chan<int>>(2);
        auto piece = closed_with(5, 0);
        in.try_send(piece);
        in.try_send(piece);
        auto [ctx, cancel] = with_cancel(background());
        auto out = bridge(ctx, in);
        EXPECT(co_await out.recv() == 0);
        co_await sleep_for(1s);  // the task has the next value in hand
        cancel();
        EXPECT(!co_await out.recv());
        EXPECT(piece.size() == 3);
        EXPECT(in.size() == 1);
    });
}

TEST_CASE("bridge: values may be move-only, or none at all") {
    on_workers([]() -> task<> {
        auto pointers = make_chan<std::unique_ptr<int>>(1);
        pointers.try_send(std::make_unique<int>(5));
        pointers.close();
        auto in = make_chan<chan<std::unique_ptr<int>>>(1);
        in.try_send(pointers);
        in.close();
        auto owned = bridge(background(), in);
        const auto five = co_await owned.recv();
        EXPECT(five && **five == 5);
        EXPECT(!co_await owned.recv());

        auto ticks = make_chan<>(1);
        ticks.try_send();
        ticks.close();
        auto streams = make_chan<recv_chan<>>(1);
        streams.try_send(ticks);
        streams.close();
        auto signals = bridge(background(), streams);
        EXPECT(co_await signals.recv());
        EXPECT(!co_await signals.recv());
    });
}

TEST_CASE("bridge: on a thread that runs no tasks it throws") {
    CHECK_THROWS_AS(bridge(background(), make_chan<recv_chan<int>>()), std::logic_error);
}

TEST_CASE("bridge: a task that is cut in the middle of it leaves nothing behind") {
    struct gave_up {};
    for (const unsigned workers : {1U, 2U}) {
        options o;
        o.workers = workers;
        CHECK_THROWS_AS(run(o,
                            []() -> task<> {
                                auto in = make_chan<recv_chan<std::unique_ptr<int>>>(1);
                                auto piece = make_chan<std::unique_ptr<int>>();
                                in.try_send(piece);
                                auto out = bridge(background(), in);
                                co_await piece.send(std::make_unique<int>(1));
                                co_await yield();
                                throw gave_up();
                            }),
                        gave_up);
    }
}
