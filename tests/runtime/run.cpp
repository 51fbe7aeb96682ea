#include <sluice/runtime/run.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::run;
using sluice::task;

namespace {

task<int> five() {
    co_return 5;
}

task<> parked_receiver(sluice::chan<int> ch) {
    static_cast<void>(co_await ch.recv());
}

task<> parked_locker(sluice::mutex* mu) {
    const auto guard = co_await mu->lock();
}

task<> stuck_main() {
    auto ch = sluice::make_chan<int>();
    sluice::mutex mu;
    const auto held = co_await mu.lock();
    sluice::wait_group group;
    group.go(parked_receiver, ch);
    group.go(parked_locker, &mu);
    co_await group.wait();
}

bool lists(const sluice::deadlock& e, const std::string& function, const std::string& wait) {
    for (const sluice::task_info& t : e.tasks()) {
        const std::string line = t.describe();
        if (line.find(function) == std::string::npos || line.find(wait) == std::string::npos)
            continue;
        return std::string(e.what()).find(line) != std::string::npos &&
               line.find("run.cpp:") != std::string::npos;
    }
    return false;
}

}  // namespace

TEST_CASE("run: gives the main task's result, 0 for one without") {
    CHECK(run(five) == 5);
    CHECK(run(with_workers(2), five) == 5);
    CHECK(run(with_workers(1), []() -> task<> { co_return; }) == 0);
    CHECK(run(
              with_workers(2),
              [](int a, std::string s) -> task<std::string> { co_return s + std::to_string(a); }, 1,
              std::string("x")) == "x1");
    const auto made = run(with_workers(1), []() -> task<std::unique_ptr<int>> {
        co_return std::make_unique<int>(2);
    });
    CHECK(*made == 2);
}

TEST_CASE("run: a main task's reference stays one") {
    const auto refers = [](int* p) -> task<int&> { co_return *p; };
    CHECK(std::is_same_v<decltype(run(refers, static_cast<int*>(nullptr))), int&>);
    CHECK(std::is_same_v<decltype(std::declval<sluice::runtime&>().block_on(
                             refers, static_cast<int*>(nullptr))),
                         int&>);
}

TEST_CASE("run: throws the main task's exception at once, and destroys the tasks that are left") {
    for (const unsigned workers : {1u, 2u}) {
        const auto token = std::make_shared<int>(1);
        const auto body = [](std::shared_ptr<int> t) -> task<> {
            for (int i = 0; i != 10; ++i) {
                sluice::go([t]() -> task<> { co_await sluice::sleep_for(1h); });
            }
            co_await sluice::yield();
            throw std::runtime_error("the main task fails");
        };
        CHECK_THROWS_WITH(run(with_workers(workers), body, token), "the main task fails");
        CHECK(token.use_count() == 1);
    }
}

TEST_CASE("run: waits for detached tasks after the main task has ended") {
    for (const unsigned workers : {1u, 2u}) {
        std::atomic<int> ended{0};
        const int got = run(with_workers(workers), [&ended]() -> task<int> {
            for (int i = 0; i != 20; ++i) {
                sluice::go([&ended, i]() -> task<> {
                    co_await sluice::sleep_for(std::chrono::microseconds(100 * i));
                    sluice::go([&ended]() -> task<> {
                        co_await sluice::yield();
                        ++ended;
                    });
                });
            }
            co_return 3;
        });
        CHECK(got == 3);
        CHECK(ended == 20);
    }
}

TEST_CASE("run: may be called again and again, and inside of a task's thread it nests") {
    for (int i = 0; i != 200; ++i)
        REQUIRE(run(with_workers(1 + static_cast<unsigned>(i) % 2), five) == 5);
    const int outer = run(with_workers(1), []() -> task<int> {
        const int inner = run(with_workers(1), five);
        co_await sluice::yield();
        co_return inner + 1;
    });
    CHECK(outer == 6);
}

TEST_CASE(
    "runtime 11.2: if nothing can ever run again the program says so and lists where each task is "
    "parked") {
    for (const unsigned workers : {1u, 2u}) {
        bool thrown = false;
        try {
            run(with_workers(workers), stuck_main);
        } catch (const sluice::deadlock& e) {
            thrown = true;
            INFO(e.what());
            CHECK(std::string(e.what()).rfind("all tasks are asleep - deadlock!", 0) == 0);
            CHECK(e.tasks().size() == 3);
            CHECK(lists(e, "stuck_main", "wait of a wait_group"));
            CHECK(lists(e, "parked_receiver", "recv"));
            CHECK(lists(e, "parked_locker", "lock of a mutex"));
        }
        CHECK(thrown);
    }
}

TEST_CASE("runtime 11.2: tasks left parked by a main task that ended well are a deadlock too") {
    for (const unsigned workers : {1u, 2u}) {
        const auto body = []() -> task<int> {
            sluice::go(parked_receiver, sluice::chan<int>());
            co_return 0;
        };
        try {
            run(with_workers(workers), body);
            FAIL("no deadlock was reported");
        } catch (const sluice::deadlock& e) {
            REQUIRE(e.tasks().size() == 1);
            CHECK(e.tasks()[0].waits_for.find("never ready") != std::string::npos);
        }
    }
}

TEST_CASE("runtime 11.2: a report shows the chain of awaits of each task") {
    const auto innermost = []() -> task<> { co_await sluice::background().done(); };
    const auto middle = [](auto inner) -> task<> { co_await inner(); };
    const auto outer = [](auto m, auto i) -> task<> { co_await m(i); };
    try {
        run(with_workers(1), outer, middle, innermost);
        FAIL("no deadlock was reported");
    } catch (const sluice::deadlock& e) {
        REQUIRE(e.tasks().size() == 1);
        CHECK(e.tasks()[0].stack.size() == 3);
        CHECK(e.tasks()[0].describe().find("called at") != std::string::npos);
    }
}

TEST_CASE("runtime 11.2: a failed task that would have been joined does not hide the deadlock") {
    const auto body = []() -> task<> {
        auto bad = sluice::spawn([]() -> task<> {
            co_await sluice::yield();
            throw std::runtime_error("the boiler burst");
        });
        co_await sluice::background().done();
        co_await bad.join();
    };
    for (const unsigned workers : {1u, 2u})
        CHECK_THROWS_AS(run(with_workers(workers), body), sluice::deadlock);
}

TEST_CASE("runtime 11.2: a task that is about to run, or waits for a timer, is no deadlock") {
    for (int round = 0; round != 200; ++round) {
        const auto body = []() -> task<int> {
            auto ch = sluice::make_chan<int>();
            sluice::go(
                [](sluice::chan<int> c) -> task<> {
                    for (int i = 0; i != 5; ++i) {
                        if (i % 2 == 1) co_await sluice::sleep_for(20us);
                        co_await c.send(i);
                    }
                    c.close();
                },
                ch);
            int received = 0;
            for (;;) {
                const auto got = co_await ch.recv();
                if (!got) co_return received;
                ++received;
            }
        };
        REQUIRE(run(with_workers(2), body) == 5);
    }
}

TEST_CASE("runtime 11.2: a deadlock is found after a long life, at once") {
    const auto body = []() -> task<> {
        for (int i = 0; i != 1'000; ++i) {
            auto handle = sluice::spawn([]() -> task<> { co_await sluice::yield(); });
            co_await handle.join();
        }
        co_await sluice::sleep_for(1ms);
        co_await sluice::background().done();
    };
    for (int round = 0; round != 20; ++round)
        CHECK_THROWS_AS(run(with_workers(2), body), sluice::deadlock);
}
