#include <sluice/patterns/pace.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "streams.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace streams;

namespace {

chan<int> holding(int count) {
    auto ch = make_chan<int>(count);
    for (int i = 0; i < count; ++i) EXPECT(ch.try_send(i));
    return ch;
}

}  // namespace

TEST_CASE("pace: the first value comes at once, each other one a period later, then the end") {
    simulated([]() -> task<> {
        const auto start = now();
        auto paced = pace(background(), closed_with(5), 100ms);
        for (int i = 0; i < 5; ++i) {
            const std::optional<int> got = co_await paced.recv();
            EXPECT(got == i);
            EXPECT(now() - start == i * 100ms);
        }
        const std::optional<int> end = co_await paced.recv();
        EXPECT(!end);
        EXPECT(now() - start <= 500ms);
    });
}

TEST_CASE("pace: a reader that was late is sent no burst afterwards") {
    simulated([]() -> task<> {
        auto paced = pace(background(), closed_with(12), 100ms);
        auto last = now() - 1h;
        int expected = 0;
        while (auto got = co_await paced.recv()) {
            EXPECT(*got == expected++);
            EXPECT(now() - last >= 100ms);
            last = now();
            if (*got == 3) co_await sleep_for(1s);
            if (*got == 5) co_await sleep_for(190ms);
            if (*got == 7) co_await sleep_for(99ms);
        }
        EXPECT(expected == 12);
    });
}

TEST_CASE("pace: values that come slower than the pace are not held up") {
    simulated([]() -> task<> {
        auto in = make_chan<int>();
        auto paced = pace(background(), in, 100ms);
        for (int i = 0; i < 5; ++i) {
            const auto start = now();
            co_await in.send(i);
            const std::optional<int> got = co_await paced.recv();
            EXPECT(got == i);
            EXPECT(now() == start);
            co_await sleep_for(100ms + std::chrono::milliseconds(i));
        }
        in.close();
        const std::optional<int> end = co_await paced.recv();
        EXPECT(!end);
    });
}

TEST_CASE("pace: what waits, waits in the source") {
    simulated([]() -> task<> {
        auto in = holding(10);
        auto [ctx, cancel] = with_cancel(background());
        auto paced = pace(ctx, in, 1s);
        co_await sleep_for(1h);
        EXPECT(in.size() == 9);  // one is in hand
        const std::optional<int> got = co_await paced.recv();
        EXPECT(got == 0);
        co_await sleep_for(500ms);
        EXPECT(in.size() == 9);
    });
}

TEST_CASE("pace: ends with its source, empty or not, and at once with its context") {
    simulated([]() -> task<> {
        auto empty = pace(background(), closed_with(0), 1s);
        const std::optional<int> nothing = co_await empty.recv();
        EXPECT(!nothing);

        auto [ctx, cancel] = with_timeout(background(), 500ms);
        auto never = pace(ctx, recv_chan<int>(), 1s);  // a nil channel
        const auto start = now();
        auto full = holding(3);
        auto resting = pace(ctx, full, 1h);
        const std::optional<int> first = co_await resting.recv();
        EXPECT(first == 0);
        const std::optional<int> end = co_await resting.recv();
        EXPECT(!end);
        const std::optional<int> never_came = co_await never.recv();
        EXPECT(!never_came);
        EXPECT(now() - start == 500ms);
        EXPECT(full.size() == 2);  // cut while it rested, with nothing in hand

        auto ended = pace(ctx, full, 1s);
        const std::optional<int> none = co_await ended.recv();
        EXPECT(!none);
        EXPECT(full.size() == 2);
    });
}

TEST_CASE("pace: carries values that can only be moved, and none at all") {
    simulated([]() -> task<> {
        auto in = make_chan<std::unique_ptr<int>>(2);
        for (int i = 0; i < 2; ++i) EXPECT(in.try_send(std::make_unique<int>(i)));
        in.close();
        auto paced = pace(background(), in, 1ms);
        int sum = 0;
        while (auto got = co_await paced.recv()) sum += 1 + **got;
        EXPECT(sum == 3);

        auto events = make_chan<>(3);
        for (int i = 0; i < 3; ++i) EXPECT(events.try_send());
        events.close();
        auto calm = pace(background(), events, 1s);
        const auto start = now();
        int count = 0;
        for (;;) {
            const bool got = co_await calm.recv();
            if (!got) break;
            EXPECT(now() - start == count * 1s);
            ++count;
        }
        EXPECT(count == 3);
    });
}

TEST_CASE("pace: a period that is not positive is refused at once") {
    simulated([]() -> task<> {
        int refused = 0;
        for (const auto period : {0ns, -1ns}) {
            try {
                static_cast<void>(pace(background(), make_chan<int>(), period));
            } catch (const std::invalid_argument&) {
                ++refused;
            }
        }
        EXPECT(refused == 2);
        co_return;
    });
}

namespace {

// The main program: two senders, one paced reader; every value arrives, each sender's in order.
task<> senders_and_reader() {
    auto in = make_chan<int>(3);
    auto senders = std::make_shared<wait_group>();
    for (int s = 0; s < 2; ++s)
        senders->go(
            [](chan<int> to, int first) -> task<> {
                for (int i = 0; i < 10; ++i) co_await to.send(first + i);
            },
            in, s * 10);
    go(
        [](std::shared_ptr<wait_group> all, chan<int> ch) -> task<> {
            co_await all->wait();
            ch.close();
        },
        senders, in);
    auto paced = pace(background(), in, 50us);
    std::vector<int> got;
    while (auto value = co_await paced.recv()) got.push_back(*value);
    EXPECT(got.size() == 20);
    int next[2] = {0, 10};
    for (const int value : got) EXPECT(value == next[value / 10]++);
}

}  // namespace

TEST_CASE("pace: every value arrives, in order, in a thousand orders") {
    simulated(senders_and_reader, 1'000);
}

TEST_CASE("pace: every value arrives, in order, on real workers") {
    on_real_workers(senders_and_reader);
}

TEST_CASE("pace: cancelled at any step it ends, and all but a value in hand is still there") {
    simulated_cancelled([](context ctx) -> task<> {
        auto in = closed_with(6);
        auto paced = pace(ctx, in, 10ms);
        int received = 0;
        while (auto got = co_await paced.recv()) {
            EXPECT(*got == received);
            ++received;
            co_await sleep_for(3ms);
        }
        std::vector<int> left;
        while (auto got = in.try_recv()) left.push_back(*got);
        const int gone = 6 - received - static_cast<int>(left.size());
        EXPECT(gone == 0 || (gone == 1 && ctx.err()));
        for (std::size_t i = 0; i < left.size(); ++i)
            EXPECT(left[i] == received + gone + static_cast<int>(i));
    });
}
