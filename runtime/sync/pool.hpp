// Objects that are kept for the next who needs one.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/runtime/detail/spin_lock.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice {

/// Keeps objects that are costly to make (buffers with their capacity, parsers) between two uses.
/// An item is one task's alone between get() and put(); which one get() gives is not said, nor that
/// an item that was put comes back: at most max_idle are kept. Nothing waits. Any thread;
/// several may call make() at once.
template <class T, class Make = T (*)()>
class pool {
    static_assert(std::is_nothrow_move_constructible_v<T>);

public:
    /// make() gives a new item when none is idle.
    explicit pool(Make make, std::size_t max_idle = 1024) : make_(std::move(make)) {
        for (std::size_t i = 0; i != shards; ++i) {
            shards_[i].most = (max_idle + i) / shards;
            shards_[i].idle.reserve(shards_[i].most);
        }
    }
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    /// An idle item, preferably one that this worker has put, as its last user left it; or a new
    /// one. Throws what make() throws. What happened before put() is visible.
    T get() {
        const std::size_t own = own_shard();
        for (std::size_t i = 0; i != shards; ++i) {
            shard& s = shards_[(own + i) % shards];
            const std::lock_guard guard(s.lock);
            if (s.idle.empty()) continue;
            T item = std::move(s.idle.back());
            s.idle.pop_back();
            return item;
        }
        return make_();
    }

    /// Keeps the item for another get(), or destroys it if enough are idle.
    void put(T item) noexcept {
        const std::size_t own = own_shard();
        for (std::size_t i = 0; i != shards; ++i) {
            shard& s = shards_[(own + i) % shards];
            const std::lock_guard guard(s.lock);
            if (s.idle.size() == s.most) continue;
            s.idle.push_back(std::move(item));
            return;
        }
    }

private:
    static constexpr std::size_t shards = 8;
    struct alignas(64) shard {
        detail::spin_lock lock{detail::lock_rank::object_pool};
        std::size_t most = 0;
        std::vector<T> idle;  // under lock
    };

    static std::size_t own_shard() noexcept {
        const detail::worker* const w = detail::current_worker();
        return w == nullptr ? 0 : static_cast<std::size_t>(w->id()) % shards;
    }

    Make make_;
    // Not within: a coroutine frame, where a pool may live, has no such alignment.
    const std::unique_ptr<shard[]> shards_ = std::make_unique<shard[]>(shards);
};

template <class Make>
pool(Make) -> pool<std::invoke_result_t<Make&>, Make>;
template <class Make>
pool(Make, std::size_t) -> pool<std::invoke_result_t<Make&>, Make>;

}  // namespace sluice
