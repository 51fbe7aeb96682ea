#include <sluice/runtime/blocking.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::blocking;
using sluice::task;

TEST_CASE("blocking: gives the result of the call, made with arguments that it owns") {
    on_real_workers([]() -> task<> {
        const int sum = co_await blocking([](int a, int b) { return a + b; }, 1, 2);
        EXPECT(sum == 3);
        auto owned = std::make_unique<int>(4);
        const auto same =
            co_await blocking([](std::unique_ptr<int> p) { return p; }, std::move(owned));
        EXPECT(*same == 4);
        int seen = 0;
        co_await blocking([](int* p) { *p = 5; }, &seen);
        EXPECT(seen == 5);
    });
}

TEST_CASE("blocking: the call's exception is thrown at the await") {
    on_real_workers([]() -> task<> {
        std::string text;
        try {
            co_await blocking([] { throw std::runtime_error("no such luck"); });
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        EXPECT(text == "no such luck");
    });
}

TEST_CASE("blocking: the call runs on no worker, and the worker runs other tasks meanwhile") {
    run_on(1, []() -> task<> {
        const auto here = std::this_thread::get_id();
        std::atomic<bool> ran{false};
        sluice::go([&ran] { ran = true; });
        const auto there = co_await blocking(
            [](std::atomic<bool>* r) {
                while (!*r) std::this_thread::yield();
                return std::this_thread::get_id();
            },
            &ran);
        EXPECT(there != here);
    });
}

TEST_CASE("blocking: 100 calls run at the same time") {
    on_real_workers([]() -> task<> {
        std::latch all(100);
        sluice::wait_group group;
        for (int i = 0; i != 100; ++i) {
            group.go([&all]() -> task<> { co_await blocking([&all] { all.arrive_and_wait(); }); });
        }
        co_await group.wait();
        EXPECT(all.try_wait());
    });
}

TEST_CASE("blocking: it starts at once, before it is awaited") {
    on_real_workers([]() -> task<> {
        std::atomic<bool> started{false};
        auto call = blocking([&started] { started = true; });
        while (!started) co_await sluice::yield();
        co_await std::move(call);
    });
}

TEST_CASE("blocking: losing a race abandons the result, not the call") {
    on_real_workers([]() -> task<> {
        struct shared {
            std::atomic<bool> go_on{false};
            std::atomic<bool> ended{false};
        };
        const auto state = std::make_shared<shared>();
        const auto call = [state] {
            while (!state->go_on) std::this_thread::yield();
            state->ended = true;
            return std::make_unique<int>(1);
        };
        const auto got = co_await sluice::within(0s, blocking(call));
        EXPECT(!got);
        EXPECT(!state->ended);
        state->go_on = true;
        while (!state->ended) co_await sluice::yield();
    });
}

TEST_CASE("blocking: a call that was abandoned may fail unseen") {
    on_real_workers([]() -> task<> {
        const auto state = std::make_shared<std::atomic<int>>(0);
        const auto call = [state] {
            while (*state == 0) std::this_thread::yield();
            throw std::runtime_error("unseen");
        };
        const auto got = co_await select(blocking(call), sluice::otherwise);
        EXPECT(got.index() == 1);
        *state = 1;
        while (state.use_count() != 2) co_await sluice::yield();
    });
}

TEST_CASE("blocking: a pending call is no deadlock") {
    for (const unsigned workers : {1u, 2u}) {
        const int got = sluice::run(sluice::options{.workers = workers}, []() -> task<int> {
            const int result = co_await blocking([] {
                std::this_thread::sleep_for(5ms);  // all workers go idle meanwhile
                return 3;
            });
            co_return result;
        });
        CHECK(got == 3);
    }
}

TEST_CASE("blocking: a call may outlive the runtime that asked for it") {
    const auto stage = std::make_shared<std::atomic<int>>(0);
    {
        sluice::runtime rt(sluice::options{.workers = 1});
        rt.go(
            [](std::shared_ptr<std::atomic<int>> s) -> task<> {
                const auto call = [s] {
                    *s = 1;
                    while (*s != 2) std::this_thread::yield();
                    *s = 3;
                };
                co_await blocking(call);
                EXPECT(false);
            },
            stage);
        while (*stage == 0) std::this_thread::yield();
        CHECK(rt.shutdown(0s).cut.size() == 1);
    }
    *stage = 2;
    while (*stage != 3) std::this_thread::yield();
    while (stage.use_count() != 1) std::this_thread::yield();
    report_expectations();
}

TEST_CASE("blocking: a process ends after some of the threads have ended, idle for ten seconds") {
    const child_end end = run_child([] {
        sluice::run([]() -> task<> {
            auto longer = blocking([] { std::this_thread::sleep_for(10'500ms); });
            co_await blocking([] {});
            co_await std::move(longer);
        });
        std::exit(0);  // with one thread idle for 0 seconds, and one gone
    });
    INFO(end.errors);
    CHECK(end.exited());
}

TEST_CASE("blocking: a call may end the process") {
    const child_end end = run_child([] {
        sluice::run([]() -> task<> {
            co_await blocking([] { std::exit(0); });
            std::abort();
        });
    });
    INFO(end.errors);
    CHECK(end.exited());
}

TEST_CASE("blocking: a forked child, which has none of the threads, may exit") {
    const child_end end = run_child([] {
        sluice::run([]() -> task<> { co_await blocking([] {}); });
        const pid_t child = ::fork();
        if (child == 0) std::exit(0);
        int status = 0;
        ::waitpid(child, &status, 0);
        std::_Exit(WIFEXITED(status) ? 0 : 1);
    });
    INFO(end.errors);
    CHECK(end.exited());
}

TEST_CASE("blocking outside of a task is an error") {
    CHECK_THROWS_AS(static_cast<void>(blocking([] {})), std::logic_error);
}
