#include <sluice/runtime/random.hpp>

#include <cstdint>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "support.hpp"

using sluice::task;

TEST_CASE("random_bits: a simulation's seed decides them") {
    const auto draw = [](std::uint64_t seed) {
        return sluice::simulate({.seed = seed}, []() -> task<std::vector<std::uint64_t>> {
            std::vector<std::uint64_t> drawn;
            for (int i = 0; i != 10; ++i) {
                drawn.push_back(sluice::random_bits());
                co_await sluice::yield();
            }
            co_return drawn;
        });
    };
    CHECK(draw(1) == draw(1));
    CHECK(draw(1) != draw(2));
}

TEST_CASE("random_bits: each bit is set half of the time") {
    on_real_workers([]() -> task<> {
        constexpr int draws = 10'000;
        std::vector<int> ones(64);
        for (int i = 0; i != draws; ++i) {
            const std::uint64_t bits = sluice::random_bits();
            for (std::size_t b = 0; b != 64; ++b) ones[b] += static_cast<int>(bits >> b & 1);
        }
        // Within six standard deviations (50 each).
        for (const int n : ones) EXPECT(n > draws / 2 - 300 && n < draws / 2 + 300);
        co_return;
    });
}

TEST_CASE("random_bits: threads that run no tasks have it too, each another sequence") {
    std::mutex lock;
    std::set<std::uint64_t> seen;
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i != 100; ++i) {
                const std::uint64_t bits = sluice::random_bits();
                const std::lock_guard guard(lock);
                seen.insert(bits);
            }
        });
    }
    for (std::thread& t : threads) t.join();
    CHECK(seen.size() == 400);
}
