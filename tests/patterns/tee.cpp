#include <sluice/patterns/tee.hpp>

#include <memory>
#include <stdexcept>
#include <string>
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

task<> produce(context ctx, chan<std::string> to, int count, int* sent) {
    for (int i = 0; i < count; ++i) {
        const auto taken = co_await within(ctx, to.send(std::to_string(i)));
        if (!taken) co_return;
        ++*sent;
    }
    to.close();
}

task<> read_all(recv_chan<std::string> from, int* got) {
    while (auto v = co_await from.recv()) {
        EXPECT(*v == std::to_string(*got));
        ++*got;
    }
}

/// The main program, with whatever happens to ctx.
task<> read_both(context ctx) {
    constexpr int count = 20;
    auto in = make_chan<std::string>();
    int sent = 0;
    int left = 0;
    int right = 0;
    wait_group others;
    others.go(produce, ctx, in, count, &sent);
    auto [a, b] = tee(ctx, in);
    others.go(read_all, a, &left);
    others.go(read_all, b, &right);
    co_await others.wait();
    if (ctx.err()) {
        for (const int got : {left, right}) EXPECT((got == sent || got + 1 == sent));
    } else {
        EXPECT(left == count);
        EXPECT(right == count);
    }
}

task<> read_both_to_the_end() {
    co_await read_both(background());
}

}  // namespace

TEST_CASE("tee: both outputs give every value, in order") {
    simulated(read_both_to_the_end, 1'000);
    on_real_workers(read_both_to_the_end);
}

TEST_CASE("tee: a context cancelled at any moment closes both, with at most one value missing") {
    simulated_cancelled(read_both, 50);
}

TEST_CASE("tee: one task can read both outputs, in either order") {
    on_workers([]() -> task<> {
        auto [a, b] = tee(background(), closed_with(6));
        for (int i = 0; i < 6; ++i) {
            const recv_chan<int>& first = i % 2 == 0 ? a : b;
            const recv_chan<int>& second = i % 2 == 0 ? b : a;
            const auto one = co_await first.recv();
            const auto two = co_await second.recv();
            EXPECT(one == i);
            EXPECT(two == i);
        }
        EXPECT(!co_await b.recv());
        EXPECT(!co_await a.recv());
    });
}

TEST_CASE("tee: a slow reader sets the pace of both") {
    simulated([]() -> task<> {
        auto in = closed_with(10);
        auto [quick, slow] = tee(background(), in);
        const auto start = now();
        wait_group reader;
        reader.go(
            [](recv_chan<int> from, auto begun) -> task<> {
                int n = 0;
                while (auto v = co_await from.recv()) {
                    EXPECT(*v == n++);
                    // Value n comes when the slow one has taken that before it.
                    EXPECT(now() - begun == std::chrono::seconds(n == 1 ? 0 : n - 1));
                }
                EXPECT(n == 10);
            },
            quick, start);
        for (int i = 0; i < 10; ++i) {
            co_await sleep_for(1s);
            EXPECT(co_await slow.recv() == i);
        }
        EXPECT(!co_await slow.recv());
        co_await reader.wait();
    });
}

TEST_CASE("tee: a reader that never comes holds up the other one after a value, until ctx ends") {
    simulated([]() -> task<> {
        auto in = closed_with(10);
        auto [ctx, cancel] = with_timeout(background(), 1h);
        auto [a, b] = tee(ctx, in);
        EXPECT(co_await a.recv() == 0);
        const auto start = now();
        EXPECT(!co_await a.recv());
        EXPECT(now() - start == 1h);
        EXPECT(!co_await b.recv());
        EXPECT(in.size() == 9);
    });
}

TEST_CASE("tee: of a closed channel closes both; of a nil one it ends with the context") {
    simulated([]() -> task<> {
        auto [a, b] = tee(background(), closed_with(0));
        EXPECT(!co_await a.recv());
        EXPECT(!co_await b.recv());
        auto [ctx, cancel] = with_timeout(background(), 1h);
        const auto start = now();
        auto [c, d] = tee(ctx, recv_chan<int>());
        EXPECT(!co_await d.recv());
        EXPECT(!co_await c.recv());
        EXPECT(now() - start == 1h);
    });
}

TEST_CASE("tee: under a context that has ended it takes nothing") {
    simulated([]() -> task<> {
        auto in = closed_with(3);
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        auto [a, b] = tee(ctx, in);
        EXPECT(!co_await a.recv());
        EXPECT(!co_await b.recv());
        EXPECT(in.size() == 3);
    });
}

TEST_CASE("tee: of a tee gives four") {
    on_workers([]() -> task<> {
        auto [left, right] = tee(background(), closed_with(3));
        auto [a, b] = tee(background(), left);
        auto [c, d] = tee(background(), right);
        for (int i = 0; i < 3; ++i) {
            EXPECT(co_await d.recv() == i);
            EXPECT(co_await a.recv() == i);
            EXPECT(co_await c.recv() == i);
            EXPECT(co_await b.recv() == i);
        }
        EXPECT(!co_await a.recv());
    });
}

TEST_CASE("tee: what both get may be one object that they share") {
    on_workers([]() -> task<> {
        auto in = make_chan<std::shared_ptr<const int>>(1);
        in.try_send(std::make_shared<const int>(5));
        in.close();
        auto [a, b] = tee(background(), in);
        const auto one = co_await a.recv();
        const auto two = co_await b.recv();
        EXPECT(one && two && one->get() == two->get());
        EXPECT(!co_await a.recv());
        EXPECT(one->use_count() == 2);
    });
}

TEST_CASE("tee: on a thread that runs no tasks it throws") {
    CHECK_THROWS_AS(tee(background(), closed_with(1)), std::logic_error);
}

TEST_CASE("tee: a task that is cut in the middle of it leaves nothing behind") {
    struct gave_up {};
    for (const unsigned workers : {1U, 2U}) {
        options o;
        o.workers = workers;
        CHECK_THROWS_AS(run(o,
                            []() -> task<> {
                                auto in = make_chan<std::shared_ptr<int>>();
                                auto [a, b] = tee(background(), in);
                                co_await in.send(std::make_shared<int>(1));
                                co_await a.recv();
                                throw gave_up();
                            }),
                        gave_up);
    }
}
