#include <sluice/runtime/sync/semaphore.hpp>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::semaphore;
using sluice::task;

namespace {

bool free_permits(semaphore& s, std::int64_t n) {
    return s.try_acquire(n).held() && !s.try_acquire(n + 1).held();
}

/// Acquires n, notes `name`, and holds the permit until it has noted.
task<> taker(semaphore* s, std::int64_t n, std::vector<int>* order, int name) {
    const auto held = co_await s->acquire(n);
    order->push_back(name);
    co_await sluice::yield();
}

/// Whether acquiring n succeeded before ctx ended.
task<bool> bounded_taker(semaphore* s, std::int64_t n, sluice::context ctx) {
    const auto held = co_await sluice::within(ctx, s->acquire(n));
    co_return held.has_value();
}

}  // namespace

TEST_CASE("semaphore: never more permits are held than there are, under stress") {
    on_workers([]() -> task<> {
        semaphore s(5);
        std::atomic<std::int64_t> taken{0};
        sluice::wait_group group;
        for (int i = 0; i != 40; ++i) {
            group.go([&s, &taken, i]() -> task<> {
                for (int k = 0; k != 200; ++k) {
                    const std::int64_t n = (i + k) % 6;
                    const auto held = co_await s.acquire(n);
                    EXPECT((taken += n) <= 5);
                    if (k % 8 == 0) co_await sluice::yield();
                    taken -= n;
                }
            });
        }
        co_await group.wait();
        EXPECT(free_permits(s, 5));
    });
}

TEST_CASE("semaphore: letting the permit go gives back, once") {
    on_workers([]() -> task<> {
        semaphore s(3);
        {
            auto held = co_await s.acquire(2);
            EXPECT(held.held());
            EXPECT(held.count() == 2);
            EXPECT(free_permits(s, 1));
            auto moved = std::move(held);
            EXPECT(!held.held());
            EXPECT(free_permits(s, 1));
            moved.release();
            moved.release();
            EXPECT(free_permits(s, 3));
        }
        EXPECT(free_permits(s, 3));
        EXPECT(s.size() == 3);
    });
}

TEST_CASE("semaphore: waiters are served in the order in which they came, large or small") {
    run_on(1, []() -> task<> {
        semaphore s(4);
        std::vector<int> order;
        sluice::wait_group group;
        auto held = co_await s.acquire(4);
        for (int i = 0; i != 12; ++i) {
            group.go(taker, &s, i % 2 == 0 ? 3 : 2, &order, i);
            co_await sluice::yield();
        }
        held.release();
        co_await group.wait();
        bool sorted = order.size() == 12;
        for (std::size_t i = 0; i != order.size(); ++i)
            sorted = sorted && order[i] == static_cast<int>(i);
        EXPECT(sorted);
    });
}

TEST_CASE(
    "semaphore: a large request is not overtaken, by acquire or by try_acquire, and so never "
    "starves") {
    run_on(1, []() -> task<> {
        semaphore s(3);
        std::vector<int> order;
        sluice::wait_group group;
        auto one = co_await s.acquire(1);
        auto other = co_await s.acquire(1);
        group.go(taker, &s, 3, &order, 0);
        co_await sluice::yield();
        group.go(taker, &s, 1, &order, 1);
        co_await sluice::yield();
        EXPECT(order.empty());
        EXPECT(!s.try_acquire(1).held());  // one is free, but somebody waits
        one.release();
        co_await sluice::yield();
        EXPECT(order.empty());  // two are free, which are kept for the large one
        other.release();
        co_await group.wait();
        EXPECT(order.size() == 2);
        EXPECT(order.front() == 0);
    });
}

TEST_CASE("semaphore: a large request gets through a stream of small ones") {
    on_workers([]() -> task<> {
        semaphore s(4);
        std::atomic<bool> stop{false};
        sluice::wait_group group;
        for (int i = 0; i != 6; ++i) {
            group.go([&s, &stop]() -> task<> {
                while (!stop) {
                    const auto held = co_await s.acquire(1);
                    co_await sluice::yield();
                }
            });
        }
        for (int i = 0; i != 50; ++i) {
            const auto held = co_await s.acquire(4);
            EXPECT(held.held());
        }
        stop = true;
        co_await group.wait();
    });
}

TEST_CASE("semaphore: a cancelled front waiter wakes the next ones that fit") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 50; ++round) {
            semaphore s(3);
            auto [ctx, cancel] = sluice::with_cancel(sluice::background());
            auto one = co_await s.acquire(1);
            auto large = sluice::spawn(bounded_taker, &s, 3, ctx);
            while (s.try_acquire(1).held()) co_await sluice::yield();  // until it stands in line
            auto small = sluice::spawn(bounded_taker, &s, 1, sluice::background());
            auto next = sluice::spawn(bounded_taker, &s, 1, sluice::background());
            co_await sluice::yield();
            cancel();
            const bool got_large = co_await large.join();
            const bool got_small = co_await small.join();
            const bool got_next = co_await next.join();
            EXPECT(!got_large);
            EXPECT(got_small);
            EXPECT(got_next);
            one.release();
            EXPECT(free_permits(s, 3));
        }
    });
}

TEST_CASE("semaphore: an acquire that loses a race holds nothing") {
    on_workers([]() -> task<> {
        semaphore s(2);
        semaphore free(2);
        auto held = co_await s.acquire(1);
        for (int i = 0; i != 100; ++i) {
            const auto timed = co_await sluice::within(0s, s.acquire(2));
            EXPECT(!timed);
            const auto raced = co_await select(s.acquire(2), sluice::sleep_for(1us));
            EXPECT(raced.index() == 1);
            {
                const auto both = co_await select(s.acquire(1), free.acquire(2));
                EXPECT(s.try_acquire(1).held() == (both.index() == 1));
                EXPECT(free.try_acquire(1).held() == (both.index() == 0));
            }
        }
        EXPECT(free_permits(s, 1));
        EXPECT(free_permits(free, 2));
    });
}

TEST_CASE("semaphore: cancels that race with grants lose no permit") {
    on_workers([]() -> task<> {
        semaphore s(3);
        sluice::wait_group group;
        for (int i = 0; i != 20; ++i) {
            group.go([&s, i]() -> task<> {
                for (int k = 0; k != 100; ++k) {
                    const auto time = std::chrono::microseconds((i * k) % 30);
                    const auto held = co_await sluice::within(time, s.acquire(1 + (i + k) % 3));
                    if (held) co_await sluice::yield();
                }
            });
        }
        co_await group.wait();
        EXPECT(free_permits(s, 3));
    });
}

TEST_CASE("semaphore: a request for more than the size waits for its context and holds up nobody") {
    on_workers([]() -> task<> {
        semaphore s(2);
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        auto huge = sluice::spawn(bounded_taker, &s, 3, ctx);
        co_await sluice::yield();
        {
            const auto held = co_await s.acquire(2);
            EXPECT(held.held());
        }
        EXPECT(!s.try_acquire(3).held());
        cancel();
        const bool got = co_await huge.join();
        EXPECT(!got);
        EXPECT(free_permits(s, 2));
    });
}

TEST_CASE("semaphore: a context that has ended fails the acquire, permits free or not") {
    on_workers([]() -> task<> {
        semaphore s(1);
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        cancel();
        const auto held = co_await sluice::within(ctx, s.acquire(1));
        EXPECT(!held);
        EXPECT(free_permits(s, 1));
    });
}

TEST_CASE(
    "semaphore: negative sizes and requests are errors; requests for none are granted at once") {
    CHECK_THROWS_AS(semaphore(-1), std::logic_error);
    semaphore s(1);
    CHECK_THROWS_AS(s.try_acquire(-1), std::logic_error);
    CHECK_THROWS_AS(static_cast<void>(s.acquire(-1)), std::logic_error);
    semaphore none(0);
    CHECK(none.try_acquire(0).held());
    run_on(1, [&none]() -> task<> {
        const auto held = co_await none.acquire(0);
        EXPECT(held.held());
    });
}

TEST_CASE("semaphore: in any order, cancelled anywhere, never too many are held and none is lost") {
    const auto share = [](sluice::context ctx) -> task<> {
        semaphore s(3);
        std::int64_t taken = 0;
        sluice::wait_group group;
        for (std::int64_t n = 1; n != 4; ++n) {
            group.go([&s, &taken, ctx, n]() -> task<> {
                const auto held = co_await sluice::within(ctx, s.acquire(n));
                if (!held) co_return;
                EXPECT((taken += n) <= 3);
                co_await sluice::yield();
                taken -= n;
            });
        }
        co_await group.wait();
        EXPECT(free_permits(s, 3));
    };
    simulated([share]() -> task<> { co_await share(sluice::background()); }, 1'000);
    simulated_cancelled(share);
}
