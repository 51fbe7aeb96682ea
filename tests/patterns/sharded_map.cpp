#include <sluice/patterns/sharded_map.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "catch.hpp"

using sluice::sharded_map;

TEST_CASE("sharded_map: a value is found under its key only") {
    sharded_map<std::string, int> map;
    REQUIRE(map.insert_or_assign(std::string("one"), 1));
    REQUIRE(map.insert_or_assign(std::string_view("two"), 2));
    REQUIRE_FALSE(map.insert_or_assign(std::string_view("one"), 10));
    CHECK(map.find(std::string_view("one")) == 10);
    CHECK(map.find(std::string("two")) == 2);
    CHECK(map.find(std::string("three")) == std::nullopt);
    CHECK(map.size() == 2);
    CHECK(map.erase(std::string_view("one")));
    CHECK_FALSE(map.erase(std::string_view("one")));
    CHECK(map.size() == 1);
    map.clear();
    CHECK(map.size() == 0);
}

TEST_CASE("sharded_map: agrees with std::map over many random steps") {
    sharded_map<int, int> map(8);
    std::map<int, int> model;
    std::uint32_t state = 1;
    for (int step = 0; step < 20'000; ++step) {
        state = state * 1664525 + 1013904223;
        const int key = static_cast<int>(state >> 8) % 500;
        if ((state >> 28) < 10) {
            map.insert_or_assign(key, step);
            model[key] = step;
        } else {
            CHECK(map.erase(key) == (model.erase(key) == 1));
        }
    }
    std::map<int, int> found;
    map.for_each_shard([&](auto& shard) {
        shard.for_each([&](const int& key, int& value) { found.emplace(key, value); });
    });
    CHECK(found == model);
}

TEST_CASE("sharded_map: an entry stored in its place can be seen, changed and erased there") {
    sharded_map<std::string, std::string> map(1);
    map.with(std::string_view("key"), [](auto& place) {
        CHECK(place.get() == nullptr);
        place.erase();
        place.emplace("value").append("s");
        CHECK(*place.get() == "values");
        CHECK(place.key() == "key");
    });
    CHECK(map.find(std::string_view("key")) == "values");
    map.with(std::string_view("key"), [](auto& place) {
        place.erase();
        CHECK(place.get() == nullptr);
    });
    CHECK(map.size() == 0);
}

namespace {

template <class T>
void meet_at_one_key() {
    sharded_map<int, T> map(1);
    const std::array keys{7, 7};
    map.insert_or_assign(7, T());
    map.with_all(keys, [&](auto& shards) {
        auto one = shards.at(keys[0]);
        auto other = shards.at(keys[1]);
        one.erase();
        CHECK(other.get() == nullptr);
        other.erase();
        const T* const stored = &one.emplace();
        CHECK(other.get() == stored);
        CHECK(&one.key() == &other.key());
        CHECK(&other.emplace() == stored);
        other.erase();
        CHECK(one.get() == nullptr);
    });
    CHECK(map.size() == 0);
    map.insert_or_assign(7, T());
    map.with_shard(0, [](auto& shard) {
        const int key = 7;
        auto place = shard.at(key);
        CHECK(place.get() != nullptr);
        shard.clear();
        CHECK(place.get() == nullptr);
        place.erase();
        place.emplace();
    });
    CHECK(map.size() == 1);
}

}  // namespace

TEST_CASE("sharded_map: entries of one key agree, whichever erases, stores or clears the shard") {
    meet_at_one_key<int>();
    meet_at_one_key<std::string>();  // which is not read without the lock
}

TEST_CASE("sharded_map: a key stays where it is while the table grows") {
    sharded_map<std::string, int> map(1);
    std::string_view stored;
    map.with(std::string_view("first key"), [&](auto& place) {
        place.emplace(0);
        stored = place.key();
    });
    for (int i = 0; i < 10'000; ++i) map.insert_or_assign(std::to_string(i), i);
    CHECK(stored == "first key");
    map.with(std::string_view("first key"),
             [&](auto& place) { CHECK(place.key().data() == stored.data()); });
}

TEST_CASE("sharded_map: each shard's state is under the lock of its entries") {
    sharded_map<int, int, std::set<int>> map(4);
    for (int key = 0; key < 100; ++key) {
        map.with(key, [&](auto& place) {
            place.emplace(key);
            place.state().insert(key);
        });
    }
    std::size_t shards_used = 0;
    map.for_each_shard([&](auto& shard) {
        shards_used += shard.size() > 0;
        CHECK(shard.state().size() == shard.size());
        shard.for_each([&](const int& key, int&) { CHECK(shard.state().contains(key)); });
    });
    CHECK(shards_used == 4);
}

TEST_CASE("sharded_map: several keys change in one step, whatever the order of locking asked for") {
    sharded_map<int, int> map;
    constexpr int keys = 16;
    constexpr int rounds = 2'000;
    for (int key = 0; key < keys; ++key) map.insert_or_assign(key, 100);

    // Each thread moves value between two keys, in both directions; the sum never changes.
    const auto move_around = [&](unsigned seed) {
        std::uint32_t state = seed;
        for (int i = 0; i < rounds; ++i) {
            state = state * 1664525 + 1013904223;
            const std::vector<int> two = {static_cast<int>(state >> 8) % keys,
                                          static_cast<int>(state >> 16) % keys};
            map.with_all(two, [&](auto& shards) {
                --*shards.at(two[0]).get();
                ++*shards.at(two[1]).get();
            });
        }
    };
    bool whole = true;
    const auto watch = [&] {
        std::vector<int> all(keys);
        for (int key = 0; key < keys; ++key) all[static_cast<std::size_t>(key)] = key;
        for (int i = 0; i < rounds; ++i) {
            const int sum = map.with_all(all, [&](auto& shards) {
                int total = 0;
                for (const int& key : all) total += *shards.at(key).get();
                return total;
            });
            int sum_of_shards = 0;
            map.with_every_shard([&](auto& shard) {
                shard.for_each([&](const int&, int& value) { sum_of_shards += value; });
            });
            whole = whole && sum == 100 * keys && sum_of_shards == sum;
        }
    };
    std::thread first(move_around, 1u);
    std::thread second(move_around, 2u);
    std::thread third(watch);
    first.join();
    second.join();
    third.join();
    CHECK(whole);
}

TEST_CASE("sharded_map: clear is one step, seen in all shards or in none") {
    sharded_map<int, int> map;
    constexpr int keys = 20'000;
    int halves = 0;
    for (int round = 0; round < 10; ++round) {
        for (int key = 0; key < keys; ++key) map.insert_or_assign(key, key);
        std::atomic<bool> done = false;
        std::thread clears([&] {
            map.clear();
            done = true;
        });
        bool seen = false;  // that it has happened; then no key may be left
        for (int key = 0; !done; key = (key + 1) % keys) {
            const bool gone = !map.find(key);
            halves += seen && !gone;
            seen = seen || gone;
        }
        clears.join();
    }
    CHECK(halves == 0);
    CHECK(map.size() == 0);
}

TEST_CASE("sharded_map: what goes is destroyed with no shard locked, whichever way it goes") {
    sharded_map<int, std::shared_ptr<void>> map(1);
    std::vector<std::size_t> left;  // at each end of a value
    const auto fresh = [&] {
        return std::shared_ptr<void>(&map, [&](void*) { left.push_back(map.size()); });
    };
    map.insert_or_assign(1, fresh());
    map.insert_or_assign(1, fresh());
    CHECK(left == std::vector<std::size_t>{1});
    map.erase(1);
    CHECK(left == std::vector<std::size_t>{1, 0});
    left.clear();

    const auto fill = [&] {
        for (const int key : {1, 2}) map.insert_or_assign(key, fresh());
    };
    fill();
    map.with_shard(0, [](auto& shard) {
        const int key = 1;
        shard.at(key).erase();
    });
    CHECK(left == std::vector<std::size_t>{1});
    map.with_shard(0, [](auto& shard) { shard.clear(); });
    CHECK(left == std::vector<std::size_t>{1, 0});
    fill();
    map.with_every_shard([](auto& shard) { shard.clear(); });
    CHECK(left == std::vector<std::size_t>{1, 0, 0, 0});
    fill();
    map.clear();
    CHECK(left == std::vector<std::size_t>{1, 0, 0, 0, 0, 0});
}

TEST_CASE("sharded_map: one shard is locked by its number") {
    sharded_map<int, int> map(4);
    for (int key = 0; key < 100; ++key) map.insert_or_assign(key, key);
    std::size_t total = 0;
    for (std::size_t i = 0; i < map.shard_count(); ++i)
        total += map.with_shard(i, [](auto& shard) { return shard.size(); });
    CHECK(total == 100);
}

TEST_CASE("sharded_map: no key and no writer is lost between threads") {
    sharded_map<std::uint64_t, int> map;
    const auto count_up = [&] {
        for (std::uint64_t i = 0; i < 20'000; ++i) {
            map.with(i % 97,
                     [](auto& place) { ++(place.get() ? *place.get() : place.emplace(0)); });
        }
    };
    std::thread other(count_up);
    count_up();
    other.join();
    int total = 0;
    map.for_each_shard([&](auto& shard) {
        shard.for_each([&](const std::uint64_t&, int& count) { total += count; });
    });
    CHECK(total == 40'000);
    CHECK(map.size() == 97);
}

TEST_CASE("sharded_map: keys spread over the shards") {
    sharded_map<std::string, int> map(64);
    for (int i = 0; i < 6'400; ++i) map.insert_or_assign("key:" + std::to_string(i), i);
    std::size_t fullest = 0;
    map.for_each_shard([&](auto& shard) { fullest = std::max(fullest, shard.size()); });
    CHECK(fullest < 200);
}

TEST_CASE("sharded_map: keys spread over the shards, also where the hash is the key itself") {
    struct same {
        std::size_t operator()(std::uint64_t key) const { return key; }
    };
    for (const std::uint64_t step : {1u, 64u, 4096u}) {
        sharded_map<std::uint64_t, int, std::monostate, same> map(64);
        for (std::uint64_t i = 0; i < 6'400; ++i) map.insert_or_assign(i * step, 0);
        std::size_t fullest = 0;
        map.for_each_shard([&](auto& shard) { fullest = std::max(fullest, shard.size()); });
        CHECK(fullest < 200);
    }
}

TEST_CASE("sharded_map: the number of shards is a power of two, at most 64") {
    CHECK(sharded_map<int, int>(5).shard_count() == 8);
    CHECK(sharded_map<int, int>(64).shard_count() == 64);
    CHECK_THROWS_AS((sharded_map<int, int>(0)), std::invalid_argument);
    for (const std::size_t many : {std::size_t{65}, SIZE_MAX})
        CHECK_THROWS_AS((sharded_map<int, int>(many)), std::invalid_argument);
}

TEST_CASE("seeded_hash: is SipHash-1-3") {
    // Key 00..0f, message 00 01 02 …, as in the test vectors of the paper, which has them for 2-4
    // rounds.
    const sluice::hash_seed seed{0x0706050403020100, 0x0f0e0d0c0b0a0908};
    const sluice::seeded_hash hash(seed);
    const std::string message("\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16", 15);
    CHECK(hash(std::string_view(message).substr(0, 0)) == 0xabac0158050fc4dc);
    CHECK(hash(std::string_view(message).substr(0, 1)) == 0xc9f49bf37d57ca93);
    CHECK(hash(std::string_view(message).substr(0, 7)) == 0xd3927d989bb11140);
    CHECK(hash(std::string_view(message).substr(0, 8)) == 0x369095118d299a8e);
    CHECK(hash(std::string_view(message)) == 0xd320d86d2a519956);
}

TEST_CASE("seeded_hash: another seed, another order") {
    const sluice::seeded_hash one;
    const sluice::seeded_hash other;
    CHECK(one("key") == one("key"));
    CHECK(one("key") != other("key"));
    CHECK(one(std::uint64_t{1}) != one(std::uint64_t{2}));
}

TEST_CASE("sharded_map: a key is the same by whatever type of number it is named") {
    sharded_map<std::uint64_t, int> map;
    REQUIRE(map.insert_or_assign(7, 1));
    CHECK(map.find(std::uint64_t{7}) == 1);
    CHECK(map.find(short{7}) == 1);
    CHECK_FALSE(map.insert_or_assign(std::uint64_t{7}, 2));
    CHECK(map.find(7) == 2);
    CHECK(map.size() == 1);
    CHECK(map.erase(7));
    CHECK(map.size() == 0);
}

TEST_CASE("sharded_map: keys may be numbers with a point, pairs and tuples") {
    sharded_map<double, int> numbers;
    numbers.insert_or_assign(0.0, 1);
    CHECK(numbers.find(-0.0) == 1);
    CHECK(numbers.find(0.5) == std::nullopt);
    sharded_map<std::pair<std::string, int>, int> pairs;
    pairs.insert_or_assign(std::pair<std::string, int>("a", 1), 2);
    CHECK(pairs.find(std::pair<std::string, int>("a", 1)) == 2);
    CHECK(pairs.find(std::pair<std::string, int>("a", 2)) == std::nullopt);
    CHECK(pairs.find(std::pair<std::string, int>("b", 1)) == std::nullopt);
    using triple = std::tuple<std::string, float, std::pair<int, int>>;
    sharded_map<triple, int> triples;
    triples.insert_or_assign(triple("a", 1.5f, {1, 2}), 3);
    CHECK(triples.find(triple("a", 1.5f, {1, 2})) == 3);
    CHECK(triples.find(triple("a", 1.5f, {2, 1})) == std::nullopt);
}

TEST_CASE("sharded_map: a struct is hashed as a tuple of its parts") {
    struct place {
        std::string host;
        char kind;
        int port;
        bool operator==(const place&) const = default;
    };
    struct hash_of_place {
        sluice::seeded_hash parts{};
        std::size_t operator()(const place& key) const {
            return parts(std::tie(key.host, key.kind, key.port));
        }
    };
    sharded_map<place, int, std::monostate, hash_of_place> map;
    map.insert_or_assign(place{"a", 't', 1}, 2);
    CHECK(map.find(place{"a", 't', 1}) == 2);
    CHECK(map.find(place{"a", 't', 2}) == std::nullopt);
}
