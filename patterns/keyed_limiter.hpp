// keyed_limiter: a token bucket for each key, for as long as it matters.
//
//     keyed_limiter<std::string> limiter(rate(5), 20);      // each client: 5 a second, 20 at once
//     if (!limiter.allow(request.client)) co_return too_many_requests();
//
// When to use: to grant each client, tenant or address the same share.
// When not: one limit for all of them together (rate_limiter); clients with different rates (a
// sharded_map of rate_limiters, which the owner of the accounts erases).
//
// Concepts: a bucket is full at first, and full again when its key has been idle for the time that
// an empty one takes to fill, `lifetime()`. A full bucket is as good as none, so it can go. Each
// shard has two tables: `young` with the keys used since its last turn, `old` with those used
// before that and not since. A lifetime after the last turn the next call in the shard makes the
// turn: all of old is full and goes, young becomes old. A key found in old moves to young. No list,
// no clock per key, no task.
//
// Invariants (under the shard's lock): a key is in one table at most. What is in old has not been
// used since the last turn.
//
// Cost: a shard's lock and one or two lookups a call. Memory: the keys of the last two lifetimes,
// each with 24 bytes and its place in a hash table; at 10 requests a minute and a burst of 10, the
// clients of two minutes. A shard that is not called any more keeps what it has. Whoever can invent
// keys at will (addresses of IPv6) should be counted by a part of them (the network).
//
// Rejected: a task that sweeps (it must be started and ended, and locks everybody out while it
// looks at each key), a queue of the keys by age (a second copy of each key, to be moved at each
// call), a fixed number of keys (then strangers decide whose bucket is forgotten).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include <sluice/patterns/detail/token_bucket.hpp>
#include <sluice/patterns/rate.hpp>
#include <sluice/patterns/seeded_hash.hpp>
#include <sluice/runtime/detail/seam.hpp>

namespace sluice {

namespace detail {

/// Throws std::invalid_argument for what a keyed_limiter cannot have; gives the time that an empty
/// bucket takes to fill, in nanoseconds, saturating.
std::int64_t checked_lifetime(const rate& r, std::int64_t burst);

}  // namespace detail

/// Every member may be called from any thread. The hash, the comparison and the copying of keys run
/// under a lock and must not call back; keys are destroyed under none.
template <class Key, class Hash = seeded_hash>
class keyed_limiter {
public:
    /// `r` and `burst` of each key, as for rate_limiter. Throws std::invalid_argument for a
    /// negative burst, and for a rate of zero, which would keep every key for ever.
    keyed_limiter(rate r, std::int64_t burst, Hash hash = Hash())
        : rate_(r), burst_(burst), lifetime_(detail::checked_lifetime(r, burst)), hash_(hash) {
        for (std::size_t i = 0; i != shard_count; ++i) shards_.emplace_back(hash_);
    }
    keyed_limiter(const keyed_limiter&) = delete;
    keyed_limiter& operator=(const keyed_limiter&) = delete;

    /// Whether n events of this key may happen now; if so, they count as happened. Never waits.
    /// Throws std::invalid_argument for a negative n.
    bool allow(const Key& key, std::int64_t n = 1) {
        if (n < 0) throw std::invalid_argument("keyed_limiter: a negative number of events");
        if (rate_.is_infinite() || n == 0) return true;
        if (n > burst_) return false;

        shard& in = shards_[shard_of(static_cast<std::uint64_t>(hash_(key)))];
        table doomed(0, hash_);  // outlives the lock
        const std::lock_guard guard(in.lock);
        const std::int64_t now = detail::now();
        if (now - in.turned >= lifetime_) {
            doomed.swap(in.old);
            in.old.swap(in.young);
            in.turned = now;
        }
        detail::token_bucket& bucket = in.find(key, burst_, now);
        bucket.accrue(rate_, burst_, now);
        return bucket.tokens() >= n && bucket.take(n);
    }

    /// How many keys are remembered. Not one moment of all shards.
    std::size_t size() {
        std::size_t sum = 0;
        for (shard& each : shards_) {
            const std::lock_guard guard(each.lock);
            sum += each.young.size() + each.old.size();
        }
        return sum;
    }

    /// A key that has been idle for so long is as one that was never there, and goes within as long
    /// again if its shard is called.
    std::chrono::nanoseconds lifetime() const noexcept {
        return std::chrono::nanoseconds(lifetime_);
    }

private:
    using table = std::unordered_map<Key, detail::token_bucket, Hash>;

    struct alignas(64) shard {
        explicit shard(const Hash& hash) : young(0, hash), old(0, hash), turned(detail::now()) {}

        detail::token_bucket& find(const Key& key, std::int64_t burst, std::int64_t now) {
            if (auto node = old.extract(key)) {
                return young.insert(std::move(node)).position->second;
            }
            return young.try_emplace(key, burst, now).first->second;
        }

        std::mutex lock;
        // Under lock.
        table young;
        table old;
        std::int64_t turned;  // when, last time
    };

    static constexpr std::size_t shard_count = 32;

    // By the top bits of a product, since a hash may be the key itself.
    static std::size_t shard_of(std::uint64_t hash) noexcept {
        return hash * 0x9e3779b97f4a7c15u >> 59;
    }

    const rate rate_;
    const std::int64_t burst_;
    const std::int64_t lifetime_;  // nanoseconds
    const Hash hash_;
    // Apart, because frames of coroutines, where a limiter may live, do not align it so much.
    std::deque<shard> shards_;
};

}  // namespace sluice
