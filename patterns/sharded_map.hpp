#pragma once

// sharded_map: a hash map that many workers use at once, cut into shards with a lock each.
//
// When to use: a table that every worker reads and writes, with short work on each entry.
// When not: one hot key (all meet at its shard: keep it in an actor), or values that are only ever
// replaced whole by one writer and read by all.
//
// Concepts: a key's hash chooses its shard (by its top bits) and its bucket within (by the rest),
// so it is computed once. The caller's work runs in a plain function while the shard's lock is
// held: being plain, it cannot suspend, so no lock is ever held across a co_await. It must not call
// back into the same map.
//
// Invariants: several shards are always locked in ascending order, so calls never wait for each
// other in a circle. A std::mutex and not a spin lock, because plain threads use the map too, and a
// thread may lose its core with the lock.
//
// Cost: one uncontended lock and one lookup; 64 bytes and an empty std::unordered_map a shard. The
// number of shards is fixed; four times the workers keeps waiting rare.
//
// Rejected: one read-write lock (its counter is one contended cache line), and lock-free tables (a
// value that is more than a word then needs reclamation, for a lock that is hardly ever contended).

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/patterns/seeded_hash.hpp>

namespace sluice {

// ShardState is whatever the user wants kept beside each shard's entries under the same lock (an
// index, a queue).
template <typename Key, typename T, typename ShardState = std::monostate,
          typename Hash = seeded_hash>
class sharded_map {
    struct stored_key {
        Key key;
        std::uint64_t hash;
    };
    template <typename K>
    struct probe {
        const K& key;
        std::uint64_t hash;
    };
    struct get_hash {
        using is_transparent = void;
        std::size_t operator()(const auto& key) const noexcept { return key.hash; }
    };
    struct same_key {
        using is_transparent = void;
        bool operator()(const auto& a, const auto& b) const {
            return a.hash == b.hash && a.key == b.key;
        }
    };
    using table = std::unordered_map<stored_key, T, get_hash, same_key>;

    struct alignas(64) shard {
        mutable std::mutex lock;
        table entries;     // guarded by lock
        ShardState state;  // guarded by lock
    };

public:
    static constexpr std::size_t max_shards = 64;

    // One key and its place in its locked shard, there or not. Valid only inside the function it
    // was given to.
    template <typename K>
    class entry {
    public:
        // The value, or null when the key is absent.
        T* get() const { return found_ == shard_->entries.end() ? nullptr : &found_->second; }
        // The key as stored: it stays at this address until it is erased. Only for a key that is
        // there.
        const Key& key() const { return found_->first.key; }
        ShardState& state() const { return shard_->state; }

        // Stores a value for a key that is absent.
        template <typename... Args>
        T& emplace(Args&&... args) {
            found_ = shard_->entries
                         .emplace(std::piecewise_construct,
                                  std::forward_as_tuple(stored_key{Key(*key_), hash_}),
                                  std::forward_as_tuple(std::forward<Args>(args)...))
                         .first;
            return found_->second;
        }
        // Does nothing when the key is absent.
        void erase() {
            if (found_ != shard_->entries.end()) shard_->entries.erase(found_);
            found_ = shard_->entries.end();
        }

    private:
        friend class sharded_map;
        entry(shard& where, const K& key, std::uint64_t hash)
            : shard_(&where),
              key_(&key),
              hash_(hash),
              found_(where.entries.find(probe<K>{key, hash})) {}

        shard* shard_;
        const K* key_;
        std::uint64_t hash_;
        typename table::iterator found_;
    };

    // Some locked shards. Valid only inside the function it was given to.
    class locked {
    public:
        // The place of a key whose shard is among the locked ones.
        template <typename K>
        entry<K> at(const K& key) const {
            return map_->place(key);
        }

    private:
        friend class sharded_map;
        explicit locked(sharded_map& map) : map_(&map) {}
        sharded_map* map_;
    };

    // One locked shard, for walking over everything. Valid only inside the function it was given
    // to.
    class locked_shard {
    public:
        std::size_t size() const { return shard_->entries.size(); }
        ShardState& state() const { return shard_->state; }
        template <typename K>
        entry<K> at(const K& key) const {
            return entry<K>(*shard_, key, map_->hash_(key));
        }
        // Calls fn(const Key&, T&) for each entry, in no particular order.
        template <typename Fn>
        void for_each(Fn&& fn) const {
            for (auto& [key, value] : shard_->entries) fn(key.key, value);
        }
        void clear() const { shard_->entries.clear(); }

    private:
        friend class sharded_map;
        locked_shard(sharded_map& map, shard& which) : map_(&map), shard_(&which) {}
        sharded_map* map_;
        shard* shard_;
    };

    // `shards` is rounded up to a power of two. Throws std::invalid_argument for none or more than
    // max_shards.
    explicit sharded_map(std::size_t shards = max_shards, Hash hash = Hash{})
        : count_(std::bit_ceil(shards)), hash_(std::move(hash)) {
        if (shards == 0 || count_ > max_shards)
            throw std::invalid_argument("sharded_map: 1 to 64 shards");
        shards_ = std::make_unique<shard[]>(count_);
    }

    // Calls fn(entry&) for the key's place with its shard locked; gives back what fn gives.
    template <typename K, typename Fn>
    decltype(auto) with(const K& key, Fn&& fn) {
        const std::uint64_t hash = hash_(key);
        shard& where = shards_[index(hash)];
        const std::lock_guard guard(where.lock);
        entry<K> found(where, key, hash);
        return std::forward<Fn>(fn)(found);
    }

    // Calls fn(locked&) with the shards of all the keys locked: one atomic step over several keys.
    template <typename Keys, typename Fn>
    decltype(auto) with_all(const Keys& keys, Fn&& fn) {
        std::uint64_t wanted = 0;
        for (const auto& key : keys) wanted |= std::uint64_t{1} << index(hash_(key));
        const many_guard guard(*this, wanted);
        locked view(*this);
        return std::forward<Fn>(fn)(view);
    }

    // Calls fn(locked_shard&) for one shard after another, each locked in its turn: not one moment
    // of the whole map.
    template <typename Fn>
    void for_each_shard(Fn&& fn) {
        for (std::size_t i = 0; i < count_; ++i) with_shard(i, fn);
    }

    // Calls fn(locked_shard&) with the shard of that number, below shard_count(), locked; gives
    // back what fn gives.
    template <typename Fn>
    decltype(auto) with_shard(std::size_t number, Fn&& fn) {
        shard& which = shards_[number];
        const std::lock_guard guard(which.lock);
        locked_shard view(*this, which);
        return std::forward<Fn>(fn)(view);
    }

    // A copy of the key's value.
    template <typename K>
    std::optional<T> find(const K& key) {
        return with(key, [](auto& place) -> std::optional<T> {
            if (T* value = place.get()) return *value;
            return std::nullopt;
        });
    }

    // True when the key is new.
    template <typename K, typename Value>
    bool insert_or_assign(const K& key, Value&& value) {
        return with(key, [&](auto& place) {
            T* old = place.get();
            if (old)
                *old = std::forward<Value>(value);
            else
                place.emplace(std::forward<Value>(value));
            return !old;
        });
    }

    // True when the key was there.
    template <typename K>
    bool erase(const K& key) {
        return with(key, [](auto& place) {
            const bool there = place.get() != nullptr;
            place.erase();
            return there;
        });
    }

    // Exact only while nobody writes.
    std::size_t size() {
        std::size_t total = 0;
        for_each_shard([&](auto& each) { total += each.size(); });
        return total;
    }

    // One atomic step over all shards. The entries are destroyed when no lock is held any more.
    void clear() {
        std::vector<table> doomed(count_);
        const many_guard guard(*this, ~std::uint64_t{0} >> (max_shards - count_));
        for (std::size_t i = 0; i < count_; ++i) doomed[i].swap(shards_[i].entries);
    }

    std::size_t shard_count() const { return count_; }

private:
    class many_guard {
    public:
        many_guard(sharded_map& map, std::uint64_t wanted) : map_(map), wanted_(wanted) {
            for (std::uint64_t left = wanted_; left; left &= left - 1)
                map_.shards_[std::countr_zero(left)].lock.lock();
        }
        ~many_guard() {
            for (std::uint64_t left = wanted_; left; left &= left - 1)
                map_.shards_[std::countr_zero(left)].lock.unlock();
        }
        many_guard(const many_guard&) = delete;
        many_guard& operator=(const many_guard&) = delete;

    private:
        sharded_map& map_;
        std::uint64_t wanted_;
    };

    std::size_t index(std::uint64_t hash) const { return (hash >> 58) & (count_ - 1); }

    template <typename K>
    entry<K> place(const K& key) {
        const std::uint64_t hash = hash_(key);
        return entry<K>(shards_[index(hash)], key, hash);
    }

    std::size_t count_;
    Hash hash_;
    std::unique_ptr<shard[]> shards_;
};

}  // namespace sluice
