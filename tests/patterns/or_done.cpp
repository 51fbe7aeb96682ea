#include <sluice/patterns/or_done.hpp>

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

/// The main program, with whatever happens to ctx.
task<> range_over(context ctx) {
    constexpr int count = 20;
    auto in = make_chan<int>();
    int sent = 0;
    wait_group producer;
    producer.go(produce<decltype(sent)>, ctx, in, count, &sent);
    int next = 0;
    auto values = or_done(ctx, in);
    while (auto v = co_await values.recv()) EXPECT(*v == next++);
    co_await producer.wait();
    if (ctx.err()) {
        EXPECT((next == sent || next + 1 == sent));
    } else {
        EXPECT(next == count);
    }
}

task<> range_to_the_end() {
    co_await range_over(background());
}

}  // namespace

TEST_CASE("or_done: gives every value in order, and closes after the last") {
    simulated(range_to_the_end, 1'000);
    on_real_workers(range_to_the_end);
}

TEST_CASE("or_done: a context cancelled at any moment closes it, with at most one value in hand") {
    simulated_cancelled(range_over, 50);
}

TEST_CASE("or_done: a channel that nobody sends to, or that is nil, ends with the context") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 1h);
        const auto start = now();
        auto silent = or_done(ctx, make_chan<int>());
        auto nil = or_done(ctx, recv_chan<int>());
        EXPECT(!co_await silent.recv());
        EXPECT(!co_await nil.recv());
        EXPECT(now() - start == 1h);
        EXPECT(ctx.err() == errc::deadline_exceeded);
    });
}

TEST_CASE("or_done: a reader that has left is no obstacle to the end of the context") {
    simulated([]() -> task<> {
        auto in = closed_with(3);
        auto [ctx, cancel] = with_cancel(background());
        auto values = or_done(ctx, in);
        EXPECT(co_await values.recv() == 0);
        co_await sleep_for(1s);  // the task has the next value in hand
        EXPECT(in.size() == 1);
        cancel();
        co_await sleep_for(1s);
        EXPECT(in.size() == 1);
        EXPECT(!values.try_recv());
    });
}

TEST_CASE("or_done: under a context that has ended it takes nothing") {
    simulated([]() -> task<> {
        auto in = closed_with(3);
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        auto values = or_done(ctx, in);
        EXPECT(!co_await values.recv());
        EXPECT(in.size() == 3);
    });
}

TEST_CASE("or_done: of a closed channel gives what is buffered there, or nothing") {
    on_workers([]() -> task<> {
        auto empty = or_done(background(), closed_with(0));
        EXPECT(!co_await empty.recv());
        auto two = or_done(background(), recv_chan<int>(closed_with(2)));
        EXPECT(co_await two.recv() == 0);
        EXPECT(co_await two.recv() == 1);
        EXPECT(!co_await two.recv());
    });
}

TEST_CASE("or_done: values may be move-only, or none at all") {
    on_workers([]() -> task<> {
        auto pointers = make_chan<std::unique_ptr<int>>(1);
        pointers.try_send(std::make_unique<int>(5));
        pointers.close();
        auto owned = or_done(background(), pointers);
        const auto five = co_await owned.recv();
        EXPECT(five && **five == 5);
        EXPECT(!co_await owned.recv());

        auto ticks = make_chan<>(1);
        ticks.try_send();
        ticks.close();
        auto signals = or_done(background(), ticks);
        EXPECT(co_await signals.recv());
        EXPECT(!co_await signals.recv());
    });
}

TEST_CASE("or_done: on a thread that runs no tasks it throws") {
    CHECK_THROWS_AS(or_done(background(), closed_with(1)), std::logic_error);
}

TEST_CASE("or_done: a task that is cut in the middle of it leaves nothing behind") {
    struct gave_up {};
    for (const unsigned workers : {1U, 2U}) {
        options o;
        o.workers = workers;
        CHECK_THROWS_AS(run(o,
                            []() -> task<> {
                                auto in = make_chan<std::unique_ptr<int>>();
                                auto out = or_done(background(), in);
                                co_await in.send(std::make_unique<int>(1));
                                co_await yield();
                                throw gave_up();
                            }),
                        gave_up);
    }
}
