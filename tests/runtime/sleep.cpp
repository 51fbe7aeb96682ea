#include <sluice/runtime/sleep.hpp>

#include <atomic>
#include <chrono>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;
using steady = std::chrono::steady_clock;

TEST_CASE("yield: every task that is ready on this worker runs first") {
    run_on(1, []() -> task<> {
        std::vector<int> order;
        for (int i = 0; i != 5; ++i) {
            sluice::go(
                [](std::vector<int>* o, int n) -> task<> {
                    o->push_back(n);
                    co_await sluice::yield();
                    o->push_back(n);
                },
                &order, i);
        }
        co_await sluice::yield();
        EXPECT(order.size() == 5);
        co_await sluice::yield();
        EXPECT(order.size() == 10);
        order.push_back(0);
    });
}

TEST_CASE("yield: tasks that only yield let each other, timers and new tasks run") {
    on_real_workers([]() -> task<> {
        std::atomic<bool> stop{false};
        sluice::wait_group group;
        for (int i = 0; i != 4; ++i) {
            group.go([&stop]() -> task<> {
                while (!stop) co_await sluice::yield();
            });
        }
        co_await sluice::sleep_for(1ms);
        stop = true;
        co_await group.wait();
    });
}

TEST_CASE("yield: a million times needs no more of the stack than once") {
    on_real_workers([]() -> task<> {
        for (int i = 0; i != 1'000'000; ++i) co_await sluice::yield();
    });
}

TEST_CASE("sleep_for: is never early") {
    on_real_workers([]() -> task<> {
        for (const auto d : std::vector<std::chrono::nanoseconds>(20, 200us)) {
            const auto before = steady::now();
            co_await sluice::sleep_for(d);
            EXPECT(steady::now() - before >= d);
        }
    });
}

TEST_CASE("sleep_for: counts from the call, not from the await") {
    sluice::simulate({}, []() -> task<> {
        const auto before = sluice::now();
        auto pause = sluice::sleep_for(5ms);
        co_await sluice::sleep_for(3ms);
        co_await std::move(pause);
        EXPECT(sluice::now() - before == 5ms);
        const auto got = co_await select(sluice::sleep_until(before + 5ms), sluice::otherwise);
        EXPECT(got.index() == 0);
    });
}

TEST_CASE("sleep_for: zero, negative and the most negative durations do not wait") {
    on_real_workers([]() -> task<> {
        std::vector<std::chrono::nanoseconds> none(1, 0ns);
        none.push_back(-1ns);
        none.push_back(std::chrono::nanoseconds::min());
        for (const auto d : none) {
            const auto got = co_await select(sluice::sleep_for(d), sluice::otherwise);
            EXPECT(got.index() == 0);
            co_await sluice::sleep_for(d);
        }
        co_await sluice::sleep_for(std::chrono::hours::min());
        co_await sluice::sleep_until(steady::time_point::min());
        co_await sluice::sleep_until(steady::now());
    });
}

TEST_CASE("sleep_for: durations beyond the clock's range saturate") {
    on_real_workers([]() -> task<> {
        const auto a = co_await sluice::within(1ms, sluice::sleep_for(std::chrono::hours::max()));
        const auto b =
            co_await sluice::within(1ms, sluice::sleep_for(std::chrono::nanoseconds::max()));
        const auto c = co_await sluice::within(
            1ms, sluice::sleep_for(std::chrono::microseconds(9223372036854776)));
        const auto d = co_await sluice::within(1ms, sluice::sleep_until(steady::time_point::max()));
        const auto e =
            co_await sluice::within(1ms, sluice::sleep_for(std::chrono::duration<double>(1e300)));
        EXPECT(!a);
        EXPECT(!b);
        EXPECT(!c);
        EXPECT(!d);
        EXPECT(!e);
        EXPECT(a.error() == sluice::errc::deadline_exceeded);
    });
}

TEST_CASE("sleep_until: a later sleeper does not wake before its time because of an earlier one") {
    on_real_workers([]() -> task<> {
        sluice::wait_group group;
        const auto start = steady::now();
        for (int i = 0; i != 100; ++i) {
            group.go(
                [](steady::time_point until) -> task<> {
                    co_await sluice::sleep_until(until);
                    EXPECT(steady::now() >= until);
                },
                start + i * 37 % 100 * 50us);
        }
        co_await group.wait();
    });
}

namespace {

task<> start_the_next(int left, sluice::chan<> end) {
    co_await sluice::sleep_for(0s);
    if (left == 0) {
        co_await end.send();
    } else {
        sluice::go(start_the_next, left - 1, end);
        co_await sluice::sleep_for(1s);
    }
}

}  // namespace

TEST_CASE("sleep_for: ten tasks that each start the next and then sleep hold up none of them") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        const auto end = sluice::make_chan<>();
        sluice::go(start_the_next, 10, end);
        static_cast<void>(co_await end.recv());
        EXPECT(sluice::now() == start);
    });
}

TEST_CASE("sleep_for: 10,000 sleepers all wake") {
    on_real_workers([]() -> task<> {
        std::atomic<int> woken{0};
        sluice::wait_group group;
        for (int i = 0; i != 10'000; ++i) {
            group.go(
                [](std::atomic<int>* w, int n) -> task<> {
                    co_await sluice::sleep_for(std::chrono::microseconds(n % 1000));
                    ++*w;
                },
                &woken, i);
        }
        co_await group.wait();
        EXPECT(woken == 10'000);
    });
}

TEST_CASE("sleep_for: one that loses a race leaves no timer behind") {
    for (const unsigned workers : {1u, 2u}) {
        const auto body = []() -> task<> {
            for (int i = 0; i != 100; ++i) {
                const auto got = co_await select(sluice::sleep_for(1h), sluice::sleep_for(1us));
                EXPECT(got.index() == 1);
            }
            co_await sluice::background().done();
        };
        CHECK_THROWS_AS(sluice::run(sluice::options{.workers = workers}, body), sluice::deadlock);
        report_expectations();
    }
}
