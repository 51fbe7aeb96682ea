#include <sluice/patterns/rate_limiter.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;

namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

bool is(const result<>& r, std::error_code e) {
    return !r && r.error() == e;
}

nanoseconds since(std::chrono::steady_clock::time_point start) {
    return now() - start;
}

}  // namespace

TEST_CASE("rate_limiter 6.1: the bucket starts full, with the burst") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 3);
        EXPECT(limiter.tokens() == 3);
        for (int i = 0; i < 3; ++i) EXPECT(limiter.allow());
        EXPECT(!limiter.allow());
        co_await sleep_for(1h);
        EXPECT(limiter.tokens() == 3);  // and is never fuller
    });
}

TEST_CASE("rate_limiter 6.2: an infinite rate ignores the burst") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate::infinite(), 0);
        EXPECT(limiter.allow());
        EXPECT(limiter.allow(largest));
        auto reserved = limiter.reserve(1'000);
        EXPECT(reserved.ok());
        EXPECT(reserved.delay() == 0ns);
        reserved.cancel();
        const auto start = now();
        const result<> waited = co_await limiter.wait(background(), largest);
        EXPECT(waited);
        EXPECT(since(start) == 0ns);
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        const result<> cancelled = co_await limiter.wait(ctx);
        EXPECT(is(cancelled, errc::canceled));
    });
}

TEST_CASE("rate_limiter 6.3: a burst of zero rejects, a rate of zero spends the first burst only") {
    simulated([]() -> task<> {
        rate_limiter nothing(rate(1'000), 0);
        co_await sleep_for(1h);
        EXPECT(!nothing.allow());
        EXPECT(!nothing.reserve().ok());
        const result<> over = co_await nothing.wait(background());
        EXPECT(is(over, refusal::over_burst));
        EXPECT(nothing.allow(0));

        rate_limiter once(rate(0), 2);
        EXPECT(once.allow());
        const result<> second = co_await once.wait(background());
        EXPECT(second);
        co_await sleep_for(24h * 365 * 100);
        EXPECT(!once.allow());
        EXPECT(!once.reserve().ok());
        const result<> never = co_await once.wait(background());
        EXPECT(is(never, refusal::deadline_too_short));
    });
}

TEST_CASE("rate_limiter 6.4: allow never waits, and refuses what is not there now") {
    simulated([]() -> task<> {
        const auto start = now();
        rate_limiter limiter(rate(10), 5);
        EXPECT(limiter.allow(5));
        EXPECT(!limiter.allow());
        EXPECT(since(start) == 0ns);
        co_await sleep_for(100ms - 1ns);
        EXPECT(!limiter.allow());
        co_await sleep_for(1ns);
        EXPECT(limiter.allow());
        EXPECT(!limiter.allow());
    });
}

TEST_CASE("rate_limiter 6.4: a reservation is good if and only if it is within the burst") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(10), 5);
        EXPECT(limiter.reserve(5).ok());
        EXPECT(limiter.reserve(5).ok());
        auto over = limiter.reserve(6);
        EXPECT(!over.ok());
        EXPECT(over.delay() == nanoseconds::max());
        over.cancel();  // does nothing
        EXPECT(limiter.tokens() == -5);
        co_return;
    });
}

TEST_CASE("rate_limiter 6.4: what fails changes nothing") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(10), 5);
        EXPECT(limiter.allow(3));
        EXPECT(!limiter.allow(3));
        EXPECT(!limiter.reserve(6).ok());
        auto [ctx, cancel] = with_timeout(background(), 50ms);
        const result<> late = co_await limiter.wait(ctx, 3);
        EXPECT(is(late, refusal::deadline_too_short));
        const result<> over = co_await limiter.wait(ctx, 6);
        EXPECT(is(over, refusal::over_burst));
        EXPECT(limiter.tokens() == 2);
        EXPECT(limiter.allow(2));
    });
}

TEST_CASE("rate_limiter 6.5: tokens go negative, which queues the future") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(10), 5);
        EXPECT(limiter.reserve(5).delay() == 0ns);
        EXPECT(limiter.reserve(1).delay() == 100ms);
        EXPECT(limiter.reserve(5).delay() == 600ms);
        EXPECT(limiter.reserve(0).delay() == 600ms);
        EXPECT(limiter.tokens() == -6);
        EXPECT(!limiter.allow(0));
        auto last = limiter.reserve(4);
        EXPECT(last.delay() == 1s);
        co_await sleep_for(400ms);
        EXPECT(last.delay() == 600ms);
        co_await sleep_for(600ms);
        EXPECT(last.delay() == 0ns);
        EXPECT(limiter.tokens() == 0);
        co_await sleep_for(1h);
        EXPECT(last.delay() == 0ns);
        EXPECT(last.ok());
    });
}

TEST_CASE("rate_limiter 6.6: first more than the burst, then an ended context, then its deadline") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 2);
        EXPECT(limiter.allow(2));
        const auto start = now();
        auto [ended, end] = with_timeout(background(), 0s);
        const result<> over = co_await limiter.wait(ended, 3);
        EXPECT(is(over, refusal::over_burst));
        const result<> expired = co_await limiter.wait(ended);
        EXPECT(is(expired, errc::deadline_exceeded));
        auto [soon, stop] = with_timeout(background(), 999ms);
        const result<> late = co_await limiter.wait(soon);
        EXPECT(is(late, refusal::deadline_too_short));
        EXPECT(since(start) == 0ns);  // none of them has waited
        stop();
        const result<> cancelled = co_await limiter.wait(soon);
        EXPECT(is(cancelled, errc::canceled));
        EXPECT(limiter.tokens() == 0);
        co_await sleep_for(1s);
        const result<> still = co_await limiter.wait(soon);  // a token is there, and stays
        EXPECT(is(still, errc::canceled));
        EXPECT(limiter.tokens() == 1);
    });
}

TEST_CASE("rate_limiter 6.6: a turn at the deadline is too late, one before it is not") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 1);
        EXPECT(limiter.allow());
        auto [at, stop_at] = with_timeout(background(), 1s);
        const result<> late = co_await limiter.wait(at);
        EXPECT(is(late, refusal::deadline_too_short));
        auto [after, stop_after] = with_timeout(background(), 1s + 1ns);
        const auto start = now();
        const result<> waited = co_await limiter.wait(after);
        EXPECT(waited);
        EXPECT(since(start) == 1s);
    });
}

TEST_CASE("rate_limiter 6.6: a wait that is cancelled returns its reservation") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 2);
        EXPECT(limiter.allow(2));
        auto [ctx, cancel] = with_cancel(background());
        const auto start = now();
        go(
            [](cancel_function c) -> task<> {
                co_await sleep_for(500ms);
                c();
            },
            std::move(cancel));
        const result<> waited = co_await limiter.wait(ctx, 2);
        EXPECT(is(waited, errc::canceled));
        EXPECT(since(start) == 500ms);
        EXPECT(limiter.reserve().delay() == 500ms);
    });
}

TEST_CASE("rate_limiter: a wait that loses a race, or is let go, returns its reservation") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 1);
        EXPECT(limiter.allow());
        for (int i = 0; i < 100; ++i) {
            auto got = co_await select(limiter.wait(background()), sleep_for(1ms));
            EXPECT(got.index() == 1);
            const result<> bounded = co_await within(1ms, limiter.wait(background()));
            EXPECT(is(bounded, errc::deadline_exceeded));
            auto never_awaited = limiter.wait(background());
            auto moved = std::move(never_awaited);
        }
        EXPECT(limiter.tokens() == 0);
        EXPECT(limiter.reserve().delay() == 800ms);
    });
}

TEST_CASE("rate_limiter: a wait that loses though its turn had come returns its reservation") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 1);
        auto full = make_chan<int>(1);
        EXPECT(full.try_send(1));
        std::int64_t used = 0;
        for (int i = 0; i < 50 && used == 0; ++i) {
            auto got = co_await select(limiter.wait(background()), full.recv());
            if (got.index() == 0) {
                ++used;
            } else {
                EXPECT(full.try_send(1));
            }
            EXPECT(limiter.tokens() == 1 - used);
        }
        // The same when both come at the same time later.
        EXPECT(limiter.allow() == (used == 0));
        auto got = co_await select(limiter.wait(background()), sleep_for(1s));
        EXPECT(limiter.tokens() == (got.index() == 0 ? 0 : 1));
    });
}

TEST_CASE(
    "rate_limiter 6.7: a cancelled reservation gives back its tokens, once, up to the burst") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 5);
        auto three = limiter.reserve(3);
        EXPECT(limiter.tokens() == 2);
        three.cancel();
        EXPECT(limiter.tokens() == 5);
        three.cancel();
        EXPECT(!three.ok());
        EXPECT(limiter.tokens() == 5);

        EXPECT(limiter.allow(5));
        auto future = limiter.reserve(5);
        co_await sleep_for(2s);
        EXPECT(limiter.tokens() == -3);
        future.cancel();
        EXPECT(limiter.tokens() == 2);
        limiter.set_burst(1);
        EXPECT(limiter.tokens() == 1);
        auto one = limiter.reserve();
        auto moved = std::move(one);
        one.cancel();  // moved from
        EXPECT(limiter.tokens() == 0);
        moved.cancel();
        EXPECT(limiter.tokens() == 1);
    });
}

TEST_CASE("rate_limiter 6.7: what was reserved behind it is not given back, and keeps its time") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 10);
        EXPECT(limiter.allow(10));
        auto first = limiter.reserve(5);
        auto second = limiter.reserve(2);
        EXPECT(second.delay() == 7s);
        first.cancel();
        EXPECT(limiter.tokens() == -4);
        EXPECT(second.delay() == 7s);
        auto third = limiter.reserve(9);  // more than what it would give back
        EXPECT(limiter.tokens() == -13);
        second.cancel();
        EXPECT(limiter.tokens() == -13);
        third.cancel();  // nobody is left behind: now the others' tokens are free too
        EXPECT(limiter.tokens() == 0);
        co_return;
    });
}

TEST_CASE("rate_limiter 6.7: reservations cancelled in any order leave nothing behind") {
    simulated(
        []() -> task<> {
            rate_limiter limiter(rate(1'000), 7);
            std::vector<reservation> all;
            for (int i = 0; i < 60; ++i)
                all.push_back(limiter.reserve(static_cast<std::int64_t>(random_bits() % 8)));
            while (!all.empty()) {
                std::swap(all[random_bits() % all.size()], all.back());
                all.back().cancel();
                all.pop_back();
            }
            EXPECT(limiter.tokens() == 7);
            co_return;
        },
        200);
}

TEST_CASE("rate_limiter 6.7: one cancelled before its time counts when others behind it go later") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(10), 100);
        EXPECT(limiter.allow(100));
        auto first = limiter.reserve(100);   // in 10 s
        auto second = limiter.reserve(100);  // in 20 s
        auto third = limiter.reserve(1);
        co_await sleep_for(9'900ms);
        first.cancel();
        co_await sleep_for(150ms);
        second.cancel();
        co_await sleep_for(10ms);
        third.cancel();
        EXPECT(limiter.tokens() == 100);
    });
}

TEST_CASE("rate_limiter 6.7: after its time it gives back what has not come in again since") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 2);
        auto now_due = limiter.reserve(2);
        co_await sleep_for(500ms);
        EXPECT(limiter.tokens() == 0);
        now_due.cancel();  // half a token is there, 1.5 come back
        EXPECT(limiter.allow(2));
        EXPECT(limiter.reserve().delay() == 1s);

        rate_limiter other(rate(1), 2);
        auto long_due = other.reserve(2);
        co_await sleep_for(2s);
        EXPECT(other.allow(2));
        long_due.cancel();
        EXPECT(other.tokens() == 0);
    });
}

TEST_CASE("rate_limiter 6.8: a new rate counts from now on, what came in before stays") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(10), 100);
        EXPECT(limiter.allow(100));
        co_await sleep_for(1s);
        limiter.set_rate(rate(1));
        EXPECT(limiter.tokens() == 10);
        co_await sleep_for(1s);
        EXPECT(limiter.tokens() == 11);
        limiter.set_rate(rate(0));
        co_await sleep_for(1h);
        EXPECT(limiter.tokens() == 11);
        limiter.set_rate(rate::infinite());
        EXPECT(limiter.allow(1'000));
        limiter.set_rate(rate(1));
        EXPECT(limiter.tokens() == 100);
    });
}

TEST_CASE("rate_limiter 6.8: half a token is still half a token under another rate") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 5);
        EXPECT(limiter.allow(5));
        co_await sleep_for(500ms);
        limiter.set_rate(rate(1, 10s));
        EXPECT(limiter.reserve().delay() == 5s);
    });
}

TEST_CASE("rate_limiter 6.8: a new burst takes away what is beyond it, and adds nothing at once") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 10);
        limiter.set_burst(4);
        EXPECT(limiter.tokens() == 4);
        limiter.set_burst(8);
        EXPECT(limiter.tokens() == 4);
        co_await sleep_for(10s);
        EXPECT(limiter.tokens() == 8);
        EXPECT(limiter.allow(8));
        co_await sleep_for(3s);
        limiter.set_burst(2);  // first what came in, then the new burst
        EXPECT(limiter.tokens() == 2);
        EXPECT(!limiter.reserve(3).ok());
    });
}

TEST_CASE("rate_limiter 6.8: who waits keeps his time when the rate or the burst changes") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 3);
        EXPECT(limiter.allow(3));
        const auto start = now();
        wait_group all;
        for (int i = 1; i <= 2; ++i)
            all.go(
                [](rate_limiter* l, std::chrono::steady_clock::time_point s) -> task<> {
                    const result<> waited = co_await l->wait(background(), 3);
                    EXPECT(waited);
                    EXPECT(since(s) == 3s || since(s) == 6s);
                },
                &limiter, start);
        co_await sleep_for(1s);
        limiter.set_rate(rate(1'000));
        limiter.set_burst(1);
        co_await all.wait();
        EXPECT(since(start) == 6s);
    });
}

TEST_CASE("rate_limiter 6.8: a debt that a new rate has paid is not given back once more") {
    simulated([]() -> task<> {
        const std::array rates{rate::infinite(), rate(1'000)};
        for (const rate& between : rates) {
            rate_limiter limiter(rate(1), 10);
            EXPECT(limiter.allow(10));
            auto unused = limiter.reserve(10);
            limiter.set_rate(between);
            co_await sleep_for(1s);
            limiter.set_rate(rate(1));
            EXPECT(limiter.allow(10));
            unused.cancel();
            EXPECT(limiter.tokens() == 0);
        }
    });
}

TEST_CASE("rate_limiter 6.8: a debt that a new rate has not paid yet is given back") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(10), 10);
        EXPECT(limiter.allow(10));
        auto first = limiter.reserve(10);
        auto second = limiter.reserve(10);
        limiter.set_rate(rate(1));
        co_await sleep_for(3s);  // by now both should have happened
        first.cancel();
        EXPECT(limiter.tokens() == -17);
        second.cancel();
        EXPECT(limiter.tokens() == 3);
    });
}

TEST_CASE("rate_limiter: misuse is refused at once") {
    simulated([]() -> task<> {
        rate_limiter limiter(rate(1), 1);
        int refused = 0;
        try {
            rate_limiter wrong(rate(1), -1);
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        try {
            limiter.allow(-1);
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        try {
            static_cast<void>(limiter.reserve(-1));
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        try {
            static_cast<void>(limiter.wait(background(), -1));
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        try {
            limiter.set_burst(-1);
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        EXPECT(refused == 5);
        EXPECT(limiter.tokens() == 1);
        co_return;
    });
}

TEST_CASE("rate_limiter: a slow rate and a far time are no trouble") {
    simulated([]() -> task<> {
        rate_limiter yearly(rate(1, 24h * 365), 100);
        EXPECT(yearly.allow(100));
        EXPECT(yearly.reserve(100).ok());
        EXPECT(yearly.reserve(100).ok());
        EXPECT(!yearly.reserve(100).ok());  // 300 years: no time that can be told
        EXPECT(yearly.tokens() == -200);
        const auto start = now();
        const result<> waited = co_await yearly.wait(background());
        EXPECT(waited);
        EXPECT(since(start) == 24h * 365 * 201);
        rate_limiter fast(rate(largest, 1ns), largest);
        EXPECT(fast.allow(largest));
        co_await sleep_for(1ns);
        EXPECT(fast.tokens() == largest);
    });
}

TEST_CASE("rate_limiter: a wait cancelled at any step leaves the bucket as it was without it") {
    simulated_cancelled([](context ctx) -> task<> {
        rate_limiter limiter(rate(10), 2);
        std::int64_t used = 0;
        const auto start = now();
        for (int i = 0; i < 6; ++i) {
            const result<> turn = co_await limiter.wait(ctx);
            EXPECT(turn || turn.error() == errc::canceled);
            used += turn.has_value();
        }
        co_await sleep_for(50ms);
        // All that has come in and was not used is there.
        const std::int64_t came_in = since(start) / 100ms;
        EXPECT(limiter.tokens() == std::min<std::int64_t>(2, 2 + came_in - used));
    });
}
