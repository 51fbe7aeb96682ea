#include <sluice/patterns/sharded_map.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/task.hpp>

#include "support.hpp"

using sluice::sharded_map;
using sluice::task;
using sluice::wait_group;

namespace {

constexpr int rounds = 300;

template <class Map>
struct scene {
    explicit scene(std::size_t shards) : map(shards) {}
    Map map;
    std::atomic<bool> done = false;
};

template <class Scene, class Write>
task<> write_in_task(Scene* all, Write write) {
    for (int round = 0; round < rounds; ++round) {
        write(all->map, round);
        if (round % 16 == 0) co_await sluice::yield();
    }
    all->done = true;
}

template <class Scene, class Read>
task<> read_in_task(Scene* all, Read read) {
    while (!all->done) {
        for (int i = 0; i < 50; ++i) read(all->map);
        co_await sluice::yield();
    }
}

/// Calls write(map, round) in one task, and read(map) in others and in a plain thread meanwhile.
template <class Map, class Write, class Read>
void meanwhile(std::size_t shards, Write write, Read read) {
    run_on(3, [=]() -> task<> {
        auto all = std::make_unique<scene<Map>>(shards);
        std::thread stranger([&] {
            while (!all->done) read(all->map);
        });
        wait_group tasks;
        tasks.go(write_in_task<scene<Map>, Write>, all.get(), write);
        for (int i = 0; i < 3; ++i) tasks.go(read_in_task<scene<Map>, Read>, all.get(), read);
        co_await tasks.wait();
        stranger.join();
    });
}

/// Keys come, get other values, and go, so many that the table grows and shrinks.
template <class T>
void come_and_go(T (*make)(int), bool (*whole)(const T&, int key)) {
    constexpr int keys = 200;
    meanwhile<sharded_map<int, T>>(
        2,
        [=](auto& map, int round) {
            for (int key = 0; key < keys; ++key)
                map.insert_or_assign(key, make(key + round * keys));
            for (int key = 0; key < keys; ++key)
                map.with(key, [&](auto& place) { *place.get() = make(key); });
            if (round % 8 == 7) {
                map.for_each_shard([](auto& shard) { shard.clear(); });
            } else if (round % 4 == 3) {
                map.clear();
            } else {
                for (int key = 1; key < keys; ++key) map.erase(key);
            }
        },
        [=](auto& map) {
            for (int key = 0; key < keys; key += 7) {
                if (const std::optional<T> seen = map.find(key)) EXPECT(whole(*seen, key));
            }
        });
}

using large = std::array<int, 16>;
using too_large = std::array<int, 18>;

template <class Array>
Array filled(int value) {
    Array all;
    all.fill(value);
    return all;
}

template <class Array>
bool whole_array(const Array& all, int key) {
    return all == filled<Array>(all[0]) && all[0] % 200 == key;
}

}  // namespace

TEST_CASE("sharded_map: readers see whole values while keys come, change and go") {
    come_and_go<std::uint64_t>(
        [](int v) { return static_cast<std::uint64_t>(v); },
        [](const std::uint64_t& v, int key) { return v % 200 == static_cast<std::uint64_t>(key); });
    come_and_go<bool>([](int v) { return v % 2 == 0; },
                      [](const bool& v, int key) { return v == (key % 2 == 0); });
    come_and_go<large>(filled<large>, whole_array<large>);
}

TEST_CASE("sharded_map: readers of what is too large or more than bytes see whole values too") {
    come_and_go<too_large>(filled<too_large>, whole_array<too_large>);
    come_and_go<std::string>([](int v) { return std::string(40, static_cast<char>('a' + v % 20)); },
                             [](const std::string& v, int key) {
                                 return v == std::string(40, static_cast<char>('a' + key % 20));
                             });
}

TEST_CASE("sharded_map: readers see what several keys become in one step in this order only") {
    using counts = sharded_map<int, long>;
    meanwhile<counts>(
        8,
        [](counts& map, int round) {
            static constexpr std::array<int, 4> keys{1, 2, 3, 4};
            if (round == 0) {
                map.with_all(keys, [](auto& shards) {
                    for (const int& key : keys) shards.at(key).emplace(0);
                });
            }
            for (int i = 0; i < 30; ++i) {
                map.with_all(keys, [](auto& shards) {
                    for (const int& key : keys) ++*shards.at(key).get();
                });
            }
        },
        [](counts& map) {
            const long last = map.find(4).value_or(-1);
            const long first = map.find(1).value_or(-1);
            const long again = map.find(4).value_or(-1);
            EXPECT(last <= first);
            EXPECT(first <= again);
        });
}

TEST_CASE("sharded_map: what one function does in a shard is one step to readers") {
    meanwhile<sharded_map<int, int>>(
        1,
        [](auto& map, int round) {
            if (round == 0) map.insert_or_assign(1, 0);
            for (int i = 0; i < 30; ++i) {
                map.with(1, [](auto& place) {
                    const int before = *place.get();
                    place.erase();
                    place.emplace(before + 1);
                });
            }
            map.with_shard(0, [](auto& shard) {
                shard.clear();
                for (int other = 2; other < 40; ++other) shard.at(other).emplace(0);
                shard.at(1).emplace(1);
            });
        },
        [](auto& map) {
            static std::atomic<bool> ever = false;
            const bool before = ever;
            const auto seen = map.find(1);
            EXPECT(seen || !before);
            if (seen) ever = true;
        });
}

TEST_CASE("sharded_map: clear is one step to readers that take no lock") {
    constexpr int keys = 300;
    meanwhile<sharded_map<int, int>>(
        16,
        [](auto& map, int round) {
            for (int key = 0; key < keys; ++key) map.insert_or_assign(key, round);
            map.clear();
        },
        [](auto& map) {
            for (int key = 0; key + 1 < keys; key += 3) {
                // The keys come in ascending order, so that only clear() makes the lower one lack.
                const auto higher = map.find(key + 1);
                const auto lower = map.find(key);
                if (!higher) continue;
                EXPECT(!lower || *lower >= *higher);
                const auto again = map.find(key + 1);
                EXPECT(lower || !again || *again > *higher);
            }
        });
}

namespace {

/// A key that knows how many there are, and that cannot be compared at times.
struct counted {
    static inline std::atomic<int> alive = 0;
    static inline std::atomic<bool> comparable = true;

    explicit counted(int n) : number(n) { ++alive; }
    counted(const counted& other) : number(other.number) { ++alive; }
    counted& operator=(const counted&) = delete;
    ~counted() { --alive; }
    bool operator==(const counted& other) const {
        if (!comparable) throw std::runtime_error("not now");
        return number == other.number;
    }

    int number;
};

struct hash_counted {
    std::uint64_t operator()(const counted& key) const {
        return static_cast<std::uint64_t>(key.number);
    }
};

using counted_map = sharded_map<counted, int, std::monostate, hash_counted>;

}  // namespace

TEST_CASE("sharded_map: what is erased is given back, soon for many and at once by clear") {
    run_on(2, []() -> task<> {
        constexpr int keys = 10'000;
        counted_map map(1);
        for (int round = 0; round < 3; ++round) {
            for (int i = 0; i < keys; ++i) map.insert_or_assign(counted(i), i);
            EXPECT(map.find(counted(7)) == 7);
            EXPECT(counted::alive <= keys + keys / 2 + 100);
            for (int i = 0; i < keys; ++i) map.erase(counted(i));
            EXPECT(counted::alive < 100);
            map.insert_or_assign(counted(1), 1);
            map.clear();
            EXPECT(counted::alive == 0);
        }
        for (int i = 0; i < 40; ++i) map.insert_or_assign(counted(i), i);
        map.with_shard(0, [](auto& shard) { shard.clear(); });
        EXPECT(counted::alive == 0);
        map.insert_or_assign(counted(1), 1);
        co_return;
    });
    CHECK(counted::alive == 0);
}

TEST_CASE("sharded_map: a function that locks several shards gives back what it erased") {
    run_on(2, []() -> task<> {
        constexpr int keys = 1'000;
        counted_map map(8);
        std::vector<counted> all;
        for (int i = 0; i < keys; ++i) all.emplace_back(i);
        for (const counted& key : all) map.insert_or_assign(key, 1);
        map.with_all(all, [&](auto& shards) {
            for (const counted& key : all) shards.at(key).erase();
        });
        EXPECT(map.size() == 0);
        EXPECT(counted::alive == keys);
        co_return;
    });
}

namespace {

struct folder {
    int files = 0;
    sharded_map<std::string, folder> folders{1};
};

}  // namespace

TEST_CASE("sharded_map: a value may hold a map of its own kind") {
    folder root;
    root.folders.with("a", [](auto& place) {
        place.emplace();
        place.get()->folders.with("b", [](auto& inner) { inner.emplace().files = 3; });
    });
    const int files = root.folders.with("a", [](auto& place) {
        return place.get()->folders.with("b", [](auto& inner) { return inner.get()->files; });
    });
    CHECK(files == 3);
}

TEST_CASE("sharded_map: a comparison that throws keeps nobody from giving memory back") {
    run_on(1, []() -> task<> {
        counted_map map(1);
        map.insert_or_assign(counted(1), 1);
        counted::comparable = false;
        bool thrown = false;
        try {
            map.find(counted(1));
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        counted::comparable = true;
        EXPECT(thrown);
        EXPECT(map.find(counted(1)) == 1);
        map.clear();
        EXPECT(counted::alive == 0);
        co_return;
    });
}
