// Eight tasks read and write a map of 1,024 keys, nine reads for each write.

#include "measure.hpp"

#include <sluice/patterns/sharded_map.hpp>
#include <sluice/patterns/sync_map.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <atomic>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

constexpr int users = 8;
constexpr std::uint64_t keys = 1'024;

/// What is stored under a key is always this.
constexpr std::uint64_t value_of(std::uint64_t key) {
    return key * key;
}

/// Keys in an order without a pattern, the same with every map and in every language.
class key_sequence {
public:
    explicit key_sequence(std::uint64_t user) : state_(user * 0x9e3779b97f4a7c15u + 1) {}
    std::uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ % keys;
    }

private:
    std::uint64_t state_;
};

/// Whether all reads were right.
template <class Map>
bool use(Map& map, std::uint64_t user, std::int64_t n) {
    key_sequence sequence(user);
    std::int64_t right = 0;
    std::int64_t reads = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        const std::uint64_t key = sequence.next();
        if (i % 10 == 0) {
            map.store(key, value_of(key));
        } else {
            ++reads;
            const std::optional<std::uint64_t> found = map.load(key);
            right += found && *found == value_of(key);
        }
    }
    return right == reads;
}

/// sharded_map as sync_map is called.
class sharded {
public:
    void store(std::uint64_t key, std::uint64_t value) { map_.insert_or_assign(key, value); }
    std::optional<std::uint64_t> load(std::uint64_t key) { return map_.find(key); }

private:
    sluice::sharded_map<std::uint64_t, std::uint64_t> map_;
};

/// What the standard library has for it.
class locked {
public:
    void store(std::uint64_t key, std::uint64_t value) {
        const std::lock_guard guard(lock_);
        map_[key] = value;
    }
    std::optional<std::uint64_t> load(std::uint64_t key) {
        const std::shared_lock guard(lock_);
        const auto found = map_.find(key);
        if (found == map_.end()) return std::nullopt;
        return found->second;
    }

private:
    std::shared_mutex lock_;
    std::unordered_map<std::uint64_t, std::uint64_t> map_;
};

template <class Map>
sluice::task<> use_in_task(Map* map, std::uint64_t user, std::int64_t n, std::atomic<int>* right) {
    *right += use(*map, user, n);
    co_return;
}

template <class Map>
sluice::task<bool> in_tasks(std::int64_t n) {
    Map map;
    for (std::uint64_t key = 0; key < keys; ++key) map.store(key, value_of(key));
    std::atomic<int> right = 0;
    sluice::wait_group tasks;
    for (std::uint64_t user = 0; user < users; ++user)
        tasks.go(use_in_task<Map>, &map, user, n / users, &right);
    co_await tasks.wait();
    co_return right == users;
}

bool in_threads(std::int64_t n) {
    locked map;
    for (std::uint64_t key = 0; key < keys; ++key) map.store(key, value_of(key));
    std::atomic<int> right = 0;
    std::vector<std::jthread> threads;
    for (std::uint64_t user = 0; user < users; ++user)
        threads.emplace_back([&, user] { right += use(map, user, n / users); });
    threads.clear();
    return right == users;
}

const measured sharded_tasks("sharded_map", 4'000'000, in_tasks<sharded>);
const measured sync_tasks("sync_map", 4'000'000,
                          in_tasks<sluice::sync_map<std::uint64_t, std::uint64_t>>);
const measured sharded_threads("sharded_map", 4'000'000, in_threads);
const measured sync_threads("sync_map", 4'000'000, in_threads);

}  // namespace
