#include <sluice/runtime/sync/wait_group.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;
using sluice::wait_group;

TEST_CASE("wait_group: waits until the counter is zero, and not at all if it is") {
    on_workers([]() -> task<> {
        wait_group group;
        co_await group.wait();
        group.add(3);
        std::atomic<int> ended{0};
        for (int i = 0; i != 3; ++i) {
            sluice::go([&group, &ended]() -> task<> {
                co_await sluice::yield();
                ++ended;
                group.done();
            });
        }
        co_await group.wait();
        EXPECT(ended == 3);
    });
}

TEST_CASE("wait_group 4.3: what the tasks did before done is visible after wait") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 500; ++round) {
            wait_group group;
            int plain[4] = {};
            for (int& p : plain) {
                group.go(
                    [](int* to) -> task<> {
                        *to = 1;
                        co_return;
                    },
                    &p);
            }
            co_await group.wait();
            EXPECT(plain[0] + plain[1] + plain[2] + plain[3] == 4);
        }
    });
}

TEST_CASE("wait_group 4.4: any number of tasks may wait") {
    on_workers([]() -> task<> {
        wait_group work;
        wait_group waiters;
        std::atomic<int> woken{0};
        work.add(1);
        for (int i = 0; i != 200; ++i) {
            waiters.go([&work, &woken]() -> task<> {
                co_await work.wait();
                ++woken;
            });
        }
        co_await sluice::yield();
        EXPECT(woken == 0);
        work.done();
        co_await waiters.wait();
        EXPECT(woken == 200);
    });
}

TEST_CASE("wait_group: it may be used again, and end as soon as wait has returned") {
    on_workers([]() -> task<> {
        auto group = std::make_unique<wait_group>();
        for (int round = 0; round != 2'000; ++round) {
            if (round % 4 == 0) group = std::make_unique<wait_group>();
            for (int i = 0; i != 3; ++i) group->go([] {});
            co_await group->wait();
        }
    });
}

TEST_CASE("wait_group: threads of the program's own may count") {
    on_real_workers([]() -> task<> {
        wait_group group;
        group.add(2);
        std::thread one([&group] { group.done(); });
        std::thread two([&group] {
            group.add(5);
            for (int i = 0; i != 6; ++i) group.done();
        });
        // The worker that would find a deadlock must not: others still count.
        for (;;) {
            const auto ended = co_await sluice::within(1ms, group.wait());
            if (ended) break;
        }
        one.join();
        two.join();
    });
}

TEST_CASE("wait_group: a wait that loses a race leaves nothing behind") {
    on_workers([]() -> task<> {
        wait_group group;
        group.add(1);
        for (int i = 0; i != 100; ++i) {
            const auto timed = co_await sluice::within(0s, group.wait());
            EXPECT(!timed);
            const auto raced = co_await select(group.wait(), sluice::sleep_for(1us));
            EXPECT(raced.index() == 1);
        }
        group.done();
        const auto got = co_await select(group.wait(), sluice::otherwise);
        EXPECT(got.index() == 0);
    });
}

TEST_CASE("wait_group: go owns its function and arguments, and counts at once") {
    on_workers([]() -> task<> {
        wait_group group;
        const auto token = std::make_shared<int>(1);
        std::atomic<int> length{0};
        group.go(
            [token, &length](std::string s, std::unique_ptr<int> p) -> task<> {
                co_await sluice::yield();
                length = static_cast<int>(s.size()) + *p;
            },
            std::string(20, 'x'), std::make_unique<int>(1));
        const auto pending = co_await select(group.wait(), sluice::otherwise);
        EXPECT((pending.index() == 1 || length == 21));
        co_await group.wait();
        EXPECT(length == 21);
        while (token.use_count() != 1) co_await sluice::yield();
    });
}

TEST_CASE("wait_group: go outside of a task is an error, and counts nothing") {
    wait_group group;
    CHECK_THROWS_AS(group.go([] {}), std::logic_error);
    run_on(1, [&group]() -> task<> { co_await group.wait(); });
}

TEST_CASE("wait_group: in any order, cancelled anywhere, a wait ends with the last task or not") {
    const auto wait_for_three = [](sluice::context ctx) -> task<> {
        wait_group group;
        int ended = 0;
        for (int i = 0; i != 3; ++i) {
            group.go([&ended]() -> task<> {
                co_await sluice::yield();
                ++ended;
            });
        }
        const auto waited = co_await within(ctx, group.wait());
        EXPECT(!waited || ended == 3);
        co_await group.wait();
        EXPECT(ended == 3);
    };
    simulated([wait_for_three]() -> task<> { co_await wait_for_three(sluice::background()); },
              1'000);
    simulated_cancelled(wait_for_three);
}
