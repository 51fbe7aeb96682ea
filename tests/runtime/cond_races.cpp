// Waits of a cond in selects and bounded ones, in every order.
#include <sluice/runtime/sync/cond.hpp>

#include <chrono>
#include <cstddef>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::cond;
using sluice::mutex;
using sluice::task;

TEST_CASE("cond 4.2: a select whose winner has to try again is not woken without a signal") {
    simulated([]() -> task<> {
        mutex mu;
        mutex other;
        cond changed(mu);
        bool signalled = false;
        auto held = co_await other.lock();
        auto waiter = sluice::spawn([&]() -> task<std::size_t> {
            auto guard = co_await mu.lock();
            const auto won = co_await select(changed.wait(guard), other.lock());
            EXPECT(won.index() == 1 || signalled);
            co_return won.index();
        });
        co_await sluice::sleep_for(1ms);
        held.unlock();  // it wins by this, and is too late
        held = other.try_lock();
        co_await sluice::sleep_for(1ms);
        EXPECT(!waiter.done());
        signalled = true;
        changed.signal();
        const std::size_t how = co_await waiter.join();
        EXPECT(how == 0);
    });
}

TEST_CASE("cond 4.2: such a select misses no signal that comes while it has yet to lock again") {
    simulated([]() -> task<> {
        mutex mu;
        mutex other;
        cond changed(mu);
        auto held = co_await other.lock();
        auto waiter = sluice::spawn([&]() -> task<std::size_t> {
            auto guard = co_await mu.lock();
            const auto won = co_await select(changed.wait(guard), other.lock());
            co_return won.index();
        });
        co_await sluice::sleep_for(1ms);
        auto guard = co_await mu.lock();
        held.unlock();
        held = other.try_lock();
        co_await sluice::sleep_for(1ms);  // it has lost, and stands in line for mu
        changed.signal();
        guard.unlock();
        const std::size_t how = co_await waiter.join();
        EXPECT(how == 0);
    });
}

TEST_CASE("cond: in any order, cancelled anywhere, each item is taken once and the mutex is free") {
    const auto produce_and_consume = [](sluice::context ctx) -> task<> {
        mutex mu;
        cond changed(mu);
        int there = 0;
        int taken = 0;
        sluice::wait_group group;
        for (int i = 0; i != 3; ++i) {
            group.go([&, ctx]() -> task<> {
                auto guard = co_await mu.lock();
                const auto got =
                    co_await within(ctx, changed.wait(guard, [&there] { return there != 0; }));
                EXPECT(guard.owns_lock());
                if (!got) co_return;
                EXPECT(there-- > 0);
                ++taken;
            });
        }
        for (int i = 0; i != 3; ++i) {
            const auto guard = co_await mu.lock();
            ++there;
            changed.signal();
        }
        co_await group.wait();
        EXPECT(there + taken == 3);
        EXPECT(taken == 3 || ctx.err());
        EXPECT(mu.try_lock().owns_lock());
    };
    simulated(
        [produce_and_consume]() -> task<> { co_await produce_and_consume(sluice::background()); },
        1'000);
    simulated_cancelled(produce_and_consume);
}
