#include <sluice/runtime/task.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "support.hpp"

using sluice::task;

namespace {

/// Counts its live copies.
class counted_value {
public:
    explicit counted_value(int& live) noexcept : live_(&live) { ++*live_; }
    counted_value(counted_value&& other) noexcept : live_(other.live_) { ++*live_; }
    counted_value& operator=(counted_value&&) = delete;
    ~counted_value() { --*live_; }

private:
    int* live_;
};

task<> note(bool* ran) {
    *ran = true;
    co_return;
}

task<int> answer() {
    co_return 42;
}

task<int> fails(std::string text) {
    co_await sluice::yield();
    throw std::runtime_error(text);
}

task<int> passes_on() {
    const int got = co_await fails("from below");
    co_return got;
}

task<int&> refers(int* to) {
    co_return *to;
}

task<std::unique_ptr<int>> makes() {
    co_return std::make_unique<int>(3);
}

task<> holds(counted_value) {
    co_return;
}

task<int> depth(int n) {
    if (n == 0) co_return 0;
    const int below = co_await depth(n - 1);
    co_return below + 1;
}

task<int> depth_and_back(int n) {
    if (n == 0) {
        co_await sluice::yield();
        throw std::runtime_error("at the bottom");
    }
    const int below = co_await depth_and_back(n - 1);
    co_return below + 1;
}

}  // namespace

TEST_CASE("task: it is move-only, and what it awaits is an rvalue") {
    CHECK_FALSE(std::is_copy_constructible_v<task<>>);
    CHECK(std::is_nothrow_move_constructible_v<task<int>>);
    CHECK(std::is_nothrow_move_assignable_v<task<int>>);
    CHECK(sluice::awaitable<task<>>);
    CHECK_FALSE(sluice::awaitable<int>);
}

TEST_CASE("task: nothing runs before it is awaited") {
    on_real_workers([]() -> task<> {
        bool ran = false;
        task<> t = note(&ran);
        co_await sluice::yield();
        EXPECT(!ran);
        task<> moved = std::move(t);
        EXPECT(!ran);
        co_await std::move(moved);
        EXPECT(ran);
    });
}

TEST_CASE("task: one that never started frees its arguments and runs nothing") {
    int live = 0;
    bool ran = false;
    {
        const task<> t = holds(counted_value(live));
        const task<> u = note(&ran);
        CHECK(live == 1);
    }
    CHECK(live == 0);
    CHECK_FALSE(ran);

    task<> replaced = holds(counted_value(live));
    replaced = note(&ran);
    CHECK(live == 0);
}

TEST_CASE("task: arguments live until the task object ends, and no longer") {
    on_real_workers([]() -> task<> {
        int live = 0;
        {
            task<> t = holds(counted_value(live));
            co_await std::move(t);
        }
        EXPECT(live == 0);
    });
}

TEST_CASE("task: the result reaches the awaiter") {
    on_real_workers([]() -> task<> {
        const int value = co_await answer();
        EXPECT(value == 42);
    });
}

TEST_CASE("task: a move-only result is moved to the awaiter") {
    on_real_workers([]() -> task<> {
        const std::unique_ptr<int> value = co_await makes();
        EXPECT(value != nullptr);
        EXPECT(*value == 3);
    });
}

TEST_CASE("task: a result may be a reference") {
    on_real_workers([]() -> task<> {
        int object = 1;
        int& same = co_await refers(&object);
        EXPECT(&same == &object);
    });
}

TEST_CASE("task: an exception reaches the awaiter, through any number of tasks") {
    on_real_workers([]() -> task<> {
        std::string text;
        try {
            static_cast<void>(co_await passes_on());
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        EXPECT(text == "from below");
    });
}

TEST_CASE("task: an awaiter may go on after an exception, and await again") {
    on_real_workers([]() -> task<> {
        int caught = 0;
        for (int i = 0; i != 100; ++i) {
            try {
                static_cast<void>(co_await fails("again"));
            } catch (const std::runtime_error&) {
                ++caught;
            }
        }
        EXPECT(caught == 100);
    });
}

TEST_CASE("task: ten million awaits that complete at once need no stack") {
    std::int64_t sum = 0;
    const auto loop = [](std::int64_t* into) -> task<> {
        for (int i = 0; i != 10'000'000; ++i) *into += co_await answer();
    };
    sluice::run(sluice::options{.workers = 1}, loop, &sum);
    CHECK(sum == 420'000'000);
}

TEST_CASE("task: chains of awaits may be 100,000 deep") {
    on_real_workers([]() -> task<> {
        const int reached = co_await depth(100'000);
        EXPECT(reached == 100'000);
    });
}

TEST_CASE("task: an exception comes up through 100,000 awaits") {
    on_real_workers([]() -> task<> {
        bool caught = false;
        try {
            static_cast<void>(co_await depth_and_back(100'000));
        } catch (const std::runtime_error& e) {
            caught = std::string(e.what()) == "at the bottom";
        }
        EXPECT(caught);
    });
}

TEST_CASE("task: it knows its coroutine function's place in the source") {
    const task<int> t = answer();
    CHECK(std::string(t.origin().file_name()).ends_with("task.cpp"));
    CHECK(std::string(t.origin().function_name()).find("answer") != std::string::npos);
}
