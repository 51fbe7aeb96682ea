#include <sluice/runtime/detail/next_slot.hpp>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <sluice/runtime/detail/runnable.hpp>

#include "support.hpp"

using sluice::detail::next_slot;
using sluice::detail::runnable;

TEST_CASE("next slot: it holds one entry, the one put last, and gives back the one before") {
    next_slot slot;
    runnable a;
    runnable b;
    CHECK(slot.empty());
    CHECK(slot.take() == nullptr);
    CHECK(slot.steal() == nullptr);
    CHECK(slot.put(&a) == nullptr);
    CHECK(slot.put(&b) == &a);
    CHECK_FALSE(slot.empty());
    CHECK(slot.take() == &b);
    CHECK(slot.empty());
    CHECK(slot.put(&a) == nullptr);
    CHECK(slot.steal() == &a);
    CHECK(slot.steal() == nullptr);
    CHECK(slot.take() == nullptr);
}

TEST_CASE("next slot: each entry leaves it exactly once, to the owner or to a thief") {
    constexpr std::size_t count = 50'000;
    next_slot slot;
    std::vector<runnable> all(count);
    const auto left = std::make_unique<std::atomic<int>[]>(count);
    std::atomic<bool> finished{false};
    const auto note = [&](runnable* r) {
        if (r != nullptr) left[static_cast<std::size_t>(r - all.data())]++;
    };
    std::vector<std::thread> thieves;
    for (int t = 0; t != 2; ++t) {
        thieves.emplace_back([&] {
            while (!finished) note(slot.steal());
        });
    }
    for (std::size_t i = 0; i != count; ++i) {
        note(slot.put(&all[i]));
        if (i % 4 == 0) note(slot.take());
    }
    finished = true;
    for (std::thread& t : thieves) t.join();
    note(slot.take());
    std::size_t wrong = 0;
    for (std::size_t i = 0; i != count; ++i) wrong += left[i] == 1 ? 0 : 1;
    CHECK(wrong == 0);
}
