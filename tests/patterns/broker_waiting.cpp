#include <sluice/patterns/broker.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/patterns/refusal.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "broker_steps.hpp"
#include "support.hpp"

using namespace broker_steps;
using namespace sluice;
using namespace std::chrono_literals;

namespace {

using time_point = std::chrono::steady_clock::time_point;

task<> publish_into(broker<int>& b, context ctx, int value,
                    std::optional<result<std::size_t>>& to) {
    to = co_await b.publish(std::move(ctx), "t", value);
}

}  // namespace

// ---------------------------------------------------------------- slow subscribers

TEST_CASE("broker: a slow subscriber delays nobody else's message") {
    simulated([]() -> task<> {
        broker<int> b;
        const auto slow = b.subscribe("t", {.capacity = 1});
        const auto quick = b.subscribe("t", {.capacity = 1});
        const auto drops = b.subscribe("*", {.capacity = 2, .policy = when_full::drop_newest});
        co_await publish_to(3, b, "t", 1);
        const auto first = co_await quick.recv();
        EXPECT(first->value == 1);
        const time_point start = now();
        std::optional<result<std::size_t>> got;
        go(publish_into, std::ref(b), background(), 2, std::ref(got));
        const auto second = co_await quick.recv();
        EXPECT(second->value == 2);
        EXPECT(now() == start);
        EXPECT(drops.counters().queued == 2);
        co_await sleep_for(1h);
        EXPECT(!got);
        EXPECT(counts(slow.counters(), 0, 0, 1));
        const auto late = co_await slow.recv();
        EXPECT(late->value == 1);
        EXPECT(counts(slow.counters(), 1, 0, 1));  // it stood in line, and is in the queue at once
        co_await sleep_for(1s);
        EXPECT(got && *got == 3u);
    });
}

TEST_CASE("broker: slow subscribers do not wait for each other") {
    simulated([]() -> task<> {
        broker<int> b;
        const auto slowest = b.subscribe("t", {.capacity = 1});
        const auto slow = b.subscribe("t", {.capacity = 1});
        co_await publish_to(2, b, "t", 1);
        std::optional<result<std::size_t>> got;
        go(publish_into, std::ref(b), background(), 2, std::ref(got));
        co_await sleep_for(1s);
        co_await expect_queued(slow, "1 2");
        co_await sleep_for(1s);
        EXPECT(!got);
        co_await expect_queued(slowest, "1 2");
        co_await sleep_for(1s);
        EXPECT(got && *got == 2u);
    });
}

TEST_CASE("broker: publishers that wait for one subscriber are served in their order") {
    simulated([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 1});
        co_await publish_to(1, b, "t", 0);
        std::array<std::optional<result<std::size_t>>, 4> got;
        for (int i = 1; i <= 4; ++i) {
            go(publish_into, std::ref(b), background(), i,
               std::ref(got[static_cast<std::size_t>(i - 1)]));
            co_await sleep_for(1s);
        }
        co_await expect_queued(sub, "0 1 2 3 4");
        co_await sleep_for(1s);
        for (const auto& each_one : got) EXPECT(each_one && *each_one == 1u);
    });
}

// ---------------------------------------------------------------- unsubscribing

TEST_CASE("broker: one that unsubscribes frees the publisher that waits for it") {
    simulated([]() -> task<> {
        for (const bool lets_go : {false, true}) {
            broker<int> b;
            std::optional<subscription<int>> sub = b.subscribe("t", {.capacity = 1});
            const auto other = b.subscribe("t");
            co_await publish_to(2, b, "t", 1);
            std::optional<result<std::size_t>> got;
            go(publish_into, std::ref(b), background(), 2, std::ref(got));
            co_await sleep_for(1s);
            EXPECT(!got);
            if (lets_go) {
                sub.reset();
            } else {
                sub->unsubscribe();
                EXPECT(counts(sub->counters(), 0, 2, 0));
                EXPECT(sub->err() == errc::canceled);
                sub->unsubscribe();
                EXPECT(counts(sub->counters(), 0, 2, 0));
                const auto end = co_await sub->recv();
                EXPECT(end == nullptr);
            }
            co_await sleep_for(1s);
            EXPECT(got && *got == 1u);
            co_await publish_to(1, b, "t", 3);
            co_await expect_queued(other, "1 2 3");
        }
    });
}

TEST_CASE("broker: unsubscribing ends those who wait to receive") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t");
        auto waiting = spawn(
            [](const subscription<int>& from) -> task<bool> {
                const auto m = co_await from.recv();
                co_return m == nullptr;
            },
            std::ref(sub));
        co_await yield();
        sub.unsubscribe();
        const bool ended = co_await waiting.join();
        EXPECT(ended);
        b.close();
        EXPECT(sub.err() == errc::canceled);
    });
}

TEST_CASE("broker: a subscription moves, and the one it replaces is unsubscribed") {
    on_workers([]() -> task<> {
        broker<int> b;
        auto first = b.subscribe("a");
        auto second = b.subscribe("b");
        co_await publish_to(1, b, "a", 1);
        subscription<int>& itself = first;
        first = std::move(itself);
        co_await publish_to(1, b, "a", 2);
        subscription<int> moved = std::move(first);
        co_await expect_queued(moved, "1 2");
        moved = std::move(second);
        co_await publish_to(0, b, "a", 3);
        co_await publish_to(1, b, "b", 4);
        co_await expect_queued(moved, "4");
    });
}

// ---------------------------------------------------------------- closing

TEST_CASE("broker: close ends every subscription when its queue is empty") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t");
        const auto idle = b.subscribe("*");
        co_await publish_to(2, b, "t", 1);
        const auto kept = co_await idle.recv();
        EXPECT(kept->value == 1);
        auto waiting = spawn(
            [](const subscription<int>& from) -> task<bool> {
                const auto m = co_await from.recv();
                co_return m == nullptr;
            },
            std::ref(idle));
        co_await yield();
        b.close();
        b.close();
        const bool ended = co_await waiting.join();
        EXPECT(ended);
        EXPECT(sub.err() == refusal::closed);
        const auto last = co_await sub.recv();
        EXPECT(last->value == 1);
        for (int i = 0; i < 2; ++i) {
            const auto end = co_await sub.recv();
            EXPECT(end == nullptr);
        }
    });
}

TEST_CASE("broker: after close nothing is published, and a subscription has ended at once") {
    on_workers([]() -> task<> {
        broker<int> b;
        b.close();
        const auto taken = co_await b.publish(background(), "t", 1);
        EXPECT(!taken && taken.error() == refusal::closed);
        const auto sub = b.subscribe("t");
        const auto prefix = b.subscribe("t*");
        EXPECT(sub.err() == refusal::closed);
        EXPECT(prefix.err() == refusal::closed);
        const auto end = co_await sub.recv();
        EXPECT(end == nullptr);
        sub.unsubscribe();
        EXPECT(sub.err() == refusal::closed);
    });
}

TEST_CASE("broker: close ends publishers that wait, whose message the slow one drops") {
    simulated([]() -> task<> {
        broker<int> b;
        const auto slow = b.subscribe("t", {.capacity = 1});
        const auto quick = b.subscribe("t");
        co_await publish_to(2, b, "t", 1);
        std::optional<result<std::size_t>> got;
        go(publish_into, std::ref(b), background(), 2, std::ref(got));
        co_await sleep_for(1s);
        b.close();
        co_await sleep_for(1s);
        EXPECT(got && !*got && got->error() == refusal::closed);
        EXPECT(counts(slow.counters(), 0, 1, 1));
        co_await expect_queued(slow, "1");
        co_await expect_queued(quick, "1 2");
    });
}

TEST_CASE("broker: it may be let go while others publish and receive, which closes it") {
    simulated([]() -> task<> {
        std::optional<broker<int>> b(std::in_place);
        const auto sub = b->subscribe("t", {.capacity = 1});
        co_await publish_to(1, *b, "t", 1);
        std::optional<result<std::size_t>> got;
        go(publish_into, std::ref(*b), background(), 2, std::ref(got));
        co_await sleep_for(1s);
        b.reset();
        co_await sleep_for(1s);
        EXPECT(got && !*got && got->error() == refusal::closed);
        co_await expect_queued(sub, "1");
        EXPECT(sub.err() == refusal::closed);
    });
}

// ---------------------------------------------------------------- cancelling

TEST_CASE("broker: with a context that has ended nothing is published") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t");
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        const auto taken = co_await b.publish(ctx, "t", 1);
        EXPECT(!taken && taken.error() == errc::canceled);
        EXPECT(counts(sub.counters(), 0, 0, 0));
    });
}

TEST_CASE(
    "broker: a publish that is cancelled while it waits leaves the line; the others have it") {
    simulated([]() -> task<> {
        broker<int> b;
        const auto slow = b.subscribe("t", {.capacity = 1});
        const auto quick = b.subscribe("t");
        co_await publish_to(2, b, "t", 1);
        auto [ctx, cancel] = with_timeout(background(), 5s);
        const time_point start = now();
        const auto taken = co_await b.publish(ctx, "t", 2);
        EXPECT(!taken && taken.error() == errc::deadline_exceeded);
        EXPECT(now() - start == 5s);
        EXPECT(counts(slow.counters(), 0, 1, 1));
        co_await expect_queued(slow, "1");
        co_await publish_to(2, b, "t", 3);
        co_await expect_queued(slow, "3");
        co_await expect_queued(quick, "1 2 3");
        EXPECT(counts(slow.counters(), 2, 1, 0));
    });
}

TEST_CASE("broker: a cancelled publish makes way for those behind it") {
    simulated([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 1});
        co_await publish_to(1, b, "t", 1);
        auto [ctx, cancel] = with_cancel(background());
        std::optional<result<std::size_t>> first;
        std::optional<result<std::size_t>> second;
        go(publish_into, std::ref(b), ctx, 2, std::ref(first));
        co_await sleep_for(1s);
        go(publish_into, std::ref(b), background(), 3, std::ref(second));
        co_await sleep_for(1s);
        cancel();
        co_await sleep_for(1s);
        EXPECT(first && !*first && first->error() == errc::canceled);
        EXPECT(!second);
        co_await expect_queued(sub, "1 3");
        co_await sleep_for(1s);
        EXPECT(second && *second == 1u);
    });
}

namespace {

struct outcome_of_three {
    int complete = 0;    // publishes that succeeded
    int incomplete = 0;  // that were cancelled
};

task<> three_times(context ctx, broker<int>& b, outcome_of_three& to) {
    for (int i = 0; i < 3; ++i) {
        const auto taken = co_await b.publish(ctx, "t", i);
        if (taken) {
            EXPECT(*taken == 3);
            ++to.complete;
        } else {
            EXPECT(taken.error() == errc::canceled);
            ++to.incomplete;
        }
    }
}

// What it got, until the context or the subscription ends.
task<> receive_some(context ctx, subscription<int>& sub, std::vector<int>& to) {
    for (;;) {
        co_await yield();
        auto m = co_await within(ctx, sub.recv());
        if (!m || *m == nullptr) break;
        to.push_back((*m)->value);
    }
}

task<> cancelled_anywhere(context ctx) {
    broker<int> b;
    auto slow = b.subscribe("t", {.capacity = 1});
    auto slower = b.subscribe("*", {.capacity = 1});
    auto roomy = b.subscribe("t", {.capacity = 8, .policy = when_full::disconnect});
    outcome_of_three outcome;
    std::vector<int> one;
    std::vector<int> two;
    wait_group readers;
    readers.go(receive_some, ctx, std::ref(slow), std::ref(one));
    readers.go(receive_some, background(), std::ref(slower), std::ref(two));
    co_await three_times(ctx, b, outcome);
    b.close();
    co_await readers.wait();

    // Each publish is counted, and none got through by half without saying so.
    EXPECT(outcome.complete + outcome.incomplete == 3);
    const auto a = slow.counters();
    const auto c = slower.counters();
    const auto d = roomy.counters();
    EXPECT(a.delivered == one.size());
    EXPECT(c.delivered == two.size());
    EXPECT(c.queued == 0);
    EXPECT(d.dropped == 0);
    const auto sum = [](const subscription_counters& s) {
        return s.delivered + s.dropped + s.queued;
    };
    EXPECT(sum(a) == sum(c));
    EXPECT(sum(a) == sum(d));
    const auto complete = static_cast<std::uint64_t>(outcome.complete);
    EXPECT(a.delivered + a.queued >= complete);
    EXPECT(c.delivered >= complete);
    EXPECT(d.queued >= complete);
    // One that failed before it began is in no queue; one that failed later is missing somewhere.
    EXPECT(a.dropped + c.dropped >= sum(a) - complete);
}

}  // namespace

TEST_CASE("broker: cancelled at any step it loses nothing that it said was delivered") {
    simulated_cancelled(cancelled_anywhere, 50);
}

TEST_CASE("broker: recv that loses a race, or is bounded, takes nothing") {
    simulated(
        []() -> task<> {
            broker<int> b;
            const auto sub = b.subscribe("t");
            const auto other = b.subscribe("u");
            const auto nothing = co_await within(1s, sub.recv());
            EXPECT(!nothing && nothing.error() == errc::deadline_exceeded);
            co_await publish_to(1, b, "t", 1);
            co_await publish_to(1, b, "u", 2);
            const auto got = co_await select(sub.recv(), other.recv(), sleep_for(0s));
            std::size_t left = 2;
            if (const auto* one = std::get_if<0>(&got)) {
                EXPECT((*one)->value == 1);
                --left;
            }
            if (const auto* two = std::get_if<1>(&got)) {
                EXPECT((*two)->value == 2);
                --left;
            }
            EXPECT(sub.counters().queued + other.counters().queued == left);
        },
        100);
}

TEST_CASE("broker: a parked select that loses leaves nothing behind") {
    simulated(
        []() -> task<> {
            broker<int> b;
            const auto sub = b.subscribe("t");
            const auto other = b.subscribe("u");
            auto racing = spawn(
                [](const subscription<int>& x, const subscription<int>& y) -> task<int> {
                    const auto got = co_await select(x.recv(), y.recv());
                    co_return got.index() == 0 ? std::get<0>(got)->value : std::get<1>(got)->value;
                },
                std::ref(sub), std::ref(other));
            co_await sleep_for(1s);
            wait_group both;
            for (const char* topic : {"t", "u"}) {
                both.go(
                    [](broker<int>& to, std::string name) -> task<> {
                        co_await publish_to(1, to, name, name == "t" ? 1 : 2);
                    },
                    std::ref(b), std::string(topic));
            }
            co_await both.wait();
            const int winner = co_await racing.join();
            EXPECT(sub.counters().queued == (winner == 1 ? 0u : 1u));
            EXPECT(other.counters().queued == (winner == 2 ? 0u : 1u));
        },
        200);
}

TEST_CASE("broker: every order of a publish, a receive and an unsubscribe") {
    run_and_report([] {
        CHECK(explore_all({.preemptions = 2}, []() -> task<> {
                  broker<int> b;
                  const auto sub = b.subscribe("t", {.capacity = 1});
                  const auto queued = co_await b.publish(background(), "t", 0);
                  EXPECT(queued == 1u);
                  auto publisher = spawn(
                      [](broker<int>& to) -> task<std::size_t> {
                          const auto taken = co_await to.publish(background(), "t", 1);
                          co_return taken.value_or(0);
                      },
                      std::ref(b));
                  auto receiver = spawn(
                      [](const subscription<int>& from) -> task<bool> {
                          const auto m = co_await from.recv();
                          co_return m != nullptr;
                      },
                      std::ref(sub));
                  sub.unsubscribe();
                  const std::size_t taken = co_await publisher.join();
                  const bool received = co_await receiver.join();
                  const auto c = sub.counters();
                  EXPECT(c.queued == 0);
                  EXPECT(c.delivered == (received ? 1u : 0u));
                  EXPECT(c.delivered + c.dropped >= 1 + taken);
              }) > 1);
    });
}
