// A value that is written under a lock and read without.
//
// It stands here twice: as the object that whoever has the lock works on, and as a copy in atomic
// words for readers. While the object is lent the copy may be out of date, and the turn is odd;
// take_back() brings the copy up to date. A reader that finds the turn even, and unchanged after
// the words, has read one value.
//
// Invariants: the words change only while the turn is odd, and by releases, which a reader's
// acquires pair with: who sees a new word sees the odd turn before it, or a later one.
//
// Rejected: readers of the object itself, which is a data race.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

/// For plain bytes, and few of them. All but read() under the lock. There is no copy before the
/// first take_back().
template <class T>
class copied_value {
public:
    using words = std::array<std::uint64_t, (sizeof(T) + 7) / 8>;

    template <class... Args>
    explicit copied_value(Args&&... args) : object_(std::forward<Args>(args)...) {}

    /// For who only looks.
    const T& object() const noexcept { return object_; }

    bool is_lent() const noexcept { return turn_.load(relaxed) % 2 != 0; }

    T* lend() noexcept {
        if (!is_lent()) turn_.store(turn_.load(relaxed) + 1, relaxed);
        return &object_;
    }

    void take_back() noexcept {
        words now{};
        std::memcpy(now.data(), static_cast<const void*>(&object_), sizeof(T));
        // release, twice: pairs with the acquires in read().
        for (std::size_t i = 0; i != now.size(); ++i) copy_[i].store(now[i], release);
        turn_.store(turn_.load(relaxed) + 1, release);
    }

    /// Without the lock: fills in what to_value() takes. False: it is lent, or was meanwhile.
    bool read(words& into) const noexcept {
        // acquire, twice: pairs with the releases in take_back().
        const std::uint32_t turn = turn_.load(acquire);
        if (turn % 2 != 0) return false;
        for (std::size_t i = 0; i != into.size(); ++i) into[i] = copy_[i].load(acquire);
        return turn_.load(relaxed) == turn;
    }

    static T to_value(const words& from) noexcept {
        struct {
            std::byte all[sizeof(T)];
        } bytes;
        std::memcpy(&bytes, from.data(), sizeof(T));
        return std::bit_cast<T>(bytes);
    }

private:
    atomic<std::uint32_t> turn_{0};
    std::array<atomic<std::uint64_t>, std::tuple_size_v<words>> copy_{};
    T object_;
};

/// The same for what is read under the lock only.
template <class T>
class locked_value {
public:
    template <class... Args>
    explicit locked_value(Args&&... args) : object_(std::forward<Args>(args)...) {}

    const T& object() const noexcept { return object_; }
    T* lend() noexcept { return &object_; }

private:
    T object_;
};

}  // namespace sluice::detail
