#include <sluice/runtime/detail/deque.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <sluice/runtime/detail/runnable.hpp>

#include "support.hpp"

using sluice::detail::deque;
using sluice::detail::runnable;

namespace {

using entries = std::vector<runnable>;

void fill(deque& d, entries& all, std::size_t from, std::size_t count) {
    for (std::size_t i = from; i != from + count; ++i) REQUIRE(d.push(&all[i]));
}

}  // namespace

TEST_CASE("deque: the owner takes entries in the order in which they were pushed") {
    deque d;
    entries all(100);
    CHECK(d.pop() == nullptr);
    fill(d, all, 0, 100);
    CHECK(d.size() == 100);
    for (runnable& r : all) CHECK(d.pop() == &r);
    CHECK(d.pop() == nullptr);
    CHECK(d.empty());
}

TEST_CASE("deque: a full one refuses, and gives its older half away") {
    deque d;
    entries all(deque::capacity + 1);
    std::array<runnable*, deque::capacity / 2> half{};
    CHECK(d.take_half(half) == 0);
    fill(d, all, 0, deque::capacity);
    CHECK_FALSE(d.push(&all.back()));
    REQUIRE(d.take_half(half) == deque::capacity / 2);
    for (std::size_t i = 0; i != half.size(); ++i) CHECK(half[i] == &all[i]);
    CHECK(d.push(&all.back()));
    CHECK(d.size() == deque::capacity / 2 + 1);
    CHECK(d.pop() == &all[deque::capacity / 2]);
}

TEST_CASE(
    "runtime 11.4: a thief takes half, rounded up, the oldest ones, and runs the last of them") {
    for (const std::size_t size : {0u, 1u, 2u, 3u, 7u, 100u, 256u}) {
        deque victim;
        deque thief;
        entries all(size);
        fill(victim, all, 0, size);
        const std::size_t taken = size - size / 2;
        runnable* const first = victim.steal_into(thief);
        if (size == 0) {
            CHECK(first == nullptr);
            continue;
        }
        CHECK(first == &all[taken - 1]);
        CHECK(thief.size() == taken - 1);
        CHECK(victim.size() == size - taken);
        for (std::size_t i = 0; i + 1 != taken; ++i) CHECK(thief.pop() == &all[i]);
        for (std::size_t i = taken; i != size; ++i) CHECK(victim.pop() == &all[i]);
    }
}

TEST_CASE("deque: positions wrap around") {
    deque d;
    entries all(5);
    for (int round = 0; round != 1'000; ++round) {
        fill(d, all, 0, 5);
        for (runnable& r : all) REQUIRE(d.pop() == &r);
    }
    CHECK(d.empty());
}

TEST_CASE("deque: each entry is taken exactly once, by the owner or by one of two thieves") {
    constexpr std::size_t count = 100'000;
    deque owned;
    entries all(count);
    const auto taken = std::make_unique<std::atomic<int>[]>(count);
    std::atomic<bool> finished{false};
    const auto note = [&](runnable* r) { taken[static_cast<std::size_t>(r - all.data())]++; };
    std::vector<std::thread> thieves;
    for (int t = 0; t != 2; ++t) {
        thieves.emplace_back([&] {
            deque mine;
            while (!finished) {
                if (runnable* const r = owned.steal_into(mine)) note(r);
                while (runnable* const r = mine.pop()) note(r);
            }
        });
    }
    std::array<runnable*, deque::capacity / 2> half{};
    for (std::size_t i = 0; i != count; ++i) {
        while (!owned.push(&all[i])) {
            const std::uint32_t n = owned.take_half(half);
            for (std::uint32_t k = 0; k != n; ++k) note(half[k]);
        }
        if (i % 3 == 0) {
            if (runnable* const r = owned.pop()) note(r);
        }
    }
    while (runnable* const r = owned.pop()) note(r);
    finished = true;
    for (std::thread& t : thieves) t.join();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i != count; ++i) wrong += taken[i] == 1 ? 0 : 1;
    CHECK(wrong == 0);
}
