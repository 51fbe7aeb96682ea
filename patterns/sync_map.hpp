#pragma once

// sync_map: a map that any number of tasks and threads use at once, by whole values; Go's sync.Map.
//
// When to use: a cache or a registry whose values are replaced, not changed in place.
// When not: to change a value where it stands, or several keys in one step (sharded_map, on which
// this is built); a table that one task owns (std::unordered_map).
//
// Each operation on a key is one atomic step, and so is clear(). What happened before a value was
// stored is visible to whoever gets it. Nothing waits but for a shard's lock, so it can be used in
// tasks and in plain threads. Values are handed out as copies: keep large ones in a
// std::shared_ptr<const T>.
//
// No lock is held while a callback of range() runs or a value is destroyed, so both may use the
// map. The hash, the comparison, the copying and the moving of keys and values must not, nor the
// destruction of what a value was moved out of: they run under a lock or, for load(), while others
// change the map and compare (see sharded_map).
//
// Cost: that of sharded_map, and a copy for each value handed out.

#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/patterns/sharded_map.hpp>

namespace sluice {

template <typename Key, typename T, typename Hash = seeded_hash>
class sync_map {
    using table = sharded_map<Key, T, std::monostate, Hash>;

    static constexpr bool looks_up_text =
        std::same_as<Key, std::string> && std::invocable<const Hash&, std::string_view>;

public:
    // How a key is named: a std::string by any text, without a copy.
    using key_argument = std::conditional_t<looks_up_text, std::string_view, const Key&>;

    // What load_or_store() gives.
    struct loaded_or_stored {
        T value;
        bool loaded;  // true: it was there
    };

    // As in sharded_map. No more by default, because clear() locks them all, and ThreadSanitizer
    // follows at most 64 locks of a thread.
    explicit sync_map(std::size_t shards = 32, Hash hash = Hash{})
        : table_(shards, std::move(hash)) {}

    // The key's value; nothing when it is absent.
    std::optional<T> load(key_argument key) { return table_.find(key); }

    // The key has this value from now on.
    void store(key_argument key, T value) { swap(key, std::move(value)); }

    // The value that is there; if none is, stores this one and gives it.
    loaded_or_stored load_or_store(key_argument key, T value) {
        return table_.with(key, [&](auto& place) -> loaded_or_stored {
            if (T* const there = place.get()) return {*there, true};
            loaded_or_stored stored{value, false};
            place.emplace(std::move(value));
            return stored;
        });
    }

    // The value that is there; if none is, stores what make() gives. Of several calls for a key
    // that is absent one runs its make(), under a shard's lock: it must not use the map, and should
    // be short. If it throws, nothing is stored.
    template <std::invocable Make>
        requires((!std::convertible_to<Make, T> || std::is_arithmetic_v<T>) &&
                 std::convertible_to<std::invoke_result_t<Make>, T>)
    loaded_or_stored load_or_store(key_argument key, Make&& make) {
        return table_.with(key, [&](auto& place) -> loaded_or_stored {
            if (T* const there = place.get()) return {*there, true};
            return {place.emplace(std::invoke(std::forward<Make>(make))), false};
        });
    }

    // Takes the key out and gives its value; nothing when it is absent.
    std::optional<T> load_and_delete(key_argument key) {
        return table_.with(key, [](auto& place) -> std::optional<T> {
            T* const there = place.get();
            if (!there) return std::nullopt;
            std::optional<T> taken(std::move(*there));
            place.erase();
            return taken;
        });
    }

    // Go's Delete. True when the key was there.
    bool erase(key_argument key) { return load_and_delete(key).has_value(); }

    // Stores the value and gives the one it replaces; nothing when the key was absent.
    std::optional<T> swap(key_argument key, T value) {
        return table_.with(key, [&](auto& place) -> std::optional<T> {
            if (T* const there = place.get()) return std::exchange(*there, std::move(value));
            place.emplace(std::move(value));
            return std::nullopt;
        });
    }

    // Replaces `old` by `desired`. False, and nothing done, when the key is absent or has another
    // value.
    bool compare_and_swap(key_argument key, const T& old, T desired)
        requires std::equality_comparable<T>
    {
        return table_.with(key, [&](auto& place) {
            T* const there = place.get();
            if (!there || !(*there == old)) return false;
            std::ranges::swap(*there, desired);  // the old one outlives the lock
            return true;
        });
    }

    // Takes the key out if it has this value. False, and nothing done, when the key is absent or
    // has another one.
    bool compare_and_delete(key_argument key, const T& old)
        requires std::equality_comparable<T>
    {
        std::optional<T> doomed;  // outlives the lock
        return table_.with(key, [&](auto& place) {
            T* const there = place.get();
            if (!there || !(*there == old)) return false;
            doomed.emplace(std::move(*there));
            place.erase();
            return true;
        });
    }

    // Calls fn(const Key&, const T&) for one key after another, until it gives false; one that
    // gives nothing sees all. fn may use the map, range() included. This is not one moment of the
    // map: a key is seen at most once, with a value that it has during the call. A key that is
    // there throughout is seen; one that is stored or erased meanwhile may be, or not.
    template <typename Fn>
        requires std::invocable<Fn&, const Key&, const T&>
    void range(Fn&& fn) {
        std::vector<Key> keys;
        for (std::size_t i = 0; i < table_.shard_count(); ++i) {
            keys.clear();
            table_.with_shard(i, [&](auto& shard) {
                keys.reserve(shard.size());
                shard.for_each([&](const Key& key, const T&) { keys.push_back(key); });
            });
            for (const Key& key : keys) {
                const std::optional<T> value = table_.find(key);
                if (value && !goes_on(fn, key, *value)) return;
            }
        }
    }

    // Exact only while nobody writes.
    std::size_t size() { return table_.size(); }

    // Takes out all keys, in one atomic step.
    void clear() { table_.clear(); }

private:
    template <typename Fn>
    static bool goes_on(Fn& fn, const Key& key, const T& value) {
        if constexpr (std::is_void_v<std::invoke_result_t<Fn&, const Key&, const T&>>) {
            std::invoke(fn, key, value);
            return true;
        } else {
            return static_cast<bool>(std::invoke(fn, key, value));
        }
    }

    table table_;
};

}  // namespace sluice
