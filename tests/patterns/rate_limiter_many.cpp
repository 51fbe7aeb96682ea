// Many tasks at one rate_limiter.
#include <sluice/patterns/rate_limiter.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include <sluice/runtime/random.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

task<> take_turns(rate_limiter* limiter, context ctx, std::int64_t n, std::int64_t* taken) {
    for (;;) {
        const result<> waited = co_await limiter->wait(ctx, n);
        if (!waited) co_return;
        *taken += n;
    }
}

}  // namespace

TEST_CASE("rate_limiter: many who wait get exactly rate times time, plus the burst") {
    simulated(
        []() -> task<> {
            const auto start = now();
            rate_limiter limiter(rate(997, 3s), 40);
            auto [ctx, cancel] = with_timeout(background(), 1h);
            std::vector<std::int64_t> taken(10, 0);
            wait_group all;
            for (auto& mine : taken) all.go(take_turns, &limiter, ctx, 1, &mine);
            co_await all.wait();
            const std::int64_t sum = std::accumulate(taken.begin(), taken.end(), std::int64_t{0});
            // The event at the last instant is behind the deadline.
            EXPECT(sum == 997 * 1'200 + 40 - 1);
            for (const std::int64_t mine : taken) EXPECT(mine >= sum / 10 - 40);
            EXPECT(now() - start <= 1h);
        },
        2);
}

namespace {

struct event {
    std::int64_t time;
    std::int64_t n;
};

// As many as in any stretch of time may happen.
void expect_within_rate(const std::vector<event>& events, std::int64_t per_second,
                        std::int64_t burst) {
    for (std::size_t first = 0; first < events.size(); ++first) {
        std::int64_t count = 0;
        for (std::size_t last = first; last < events.size(); ++last) {
            count += events[last].n;
            const std::int64_t length = events[last].time - events[first].time;
            EXPECT(count <= burst + length * per_second / 1'000'000'000);
        }
    }
}

task<> impatient(rate_limiter* limiter, std::vector<event>* events) {
    for (int i = 0; i < 8; ++i) {
        const auto n = static_cast<std::int64_t>(random_bits() % 5);
        const auto patience = std::chrono::milliseconds(random_bits() % 400);
        const result<> got = co_await within(patience, limiter->wait(background(), n));
        if (got) events->push_back({now().time_since_epoch().count(), n});
        if (random_bits() % 4 == 0) co_await sleep_for(patience);
    }
}

}  // namespace

TEST_CASE("rate_limiter: no stretch of time has more than its share, whoever gives up") {
    simulated(
        []() -> task<> {
            rate_limiter limiter(rate(20), 4);
            std::vector<event> events;
            wait_group all;
            for (int i = 0; i < 6; ++i) all.go(impatient, &limiter, &events);
            co_await all.wait();
            EXPECT(!events.empty());
            expect_within_rate(events, 20, 4);
            co_await sleep_for(1s);
            EXPECT(limiter.tokens() == 4);  // nothing is owed any more
        },
        1'000);
}

TEST_CASE("rate_limiter: a thousand waiters that are cancelled together leave nothing owed") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 1);
        EXPECT(limiter.allow());
        auto [ctx, cancel] = with_cancel(background());
        std::vector<std::int64_t> taken(1'000, 0);
        wait_group all;
        for (auto& mine : taken) all.go(take_turns, &limiter, ctx, 1, &mine);
        co_await sleep_for(500ms);
        EXPECT(limiter.tokens() < -990);
        cancel();
        co_await all.wait();
        EXPECT(limiter.tokens() == 0);
        EXPECT(limiter.reserve().delay() == 500ms);
    });
}

namespace {

// While others wait; in the end it has the rate and the burst that it had before.
task<> change_often(rate_limiter* limiter, rate usual, std::int64_t burst,
                    std::chrono::nanoseconds pause) {
    for (int i = 0; i < 5; ++i) {
        limiter->set_rate(rate(usual.events() / 2, usual.period()));
        limiter->set_burst(burst / 2);
        co_await sleep_for(pause);
        limiter->set_rate(usual);
        limiter->set_burst(burst);
        co_await sleep_for(pause);
    }
}

// The main program: some shed, some wait, some are cancelled, one changes the rate and the burst;
// every token is accounted for.
task<> crowd() {
    const auto start = now();
    rate_limiter limiter(rate(100'000), 10);
    auto [ctx, cancel] = with_timeout(background(), 2ms);
    std::vector<std::int64_t> taken(4, 0);
    std::int64_t taken_by_shedder = 0;
    wait_group all;
    for (auto& mine : taken) all.go(take_turns, &limiter, ctx, 1, &mine);
    all.go(
        [](rate_limiter* l, std::int64_t* mine) -> task<> {
            for (int i = 0; i < 50; ++i) {
                *mine += l->allow();
                auto lost = co_await select(l->wait(background()), sleep_for(0s));
                *mine += lost.index() == 0;
                co_await yield();
            }
        },
        &limiter, &taken_by_shedder);
    all.go(change_often, &limiter, rate(100'000), 10, 70us);
    co_await all.wait();
    const std::int64_t sum = std::accumulate(taken.begin(), taken.end(), taken_by_shedder);
    EXPECT(sum >= 10);
    EXPECT(sum <= 10 + (now() - start) / 10us);
    co_await sleep_for(200us);
    EXPECT(limiter.tokens() == 10);  // nothing is owed
}

}  // namespace

TEST_CASE("rate_limiter: tasks that shed, wait and give up share one, in a thousand orders") {
    simulated(crowd, 1'000);
}

TEST_CASE("rate_limiter: tasks that shed, wait and give up share one on real workers") {
    on_real_workers(crowd);
}

namespace {

// Waiters of three sizes until ctx ends, or almost half a second. Gives what they have taken.
task<std::int64_t> take_by_one_two_three(context ctx, rate_limiter* limiter, bool changing) {
    auto [limited, cancel] = with_timeout(ctx, 450ms);
    std::array<std::int64_t, 3> taken{};
    wait_group all;
    for (std::size_t i = 0; i < taken.size(); ++i)
        all.go(take_turns, limiter, limited, static_cast<std::int64_t>(i + 1), &taken[i]);
    if (changing) all.go(change_often, limiter, rate(20), 6, 30ms);
    co_await all.wait();
    co_return std::accumulate(taken.begin(), taken.end(), std::int64_t{0});
}

}  // namespace

TEST_CASE("rate_limiter: waits of several sizes, cancelled at any step, leave it as without them") {
    simulated_cancelled([](context ctx) -> task<> {
        const auto start = now();
        rate_limiter limiter(rate(20), 6);
        const std::int64_t taken = co_await take_by_one_two_three(ctx, &limiter, false);
        co_await sleep_for(25ms);
        // All that has come in and was not used is there.
        const std::int64_t came_in = (now() - start) / 50ms;
        EXPECT(limiter.tokens() == std::min<std::int64_t>(6, 6 + came_in - taken));
    });
}

TEST_CASE("rate_limiter: waits cancelled while the rate and the burst change leave nothing owed") {
    simulated_cancelled([](context ctx) -> task<> {
        const auto start = now();
        rate_limiter limiter(rate(20), 6);
        const std::int64_t taken = co_await take_by_one_two_three(ctx, &limiter, true);
        EXPECT(taken <= 6 + (now() - start) / 50ms);
        co_await sleep_for(1s);
        EXPECT(limiter.tokens() == 6);
    });
}
