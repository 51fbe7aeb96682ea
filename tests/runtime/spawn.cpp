#include <sluice/runtime/spawn.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

namespace {

task<int> twice(int n) {
    co_await sluice::yield();
    co_return 2 * n;
}

task<int> fails() {
    co_await sluice::yield();
    throw std::runtime_error("no luck");
}

task<> forever() {
    co_await sluice::background().done();
}

}  // namespace

TEST_CASE("go: fn and its arguments are moved into the task, which outlives the caller's scope") {
    on_workers([]() -> task<> {
        sluice::wait_group group;
        group.add(2);
        std::atomic<int> sum{0};
        {
            std::string text(100, 'x');
            const auto captured = std::make_shared<int>(1);
            const auto body = [captured, &sum, &group](std::string s,
                                                       std::unique_ptr<int> p) -> task<> {
                co_await sluice::yield();
                sum += *captured + static_cast<int>(s.size()) + *p;
                group.done();
            };
            sluice::go(body, text, std::make_unique<int>(10));
            sluice::go(body, std::move(text), std::make_unique<int>(20));
        }
        co_await group.wait();
        EXPECT(sum == 232);
    });
}

namespace {

task<> look_at(std::string_view text, std::weak_ptr<int> number, std::string* seen,
               sluice::wait_group* group) {
    co_await sluice::yield();
    const auto held = number.lock();
    *seen = std::string(text) + (held ? std::to_string(*held) : "?");
    group->done();
}

}  // namespace

TEST_CASE("go: the task owns its arguments also where the function only looks at them") {
    on_workers([]() -> task<> {
        std::string seen;
        std::string later;
        sluice::wait_group group;
        group.add(2);
        {
            const std::string text(100, 'x');
            sluice::go(look_at, text, std::make_shared<int>(7), &seen, &group);
            auto [ctx, cancel] = sluice::with_cancel(sluice::background());
            auto stop = after_func(ctx, look_at, std::string(100, 'y'), std::make_shared<int>(8),
                                   &later, &group);
            cancel();
        }
        co_await group.wait();
        EXPECT(seen == std::string(100, 'x') + "7");
        EXPECT(later == std::string(100, 'y') + "8");
    });
}

TEST_CASE("go: captures and arguments are freed with their task") {
    const auto token = std::make_shared<int>(1);
    on_workers([token]() -> task<> {
        sluice::go([token]() -> task<> { co_await sluice::yield(); });
        sluice::go([](std::shared_ptr<int>) -> task<> { co_await sluice::yield(); }, token);
        sluice::go([token] {});
        co_return;
    });
    CHECK(token.use_count() == 1);
}

TEST_CASE("spawn and wait_group::go: captures and arguments are freed before the end is seen") {
    on_workers([]() -> task<> {
        const auto token = std::make_shared<int>(1);
        const auto holder = [token](std::shared_ptr<int>) -> task<> { co_await sluice::yield(); };
        for (int i = 0; i != 1'000; ++i) {
            auto handle = sluice::spawn(holder, token);
            co_await handle.join();
            EXPECT(token.use_count() == 2);
            EXPECT(sluice::num_tasks() == 1);
            sluice::wait_group group;
            group.go(holder, token);
            co_await group.wait();
            EXPECT(token.use_count() == 2);
            EXPECT(sluice::num_tasks() == 1);
        }
    });
}

TEST_CASE("go: std::ref passes what outlives the task") {
    on_workers([]() -> task<> {
        int value = 1;
        sluice::wait_group group;
        group.go(
            [](int& v) -> task<> {
                co_await sluice::yield();
                ++v;
            },
            std::ref(value));
        auto handle =
            sluice::spawn([](std::reference_wrapper<int> v) { return &v.get(); }, std::ref(value));
        co_await group.wait();
        int* const same = co_await handle.join();
        EXPECT(same == &value);
        EXPECT(value == 2);
    });
}

TEST_CASE("go and spawn: plain functions run as tasks too") {
    on_workers([]() -> task<> {
        std::atomic<bool> ran{false};
        sluice::go([&ran](int n) { ran = n == 3; }, 3);
        auto handle = sluice::spawn([](int n) { return n + 1; }, 4);
        const int got = co_await handle.join();
        EXPECT(got == 5);
        while (!ran) co_await sluice::yield();
    });
}

TEST_CASE("go and spawn outside of a task are errors") {
    CHECK_THROWS_AS(sluice::go([] {}), std::logic_error);
    CHECK_THROWS_AS(static_cast<void>(sluice::spawn([] {})), std::logic_error);
    CHECK_THROWS_AS(sluice::num_tasks(), std::logic_error);
}

TEST_CASE("spawn: join gives the result, before and after the task's end") {
    on_workers([]() -> task<> {
        auto early = sluice::spawn(twice, 21);
        const int first = co_await early.join();
        EXPECT(first == 42);
        auto late = sluice::spawn(twice, 4);
        while (!late.done()) co_await sluice::yield();
        const int second = co_await late.join();
        EXPECT(second == 8);
    });
}

TEST_CASE("spawn: join gives references and move-only results") {
    on_workers([]() -> task<> {
        int object = 0;
        auto refers = sluice::spawn([](int* p) -> task<int&> { co_return *p; }, &object);
        int& same = co_await refers.join();
        EXPECT(&same == &object);
        auto makes = sluice::spawn(
            []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); });
        const std::unique_ptr<int> made = co_await makes.join();
        EXPECT(*made == 5);
    });
}

TEST_CASE("spawn: join throws the task's exception") {
    on_workers([]() -> task<> {
        auto handle = sluice::spawn(fails);
        std::string text;
        try {
            static_cast<void>(co_await handle.join());
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        EXPECT(text == "no luck");
    });
}

TEST_CASE("spawn: a result is taken once") {
    on_workers([]() -> task<> {
        auto handle = sluice::spawn([] { return std::string(40, 'x'); });
        const std::string got = co_await handle.join();
        EXPECT(got == std::string(40, 'x'));
        bool refused = false;
        try {
            static_cast<void>(co_await handle.join());
        } catch (const std::logic_error&) {
            refused = true;
        }
        EXPECT(refused);
    });
}

TEST_CASE("spawn: what the task did is visible to the joiner") {
    on_workers([]() -> task<> {
        for (int i = 0; i != 1'000; ++i) {
            int plain = 0;
            auto handle = sluice::spawn(
                [](int* p) -> task<> {
                    *p = 1;
                    co_return;
                },
                &plain);
            co_await handle.join();
            EXPECT(plain == 1);
        }
    });
}

TEST_CASE("spawn: 10,000 tasks are joined, each with its own result") {
    on_workers([]() -> task<> {
        std::vector<sluice::join_handle<int>> handles;
        for (int i = 0; i != 10'000; ++i) handles.push_back(sluice::spawn(twice, i));
        int wrong = 0;
        for (int i = 0; i != 10'000; ++i) {
            const int got = co_await handles[static_cast<std::size_t>(i)].join();
            wrong += got == 2 * i ? 0 : 1;
        }
        EXPECT(wrong == 0);
    });
}

TEST_CASE("spawn: a join that loses a race leaves the task running and its result in place") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        auto handle = sluice::spawn(
            [](sluice::context c) -> task<int> {
                co_await c.done();
                co_return 7;
            },
            ctx);
        for (int i = 0; i != 3; ++i) {
            const auto got = co_await sluice::within(0s, handle.join());
            EXPECT(!got);
        }
        const auto raced = co_await select(handle.join(), sluice::sleep_for(1ms));
        EXPECT(raced.index() == 1);
        cancel();
        const auto got = co_await sluice::within(ctx, handle.join());
        if (!got) {
            const int result = co_await handle.join();
            EXPECT(result == 7);
        }
    });
}

TEST_CASE("spawn: a handle that is let go detaches its task") {
    on_workers([]() -> task<> {
        std::atomic<bool> ran{false};
        {
            auto dropped = sluice::spawn([&ran]() -> task<> {
                co_await sluice::yield();
                ran = true;
            });
        }
        while (!ran) co_await sluice::yield();
        EXPECT(true);
    });
}

TEST_CASE("spawn: get outside of the workers waits for the result or the exception") {
    sluice::runtime rt(sluice::options{.workers = 2});
    auto handle = rt.spawn(twice, 8);
    CHECK(handle.get() == 16);
    auto failing = rt.spawn(fails);
    CHECK_THROWS_AS(failing.get(), std::runtime_error);
    CHECK_THROWS_AS(failing.get(), std::logic_error);  // once
    auto nothing = rt.spawn([]() -> task<> { co_await sluice::sleep_for(1ms); });
    nothing.get();
    CHECK(nothing.done());
}

TEST_CASE("spawn: get on a worker, which it would block, is an error") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        auto handle = sluice::spawn([](sluice::context c) -> task<> { co_await c.done(); }, ctx);
        bool refused = false;
        try {
            handle.get();
        } catch (const std::logic_error&) {
            refused = true;
        }
        EXPECT(refused);
        cancel();
        co_await handle.join();
    });
}

TEST_CASE("spawn: a joiner in another runtime is woken there") {
    sluice::runtime one(sluice::options{.workers = 1});
    sluice::runtime two(sluice::options{.workers = 1});
    for (int i = 0; i != 200; ++i) {
        const int got = two.block_on(
            [](sluice::runtime* from, int n) -> task<int> {
                auto handle = from->spawn(twice, n);
                const int result = co_await handle.join();
                co_return result;
            },
            &one, i);
        REQUIRE(got == 2 * i);
    }
}

TEST_CASE("spawn: the joiner of a task that was cut by a shutdown gets canceled") {
    sluice::runtime rt(sluice::options{.workers = 2});
    auto handle = rt.spawn(forever);
    rt.block_on([]() -> task<> { co_await sluice::yield(); });
    CHECK(rt.shutdown(0s).cut.size() == 1);
    try {
        handle.get();
        FAIL("a value");
    } catch (const std::system_error& e) {
        CHECK(e.code() == sluice::errc::canceled);
    }
}

TEST_CASE("num_tasks: counts the user's tasks, the calling one included") {
    on_workers([]() -> task<> {
        EXPECT(sluice::num_tasks() == 1);
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        sluice::wait_group group;
        for (int i = 0; i != 50; ++i)
            group.go([](sluice::context c) -> task<> { co_await c.done(); }, ctx);
        EXPECT(sluice::num_tasks() == 51);
        const int nested = co_await twice(1);
        EXPECT(nested == 2);
        EXPECT(sluice::num_tasks() == 51);
        cancel();
        co_await group.wait();
        while (sluice::num_tasks() != 1) co_await sluice::yield();
    });
}
