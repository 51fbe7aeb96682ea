#pragma once

// sharded_map: a hash map that many workers use at once, cut into shards with a lock each.
//
// When to use: a table that every worker reads and writes, with short work on each entry.
// When not: one hot key (all meet at its shard: keep it in an actor), or values that are only ever
// replaced whole by one writer and read by all.
//
// Concepts: a key's hash chooses its shard and, otherwise multiplied, its bucket within, so it is
// computed once. The caller's work runs in a plain function while the shard's lock is held: being
// plain, it cannot suspend, so no lock is ever held across a co_await. It must not call back into
// the same map. The destructors of what erase(), clear() and insert_or_assign() take out may: they
// run when no lock is held any more.
//
// find() takes no lock where it can: in a task, for values that are trivially copyable and at most
// 64 bytes (detail/shared_table.hpp). The comparison of keys then runs while others change the map,
// and compare the same keys: it must bear that, and wait for nobody. What was done before the value
// was stored is visible to who finds it; find() itself orders nothing that was done before it.
//
// Invariants: several shards are always locked in ascending order, so calls never wait for each
// other in a circle.
//
// Cost: find() one lookup, all else one uncontended lock and one lookup; 128 bytes a shard, and
// about 50 an entry beside the key and the value, of which find() without a lock needs a second
// one. Keys that were erased from such a map are kept until they are more than 32, and half of what
// is left, in a shard; clear() keeps none. The number of shards is fixed; four times the workers
// keeps waiting rare.
//
// Rejected: one read-write lock (its counter is one contended cache line), locks for readers (the
// line of an uncontended one too was last written by another core, in most cases), and writers
// without a lock (what is done to an entry would have to be a single compare-and-swap).

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/patterns/detail/shared_table.hpp>
#include <sluice/patterns/seeded_hash.hpp>

namespace sluice {

// ShardState is whatever the user wants kept beside each shard's entries under the same lock (an
// index, a queue).
template <typename Key, typename T, typename ShardState = std::monostate,
          typename Hash = seeded_hash>
class sharded_map {
    using table = detail::shared_table<Key, T>;

    // Whether a key hashes the same when it is named by a K that is equal to it. With a seeded_hash
    // texts do, and nothing else.
    template <typename K>
    static constexpr bool hashes_alike = std::same_as<K, Key> || !std::same_as<Hash, seeded_hash> ||
                                         (std::convertible_to<const K&, std::string_view> &&
                                          std::convertible_to<const Key&, std::string_view>);

    template <typename K>
    using named_by = std::conditional_t<hashes_alike<K>, const K&, Key>;

    struct shard {
        [[no_unique_address]] table entries;
        [[no_unique_address]] ShardState state;  // under the lock of entries
    };

public:
    static constexpr std::size_t max_shards = 64;

    // One key and its place in its locked shard, there or not, also when it comes or goes by
    // another entry of the same key. Valid only inside the function it was given to, and while what
    // the key was named by is there.
    template <typename K>
    class entry {
    public:
        // The value, or null when the key is absent.
        T* get() const {
            auto* const at = found();
            return at == nullptr ? nullptr : shard_->entries.lend(at);
        }
        // The key as stored: it stays at this address until it is erased. Only for a key that is
        // there.
        const Key& key() const { return found()->key; }
        ShardState& state() const { return shard_->state; }

        // Stores a value for a key that is absent.
        template <typename... Args>
        T& emplace(Args&&... args) {
            if (found() == nullptr)
                remember(shard_->entries.emplace(*key_, hash_, std::forward<Args>(args)...));
            return *get();
        }
        // Does nothing when the key is absent.
        void erase() {
            auto* const at = found();
            if (at == nullptr) return;
            shard_->entries.erase(at);
            remember(nullptr);
        }

    private:
        friend class sharded_map;
        using node = typename table::node;

        entry(shard& where, const K& key, std::uint64_t hash)
            : shard_(&where), key_(&key), hash_(hash) {
            remember(where.entries.find(key, hash));
        }

        // Null: it is absent.
        node* found() const {
            if (seen_ != shard_->entries.changes()) remember(shard_->entries.find(*key_, hash_));
            return found_;
        }
        void remember(node* at) const {
            found_ = at;
            seen_ = shard_->entries.changes();
        }

        shard* shard_;
        const K* key_;
        std::uint64_t hash_;
        mutable node* found_;
        mutable std::uint64_t seen_;  // what found_ is right after
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
            return entry<K>(*shard_, key, map_->hash_of(key));
        }
        // Calls fn(const Key&, T&) for each entry, in no particular order. fn must not add or erase
        // entries.
        template <typename Fn>
        void for_each(Fn&& fn) const {
            shard_->entries.for_each([&](auto* at) { fn(at->key, *shard_->entries.lend(at)); });
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
        : count_(std::bit_ceil(checked(shards))),
          hash_(std::move(hash)),
          shards_(std::make_unique<shard[]>(count_)) {}

    // Calls fn(entry&) for the key's place with its shard locked; gives back what fn gives. A key
    // may be named by what can be converted to it, a text without a copy; so it may for find(),
    // insert_or_assign() and erase().
    template <typename K, typename Fn>
    decltype(auto) with(const K& key, Fn&& fn) {
        const auto& name = static_cast<named_by<K>>(key);
        const std::uint64_t hash = hash_of(name);
        shard& where = shards_[index(hash)];
        const std::lock_guard guard(where.entries);
        entry<std::remove_cvref_t<named_by<K>>> found(where, name, hash);
        return std::forward<Fn>(fn)(found);
    }

    // Calls fn(locked&) with the shards of all the keys locked: one atomic step over several keys.
    template <typename Keys, typename Fn>
    decltype(auto) with_all(const Keys& keys, Fn&& fn) {
        std::uint64_t wanted = 0;
        for (const auto& key : keys) wanted |= std::uint64_t{1} << index(hash_of(key));
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

    // Calls fn(locked_shard&) for one shard after another with all of them locked: one atomic step
    // over the whole map.
    template <typename Fn>
    void with_every_shard(Fn&& fn) {
        const many_guard guard(*this, every_shard());
        for (std::size_t i = 0; i < count_; ++i) {
            locked_shard view(*this, shards_[i]);
            fn(view);
        }
    }

    // Calls fn(locked_shard&) with the shard of that number, below shard_count(), locked; gives
    // back what fn gives.
    template <typename Fn>
    decltype(auto) with_shard(std::size_t number, Fn&& fn) {
        shard& which = shards_[number];
        const std::lock_guard guard(which.entries);
        which.entries.close();
        locked_shard view(*this, which);
        return std::forward<Fn>(fn)(view);
    }

    // A copy of the key's value.
    template <typename K>
    std::optional<T> find(const K& key) {
        const auto& name = static_cast<named_by<K>>(key);
        const std::uint64_t hash = hash_of(name);
        table& in = shards_[index(hash)].entries;
        if constexpr (table::readable) {
            typename detail::copied_value<T>::words seen{};
            const auto found = in.peek(name, hash, seen);
            if (found == table::glimpse::present) return detail::copied_value<T>::to_value(seen);
            if (found == table::glimpse::absent) return std::nullopt;
        }
        const std::lock_guard guard(in);
        // Not lent: that would turn the other readers away.
        if (const auto* const at = in.find(name, hash)) return at->value.object();
        return std::nullopt;
    }

    // True when the key is new.
    template <typename K, typename Value>
    bool insert_or_assign(const K& key, Value&& value) {
        constexpr bool keeps_old = std::movable<T> && !std::is_trivially_destructible_v<T>;
        [[maybe_unused]] std::conditional_t<keeps_old, std::optional<T>, char> old{};
        return with(key, [&](auto& place) {
            T* const there = place.get();
            if (!there) {
                place.emplace(std::forward<Value>(value));
                return true;
            }
            if constexpr (keeps_old)  // beyond the lock
                old.emplace(std::exchange(*there, T(std::forward<Value>(value))));
            else
                *there = std::forward<Value>(value);
            return false;
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
        std::vector<typename table::remains> doomed;
        doomed.reserve(count_);
        {
            const many_guard guard(*this, every_shard());
            for (std::size_t i = 0; i < count_; ++i)
                doomed.push_back(shards_[i].entries.take_all());
        }
        if constexpr (table::readable)
            for (std::size_t i = 0; i < count_; ++i) detail::wait_for_visitors(&shards_[i].entries);
    }

    std::size_t shard_count() const { return count_; }

private:
    class many_guard {
    public:
        many_guard(sharded_map& map, std::uint64_t wanted) : map_(map), wanted_(wanted) {
            for (std::uint64_t left = wanted_; left; left &= left - 1)
                map_.shards_[std::countr_zero(left)].entries.lock();
            for (std::uint64_t left = wanted_; left; left &= left - 1)
                map_.shards_[std::countr_zero(left)].entries.close();
        }
        ~many_guard() {
            shard* const all = map_.shards_.get();  // once none is locked the map may go
            std::array<std::optional<typename table::remains>, max_shards> doomed;
            for (std::uint64_t left = wanted_; left; left &= left - 1) {
                const int i = std::countr_zero(left);
                if (auto gone = all[i].entries.unlock_keeping())
                    doomed[i].emplace(std::move(*gone));
            }
            for (std::uint64_t left = wanted_; left; left &= left - 1) {
                const int i = std::countr_zero(left);
                if (table::readable && doomed[i]) detail::wait_for_visitors(&all[i].entries);
            }
        }
        many_guard(const many_guard&) = delete;
        many_guard& operator=(const many_guard&) = delete;

    private:
        sharded_map& map_;
        std::uint64_t wanted_;
    };

    static std::size_t checked(std::size_t shards) {
        if (shards == 0 || shards > max_shards)
            throw std::invalid_argument("sharded_map: 1 to 64 shards");
        return shards;
    }

    std::uint64_t every_shard() const { return ~std::uint64_t{0} >> (max_shards - count_); }

    template <typename K>
    std::uint64_t hash_of(const K& key) const {
        static_assert(hashes_alike<K>,
                      "name the key by its own type: another one hashes otherwise");
        return hash_(key);
    }

    // By the top bits of a product, since a user's hash may be the key itself; not the product that
    // chooses the bucket.
    std::size_t index(std::uint64_t hash) const {
        return (hash * 0xd6e8feb86659fd93u >> 58) & (count_ - 1);
    }

    template <typename K>
    entry<K> place(const K& key) {
        const std::uint64_t hash = hash_of(key);
        return entry<K>(shards_[index(hash)], key, hash);
    }

    std::size_t count_;
    Hash hash_;
    std::unique_ptr<shard[]> shards_;
};

}  // namespace sluice
