#include <sluice/patterns/batch.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

using ints = std::vector<int>;

template <class... Values>
task<> gives(recv_chan<ints> batches, Values... values) {
    const auto got = co_await batches.recv();
    EXPECT(got == ints{values...});
}

template <class T>
task<> ends(recv_chan<std::vector<T>> batches) {
    const auto got = co_await batches.recv();
    EXPECT(!got);
}

// Sends 0, 1, 2, … with pauses, and closes.
task<> number(chan<int> to, int count, std::chrono::milliseconds longest_pause) {
    for (int i = 0; i < count; ++i) {
        if (longest_pause > 0ms && random_bits() % 2 == 0) {
            co_await sleep_for(std::chrono::milliseconds(
                random_bits() % static_cast<unsigned>(longest_pause.count())));
        }
        co_await to.send(i);
    }
    to.close();
}

task<> numbers_in_batches(std::chrono::milliseconds longest_pause) {
    const auto in = make_chan<int>(2);
    const auto batches = batch(background(), in, 4, 10ms);
    go(number, in, 50, longest_pause);
    int next = 0;
    while (auto values = co_await batches.recv()) {
        EXPECT(!values->empty() && values->size() <= 4);
        for (const int v : *values) EXPECT(v == next++);
    }
    EXPECT(next == 50);
}

}  // namespace

TEST_CASE("batch: every value comes once, in order, in batches that are not too large") {
    simulated([]() -> task<> { co_await numbers_in_batches(12ms); }, 1'000);
    on_real_workers([]() -> task<> { co_await numbers_in_batches(0ms); });
}

TEST_CASE("batch: at its end a context closes the output, and the rest stays in the source") {
    simulated_cancelled([](context ctx) -> task<> {
        const auto in = make_chan<int>(64);
        for (int i = 0; i < 20; ++i) co_await in.send(i);
        const auto batches = batch(ctx, in, 4, 10ms);
        int next = 0;
        while (auto values = co_await batches.recv()) {
            for (const int v : *values) EXPECT(v == next++);
            if (next == 20) in.close();
            co_await sleep_for(1ms);
        }
        const auto left = static_cast<int>(in.size());
        EXPECT(ctx.err() || next == 20);
        EXPECT(next + left <= 20 && next + left >= 16);  // at most one batch is dropped
        const auto first_left = in.try_recv();
        EXPECT(!first_left || *first_left == 20 - left);
    });
}

TEST_CASE("batch: a full batch is handed on at once") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>(10);
        const auto batches = batch(background(), in, 3, 1h);
        const auto start = now();
        for (int i = 0; i < 7; ++i) co_await in.send(i);
        co_await gives(batches, 0, 1, 2);
        co_await gives(batches, 3, 4, 5);
        EXPECT(now() == start);
        co_await gives(batches, 6);
        EXPECT(now() == start + 1h);
        in.close();
        co_await ends(batches);
    });
}

TEST_CASE("batch: the time counts from the first value of a batch") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto batches = batch(background(), in, 100, 10ms);
        co_await sleep_for(25ms);  // without a value no time is counted
        const auto start = now();
        go(
            [](chan<int> to) -> task<> {
                for (int i = 0; i < 3; ++i) {
                    co_await to.send(i);
                    co_await sleep_for(4ms);
                }
                co_await to.send(3);  // at 12 ms
                to.close();
            },
            in);
        co_await gives(batches, 0, 1, 2);
        EXPECT(now() == start + 10ms);
        co_await gives(batches, 3);
        EXPECT(now() == start + 12ms);  // the end does not wait
        co_await ends(batches);
    });
}

TEST_CASE("batch: what is there when its time is up waits for the next one") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>(50);
        const auto batches = batch(background(), in, 100, 10ms);
        co_await in.send(0);
        co_await sleep_for(10ms);
        for (int i = 1; i < 50; ++i) co_await in.send(i);
        const auto first = co_await batches.recv();
        EXPECT(first && first->size() <= 2);
        in.close();
        auto rest = co_await batches.recv();
        EXPECT(rest && rest->back() == 49);
        co_await ends(batches);
    });
}

TEST_CASE("batch: closing the source hands on the last batch, which may be short") {
    on_workers([]() -> task<> {
        const auto in = make_chan<int>(5);
        for (int i = 0; i < 5; ++i) co_await in.send(i);
        in.close();
        const auto batches = batch(background(), in, 3, 1h);
        co_await gives(batches, 0, 1, 2);
        co_await gives(batches, 3, 4);
        co_await ends(batches);
    });
}

TEST_CASE("batch: a source that is closed and empty gives nothing") {
    on_workers([]() -> task<> {
        const auto in = make_chan<int>();
        in.close();
        const auto batches = batch(background(), in, 3, 1h);
        co_await ends(batches);
    });
}

TEST_CASE("batch: with a count of 1 each value comes by itself") {
    on_workers([]() -> task<> {
        const auto in = make_chan<int>(3);
        for (int i = 0; i < 3; ++i) co_await in.send(i);
        in.close();
        const auto batches = batch(background(), in, 1, 1h);
        for (int i = 0; i < 3; ++i) co_await gives(batches, i);
        co_await ends(batches);
    });
}

TEST_CASE("batch: without any time to wait it takes what is there at once") {
    for (const auto wait : {0ms, -5ms}) {
        simulated([wait]() -> task<> {
            const auto in = make_chan<int>(10);
            for (int i = 0; i < 5; ++i) co_await in.send(i);
            const auto batches = batch(background(), in, 4, wait);
            co_await gives(batches, 0, 1, 2, 3);
            co_await gives(batches, 4);
            in.close();
            co_await ends(batches);
        });
    }
}

TEST_CASE("batch: a slow reader holds up the sender") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>();
        const auto batches = batch(background(), in, 2, 1h);
        int sent = 0;
        go(
            [](chan<int> to, int* count) -> task<> {
                for (int i = 0; i < 6; ++i) {
                    co_await to.send(i);
                    ++*count;
                }
                to.close();
            },
            in, &sent);
        co_await sleep_for(1s);
        EXPECT(sent == 2);
        co_await gives(batches, 0, 1);
        co_await sleep_for(1s);
        EXPECT(sent == 4);
        while (auto values = co_await batches.recv()) EXPECT(values->size() == 2);
        EXPECT(sent == 6);
    });
}

TEST_CASE("batch: a deadline of the context ends it, not the batch alone") {
    simulated([]() -> task<> {
        const auto in = make_chan<int>(3);
        auto [ctx, cancel] = with_timeout(background(), 5ms);
        const auto batches = batch(ctx, in, 3, 1h);
        co_await in.send(1);
        const auto start = now();
        co_await ends(batches);
        EXPECT(now() == start + 5ms);
    });
}

TEST_CASE("batch: a nil source waits for the context") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 5ms);
        const auto batches = batch(ctx, recv_chan<int>(), 3, 1ms);
        co_await ends(batches);
        EXPECT(ctx.err() == errc::deadline_exceeded);
    });
}

TEST_CASE("batch: values that can only be moved") {
    on_workers([]() -> task<> {
        const auto in = make_chan<std::unique_ptr<int>>(2);
        co_await in.send(std::make_unique<int>(1));
        co_await in.send(std::make_unique<int>(2));
        in.close();
        const recv_chan<std::unique_ptr<int>> end = in;
        const auto batches = batch(background(), end, 9, 1h);
        const auto values = co_await batches.recv();
        EXPECT(values && values->size() == 2 && *values->at(1) == 2);
    });
}

TEST_CASE("batch: a count of 0 and a call outside of tasks are errors") {
    const auto in = make_chan<int>();
    CHECK_THROWS_AS(batch(background(), in, 0, 1s), std::invalid_argument);
    CHECK_THROWS_AS(batch(background(), in, 1, 1s), std::logic_error);
}
