#pragma once

// The keyspace: a sharded map from keys to strings and lists, with expiry times and the queues of
// clients blocked on lists. It knows nothing of tasks, threads or the protocol; the server and its
// thread-per-connection twin share it.
//
// Each call is one atomic step, those over several keys or all of them too; only expire_due() goes
// from shard to shard. No call waits for anything but a shard's lock, which is held for the work on
// the call's keys: as in Redis, everybody waits for KEYS and FLUSHALL.
//
// Expiry is lazy: a key whose time has come is dropped by whoever meets it. expire_due() drops the
// ones that nobody meets; the server calls it from a timer.
//
// Invariants, under the shard's lock:
// - a list is never empty: the key goes with its last element;
// - `due` holds exactly the keys with an expiry time, so the next one is its first;
// - a key with clients queued has no list: a push serves them before the lock goes.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sluice/patterns/sharded_map.hpp>

#include "value.hpp"
#include "waiting.hpp"

namespace kv {

enum class end : std::uint8_t { front, back };
enum class condition : std::uint8_t { always, if_absent, if_present };

/// What must be true of a key's present expiry for EXPIRE to change it. None counts as the latest.
struct expiry_rule {
    bool if_none = false;
    bool if_some = false;
    bool if_later = false;
    bool if_sooner = false;

    bool allows(time_point present, time_point next) const {
        if (if_none && present != never) return false;
        if (if_some && present == never) return false;
        return !(if_later && next <= present) && !(if_sooner && next >= present);
    }
};

struct set_options {
    condition when = condition::always;
    time_point expires = never;
    bool keep_expiry = false;
    bool want_old = false;  ///< fails with wrong_type when the old value is a list
};

struct set_result {
    bool stored = false;
    std::optional<std::string> old;  ///< if wanted
};

class storage {
public:
    using keys = std::span<const std::string_view>;

    explicit storage(time_point (*clock)() = wall_clock) : now_(clock) {}

    // Strings.

    /// Calls use(std::string_view) with the value, under the lock. False: no such key.
    template <class Use>
    expected<bool> read(std::string_view key, Use&& use);
    expected<set_result> set(std::string_view key, std::string_view data,
                             const set_options& options);
    /// Keys and values in turn.
    void set_many(keys pairs);
    /// Calls use(i, const std::string*) for each key; null when it is absent or a list.
    template <class Use>
    void read_many(keys wanted, Use&& use);
    /// The new value.
    expected<std::int64_t> add(std::string_view key, std::int64_t delta);

    // Lists.

    /// Adds the elements one after another, then serves blocked clients. The length in between.
    expected<std::size_t> push(std::string_view key, end where, keys elements);
    expected<std::optional<std::string>> pop(std::string_view key, end where);
    /// At most `count`; none at all when there is no such key.
    expected<std::optional<std::vector<std::string>>> pop(std::string_view key, end where,
                                                          std::size_t count);
    /// Calls use(const list*) under the lock; null when there is no such key.
    template <class Use>
    expected<bool> read_list(std::string_view key, Use&& use);
    /// Pops from the first key that has a list: at once, or else `client` is queued under all its
    /// keys. True: served at once.
    expected<bool> pop_or_wait(const std::shared_ptr<blocked_pop>& client);
    /// Takes the client out of every queue. To be called when it is served or has given up.
    void forget(const std::shared_ptr<blocked_pop>& client);

    // Keys of any type.

    std::size_t erase(keys which);
    /// A key named twice counts twice.
    std::size_t count(keys which);
    /// False when there is no such key or the rule says no. A time in the past erases the key.
    bool expire(std::string_view key, time_point when, expiry_rule rule);
    /// Empty: no such key; never: it does not expire.
    std::optional<time_point> expiry(std::string_view key);
    std::vector<std::string> match(std::string_view pattern);
    std::size_t size();
    /// Number of keys with an expiry time.
    std::size_t expiring();
    void clear();

    /// Drops keys whose time has come, at most `most` for each lock taken. Cheap when there are
    /// none.
    std::size_t expire_due(std::size_t most = 256);
    /// Keys dropped because of their age, so far.
    std::uint64_t expired() const { return expired_.load(std::memory_order_relaxed); }
    time_point now() const { return now_(); }

private:
    struct item {
        stored_value data;
        time_point expires = never;
    };
    struct string_hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    using waiting_clients = std::vector<std::shared_ptr<blocked_pop>>;
    struct shard_state {
        std::set<std::pair<time_point, std::string_view>> due;  // views of the keys in the map
        std::unordered_map<std::string, waiting_clients, string_hash, std::equal_to<>> waiting;
    };
    using map = sluice::sharded_map<std::string, item, shard_state>;
    using entry = map::entry<std::string_view>;

    /// The key's item unless it is absent or its time has come; then it is dropped.
    item* live(entry& place);
    void drop(entry& place);
    void set_expiry(entry& place, time_point when);
    /// The key's list; null when absent.
    expected<list*> live_list(entry& place);
    void put(entry& place, std::string_view data);
    expected<set_result> set_at(entry& place, std::string_view data, const set_options& options);
    expected<std::int64_t> add_at(entry& place, std::int64_t delta);
    void serve_waiting(entry& place, std::string_view key, list& from, waiting_clients& served);

    map map_;
    time_point (*now_)();
    std::atomic<std::uint64_t> expired_{0};
};

template <class Use>
expected<bool> storage::read(std::string_view key, Use&& use) {
    return map_.with(key, [&](entry& place) -> expected<bool> {
        const item* found = live(place);
        if (!found) return false;
        const auto* text = std::get_if<std::string>(&found->data);
        if (!text) return tl::unexpected(failure::wrong_type);
        use(std::string_view(*text));
        return true;
    });
}

template <class Use>
void storage::read_many(keys wanted, Use&& use) {
    map_.with_all(wanted, [&](auto& shards) {
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            entry place = shards.at(wanted[i]);
            const item* found = live(place);
            use(i, found ? std::get_if<std::string>(&found->data) : nullptr);
        }
    });
}

template <class Use>
expected<bool> storage::read_list(std::string_view key, Use&& use) {
    return map_.with(key, [&](entry& place) -> expected<bool> {
        const auto found = live_list(place);
        if (!found) return tl::unexpected(found.error());
        use(static_cast<const list*>(*found));
        return *found != nullptr;
    });
}

}  // namespace kv
