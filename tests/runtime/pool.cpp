#include <sluice/runtime/sync/pool.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <vector>

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using sluice::task;

TEST_CASE("pool 4.1: gives what was put, and makes new ones when none is idle") {
    int made = 0;
    sluice::pool numbers([&made] { return ++made; });
    CHECK(numbers.get() == 1);
    CHECK(numbers.get() == 2);
    numbers.put(7);
    CHECK(numbers.get() == 7);
    CHECK(numbers.get() == 3);
}

TEST_CASE("pool: items beyond max_idle are destroyed") {
    const auto token = std::make_shared<int>(0);
    sluice::pool<std::shared_ptr<int>> tokens([] { return std::make_shared<int>(1); }, 16);
    for (int i = 0; i != 100; ++i) tokens.put(token);
    CHECK(token.use_count() == 17);
    sluice::pool<std::shared_ptr<int>> none([] { return std::make_shared<int>(1); }, 0);
    none.put(token);
    CHECK(*none.get() == 1);
}

TEST_CASE(
    "pool 4.2: an item is one task's alone, and shows what was done before put, under stress") {
    on_workers([]() -> task<> {
        struct item {
            int plain = 0;
            std::atomic<bool> used{false};
        };
        std::atomic<int> made{0};
        sluice::pool items([&made] {
            ++made;
            return std::make_unique<item>();
        });
        sluice::wait_group group;
        for (int t = 0; t != 8; ++t) {
            group.go([&items]() -> task<> {
                for (int i = 0; i != 2'000; ++i) {
                    auto one = items.get();
                    EXPECT(!one->used.exchange(true));
                    ++one->plain;
                    if (i % 8 == 0) co_await sluice::yield();
                    one->used = false;
                    items.put(std::move(one));
                }
            });
        }
        co_await group.wait();
        EXPECT(made <= 8);
        int sum = 0;
        for (int i = made; i != 0; --i) sum += items.get()->plain;
        EXPECT(sum == 16'000);
    });
}

TEST_CASE("pool: a factory that fails says so to the caller") {
    sluice::pool<int> broken([]() -> int { throw std::runtime_error("none"); });
    CHECK_THROWS_AS(broken.get(), std::runtime_error);
    broken.put(1);
    CHECK(broken.get() == 1);
}
