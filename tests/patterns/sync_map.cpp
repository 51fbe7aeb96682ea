#include <sluice/patterns/sync_map.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace sluice;

TEST_CASE("sync_map: load gives the value stored last, and nothing for a key that is absent") {
    sync_map<int, std::string> map;
    CHECK(map.load(1) == std::nullopt);
    map.store(1, "one");
    map.store(2, "two");
    CHECK(map.load(1) == "one");
    map.store(1, "another one");
    CHECK(map.load(1) == "another one");
    CHECK(map.load(2) == "two");
    CHECK(map.load(3) == std::nullopt);
}

TEST_CASE("sync_map: load_or_store keeps what is there, and says that it was") {
    sync_map<int, std::string> map;
    const auto stored = map.load_or_store(1, "first");
    CHECK(stored.value == "first");
    CHECK_FALSE(stored.loaded);
    const auto loaded = map.load_or_store(1, "second");
    CHECK(loaded.value == "first");
    CHECK(loaded.loaded);
    CHECK(map.load(1) == "first");
}

TEST_CASE("sync_map: load_and_delete takes the value out, once") {
    sync_map<int, std::string> map;
    map.store(1, "one");
    CHECK(map.load_and_delete(1) == "one");
    CHECK(map.load_and_delete(1) == std::nullopt);
    CHECK(map.load(1) == std::nullopt);
}

TEST_CASE("sync_map: swap stores a value and gives the one before") {
    sync_map<int, std::string> map;
    CHECK(map.swap(1, "one") == std::nullopt);
    CHECK(map.swap(1, "two") == "one");
    CHECK(map.load(1) == "two");
}

TEST_CASE("sync_map: compare_and_swap replaces the value that was expected and no other") {
    sync_map<int, std::string> map;
    CHECK_FALSE(map.compare_and_swap(1, "", "one"));  // an absent key has no value
    CHECK(map.load(1) == std::nullopt);
    map.store(1, "one");
    CHECK_FALSE(map.compare_and_swap(1, "two", "three"));
    CHECK(map.load(1) == "one");
    CHECK(map.compare_and_swap(1, "one", "three"));
    CHECK(map.load(1) == "three");
}

TEST_CASE("sync_map: compare_and_delete takes out the value that was expected and no other") {
    sync_map<int, std::string> map;
    CHECK_FALSE(map.compare_and_delete(1, ""));
    map.store(1, "one");
    CHECK_FALSE(map.compare_and_delete(1, "two"));
    CHECK(map.load(1) == "one");
    CHECK(map.compare_and_delete(1, "one"));
    CHECK_FALSE(map.compare_and_delete(1, "one"));
    CHECK(map.load(1) == std::nullopt);
}

TEST_CASE("sync_map: erase takes a key out, clear all of them") {
    sync_map<int, int> map;
    for (int key = 0; key < 100; ++key) map.store(key, key);
    CHECK(map.erase(7));
    CHECK_FALSE(map.erase(7));
    CHECK(map.load(7) == std::nullopt);
    CHECK(map.load(8) == 8);
    map.clear();
    int seen = 0;
    map.range([&](const int&, const int&) { ++seen; });
    CHECK(seen == 0);
    map.store(7, 70);
    CHECK(map.load(7) == 70);
}

TEST_CASE("sync_map: text finds what a std::string stored, and keys convert to the key's type") {
    sync_map<std::string, int> words;
    words.store(std::string("one"), 1);
    words.store(std::string_view("two"), 2);
    CHECK(words.load("one") == 1);
    CHECK(words.load(std::string("two")) == 2);
    sync_map<std::uint64_t, int> numbers;
    numbers.store(std::uint64_t{1}, 10);
    CHECK(numbers.load(static_cast<short>(1)) == 10);
}

TEST_CASE("sync_map: a value that can only be moved may be stored, swapped and taken out") {
    sync_map<int, std::unique_ptr<int>> map;
    map.store(1, std::make_unique<int>(1));
    const auto before = map.swap(1, std::make_unique<int>(2));
    REQUIRE(before);
    CHECK(**before == 1);
    const auto taken = map.load_and_delete(1);
    REQUIRE(taken);
    CHECK(**taken == 2);
    CHECK_FALSE(map.erase(1));
}

TEST_CASE("sync_map 4.2: range sees each key once, with its value") {
    sync_map<int, int> map;
    for (int key = 0; key < 1'000; ++key) map.store(key, key * key);
    std::map<int, int> seen;
    bool twice = false;
    map.range([&](const int& key, const int& value) {
        twice = twice || !seen.emplace(key, value).second;
    });
    CHECK_FALSE(twice);
    CHECK(seen.size() == 1'000);
    for (const auto& [key, value] : seen) CHECK(value == key * key);
}

TEST_CASE("sync_map: range stops when its callback gives false") {
    sync_map<int, int> map;
    for (int key = 0; key < 1'000; ++key) map.store(key, key);
    int seen = 0;
    map.range([&](const int&, const int&) { return ++seen < 10; });
    CHECK(seen == 10);
}

TEST_CASE("sync_map 4.2: the callback of range may call any method, range too") {
    sync_map<int, int> map(1);  // one shard: a lock that were held would be met at once
    for (int key = 0; key < 3; ++key) map.store(key, key);
    int inner = 0;
    map.range([&](const int& key, const int& value) {
        CHECK(map.load(key) == value);
        CHECK_FALSE(map.load_or_store(42, 1).loaded);
        CHECK(map.swap(42, 2) == 1);
        CHECK(map.compare_and_swap(42, 2, 3));
        CHECK_FALSE(map.compare_and_delete(42, 2));
        CHECK(map.load_and_delete(42) == 3);
        map.store(key + 100, value);
        map.range([&](const int& other, const int&) { inner += other == key; });
        CHECK(map.erase(key));
    });
    CHECK(inner == 3);
    std::set<int> left;
    map.range([&](const int& key, const int&) { left.insert(key); });
    CHECK(left == std::set<int>{100, 101, 102});
    map.range([&](const int&, const int&) { map.clear(); });
    CHECK(map.load(100) == std::nullopt);
}

TEST_CASE("sync_map: range does not show a key that its callback has erased") {
    sync_map<int, int> map;
    for (int key = 0; key < 100; ++key) map.store(key, key);
    std::vector<int> seen;
    map.range([&](const int& key, const int&) {
        seen.push_back(key);
        for (int other = 0; other < 100; ++other) map.erase(other);
    });
    CHECK(seen.size() == 1);
}

TEST_CASE("sync_map: an exception of range's callback comes through, and the map goes on") {
    sync_map<int, int> map(1);
    map.store(1, 1);
    CHECK_THROWS_AS(map.range([](const int&, const int&) { throw std::runtime_error("enough"); }),
                    std::runtime_error);
    CHECK(map.load(1) == 1);
}

namespace {

// Uses the map at its end.
struct caller {
    using map_type = sync_map<int, std::shared_ptr<caller>>;
    map_type* map;
    int* calls;
    caller(map_type* m, int* c) : map(m), calls(c) {}
    caller(const caller&) = delete;
    ~caller() {
        ++*calls;
        map->erase(99);
    }
};

}  // namespace

TEST_CASE("sync_map: a value is destroyed with no lock held") {
    int calls = 0;
    caller::map_type map(1);
    const auto fresh = [&] { return std::make_shared<caller>(&map, &calls); };
    map.store(1, fresh());
    map.store(1, fresh());
    CHECK(calls == 1);
    map.swap(1, fresh());
    CHECK(calls == 2);
    map.load_or_store(1, fresh());
    CHECK(calls == 3);
    std::shared_ptr<caller> current = *map.load(1);
    CHECK(map.compare_and_swap(1, std::exchange(current, nullptr), fresh()));
    CHECK(calls == 4);
    map.erase(1);
    CHECK(calls == 5);
    map.store(1, fresh());
    current = *map.load(1);
    CHECK(map.compare_and_delete(1, std::exchange(current, nullptr)));
    CHECK(calls == 6);
    for (int other = 0; other < 4; ++other) map.store(other, fresh());
    map.clear();
    CHECK(calls == 10);
}

TEST_CASE("sync_map: agrees with std::map over many random steps") {
    const std::uint64_t seed = test_seed();
    CAPTURE(seed);
    std::minstd_rand random(static_cast<unsigned>(seed));
    sync_map<int, int> map(4);
    std::map<int, int> model;
    for (int step = 0; step < 50'000; ++step) {
        const int key = static_cast<int>(random() % 200);
        const auto at = model.find(key);
        const auto there = at == model.end() ? std::nullopt : std::optional<int>(at->second);
        const int guess = static_cast<int>(random() % 3);
        const int value = static_cast<int>(random() % 3);
        const unsigned how = random() % 500 == 0 ? 8 : random() % 8;  // time to fill up again
        if (how == 0) {
            map.store(key, value);
        } else if (how == 1) {
            const auto got = map.load_or_store(key, value);
            CHECK(got.loaded == there.has_value());
            CHECK(got.value == there.value_or(value));
        } else if (how == 2) {
            CHECK(map.load_and_delete(key) == there);
        } else if (how == 3) {
            CHECK(map.erase(key) == there.has_value());
        } else if (how == 4) {
            CHECK(map.swap(key, value) == there);
        } else if (how == 5) {
            CHECK(map.compare_and_swap(key, guess, value) == (there == guess));
        } else if (how == 6) {
            CHECK(map.compare_and_delete(key, guess) == (there == guess));
        } else if (how == 7) {
            CHECK(map.load(key) == there);
        } else {
            map.clear();
            model.clear();
            CHECK(map.size() == 0);
        }
        const bool stores =
            how == 0 || (how == 1 && !there) || how == 4 || (how == 5 && there == guess);
        const bool erases = how == 2 || how == 3 || (how == 6 && there == guess);
        if (stores) model[key] = value;
        if (erases) model.erase(key);
    }
    std::map<int, int> left;
    map.range([&](const int& key, const int& value) { left.emplace(key, value); });
    CHECK(left == model);
}

namespace {

constexpr int hands = 4;

// Each value is stored by one call at most and leaves by one call: whoever gets it takes it off.
struct traffic {
    sync_map<int, int>* map;
    std::vector<std::atomic<int>>* inside;

    void stored(int v) const { ++(*inside)[static_cast<std::size_t>(v)]; }
    void left(int v) const { --(*inside)[static_cast<std::size_t>(v)]; }
};

void one_step(const traffic& t, int key, unsigned how, int fresh) {
    if (how == 0) {
        if (const auto before = t.map->swap(key, fresh)) t.left(*before);
        t.stored(fresh);
    } else if (how == 1) {
        const auto got = t.map->load_or_store(key, fresh);
        if (!got.loaded) t.stored(fresh);
        EXPECT(got.loaded != (got.value == fresh));
    } else if (how == 2) {
        if (const auto taken = t.map->load_and_delete(key)) t.left(*taken);
    } else if (const auto seen = t.map->load(key)) {
        if (how == 3 && t.map->compare_and_swap(key, *seen, fresh)) {
            t.left(*seen);
            t.stored(fresh);
        } else if (how == 4 && t.map->compare_and_delete(key, *seen)) {
            t.left(*seen);
        }
    }
}

task<> trade(traffic t, int me, int values, std::uint64_t seed) {
    std::minstd_rand random(static_cast<unsigned>(seed) + static_cast<unsigned>(me));
    for (int i = 0; i < values; ++i) {
        one_step(t, static_cast<int>(random() % 3), static_cast<unsigned>(random() % 5),
                 me * values + i);
        if (random() % 16 == 0) co_await yield();
    }
}

task<> trade_together(int values_each, std::uint64_t seed) {
    sync_map<int, int> map;
    std::vector<std::atomic<int>> inside(static_cast<std::size_t>(hands * values_each));
    wait_group all;
    for (int i = 0; i < hands; ++i) all.go(trade, traffic{&map, &inside}, i, values_each, seed);
    co_await all.wait();
    map.range([&](const int&, const int& v) { --inside[static_cast<std::size_t>(v)]; });
    for (const auto& count : inside) EXPECT(count == 0);
}

}  // namespace

TEST_CASE("sync_map 4.1: of all steps on a key at once each value that was stored leaves once") {
    const std::uint64_t seed = test_seed();
    CAPTURE(seed);
    simulated([seed] { return trade_together(64, seed); }, 1'000);
    on_real_workers([seed] { return trade_together(3'000, seed); });
}

namespace {

template <class F>
void in_threads(int count, F fn) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back(fn, i);
    for (std::thread& t : threads) t.join();
    report_expectations();
}

}  // namespace

TEST_CASE("sync_map 4.1: of those who store, take or replace the same at once one succeeds") {
    sync_map<int, int> map;
    constexpr int rounds = 5'000;
    std::atomic<int> stored = 0;
    std::atomic<int> replaced = 0;
    std::atomic<int> taken = 0;
    in_threads(3, [&](int me) {
        for (int key = 0; key < rounds; ++key) stored += !map.load_or_store(key, -1).loaded;
        for (int key = 0; key < rounds; ++key) replaced += map.compare_and_swap(key, -1, me);
        for (int key = 0; key < rounds; ++key)
            taken += me == 0 ? map.compare_and_delete(key, -2) : map.load(key).has_value();
    });
    CHECK(stored == rounds);
    CHECK(replaced == rounds);
    CHECK(taken == 2 * rounds);
    taken = 0;
    in_threads(3, [&](int me) {
        for (int key = 0; key < rounds; ++key)
            taken += me == 0 ? map.erase(key) : map.load_and_delete(key).has_value();
    });
    CHECK(taken == rounds);
}

TEST_CASE("sync_map 4.1: clear amid stores and loads takes what was stored before it") {
    sync_map<int, int> map;
    constexpr int rounds = 5'000;
    in_threads(3, [&](int me) {
        for (int i = 0; i < rounds; ++i) {
            const int key = i % 10;
            if (me == 0) {
                map.store(key, key * 10);
            } else if (me == 1) {
                const auto seen = map.load(key);
                EXPECT(!seen || *seen == key * 10);
            } else {
                map.store(-1, i);
                map.clear();
                EXPECT(!map.load(-1));
            }
        }
    });
    map.clear();
    CHECK(map.size() == 0);
    map.range([](const int&, const int&) { FAIL_CHECK("nothing is left"); });
}

namespace {

task<> count_together(int each) {
    sync_map<std::string, int> map;
    map.store("count", 0);
    wait_group all;
    for (int i = 0; i < hands; ++i) {
        all.go(
            [](sync_map<std::string, int>* m, int steps) -> task<> {
                for (int n = 0; n < steps;) {
                    const int seen = m->load("count").value();
                    if (n % 8 == 0) co_await yield();
                    if (m->compare_and_swap("count", seen, seen + 1)) ++n;
                }
            },
            &map, each);
    }
    co_await all.wait();
    EXPECT(map.load("count") == hands * each);
}

}  // namespace

TEST_CASE("sync_map: compare_and_swap loses no update of many tasks") {
    simulated([] { return count_together(20); }, 1'000);
    on_real_workers([] { return count_together(500); });
}

TEST_CASE("sync_map 4.2: range sees every key that stays, once, while others come, go and change") {
    sync_map<int, int> map;
    constexpr int keys = 512;
    for (int key = 1; key <= keys; ++key) map.store(key, key);
    std::atomic<bool> done = false;
    in_threads(2, [&](int me) {
        if (me == 0) {
            std::minstd_rand random;
            while (!done) {
                const int key = 1 + static_cast<int>(random() % keys);
                map.store(key, key * static_cast<int>(random() % 1'000));
                map.store(-key, -key);
                map.erase(-1 - static_cast<int>(random() % keys));
            }
            return;
        }
        for (int round = 0; round < 200; ++round) {
            std::set<int> seen;
            int stay = 0;
            map.range([&](const int& key, const int& value) {
                EXPECT(seen.insert(key).second);
                EXPECT(value % key == 0);
                stay += key > 0;
            });
            EXPECT(stay == keys);
        }
        done = true;
    });
}

TEST_CASE("sync_map: what happened before a store is visible to whoever gets the value") {
    sync_map<int, int*> map;
    constexpr int rounds = 5'000;
    std::vector<int> plain(rounds);
    in_threads(2, [&](int me) {
        for (int i = 0; i < rounds; ++i) {
            if (me == 0) {
                plain[static_cast<std::size_t>(i)] = i;
                map.store(0, &plain[static_cast<std::size_t>(i)]);
            } else if (const auto seen = map.load(0)) {
                EXPECT(**seen == static_cast<int>(*seen - plain.data()));
            }
        }
    });
}

TEST_CASE("sync_map: of many calls for a new key one makes its value") {
    for (int round = 0; round != 50; ++round) {
        sync_map<std::string, int> map;
        std::atomic<int> made{0};
        std::vector<std::thread> threads;
        for (int t = 0; t != 4; ++t) {
            threads.emplace_back([&] {
                const auto got = map.load_or_store("key", [&made] { return ++made; });
                EXPECT(got.value == 1);
            });
        }
        for (std::thread& t : threads) t.join();
        CHECK(made == 1);
        CHECK(map.size() == 1);
        CHECK(map.load_or_store("key", [] { return 2; }).loaded);
    }
    report_expectations();
}

TEST_CASE("sync_map: a function is not taken for a truth") {
    sync_map<int, bool> map;
    CHECK_FALSE(map.load_or_store(1, [] { return false; }).value);
    CHECK(map.load(1) == false);
}

TEST_CASE("sync_map: a value that could not be made is not stored") {
    sync_map<int, int> map;
    CHECK_THROWS_AS(map.load_or_store(1, []() -> int { throw std::runtime_error("no"); }),
                    std::runtime_error);
    CHECK(map.load(1) == std::nullopt);
    CHECK(map.size() == 0);
}
