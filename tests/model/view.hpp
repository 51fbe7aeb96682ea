#pragma once

// What a simulated thread knows of the others and of memory.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::model {

inline constexpr std::size_t max_threads = 8;
inline constexpr std::size_t max_locations = 56;

using word = std::uint64_t;   // the value of any atomic
using stamp = std::uint16_t;  // a place among the stores to one location or the steps of a thread
using index = std::uint8_t;   // of a thread or a location

template <std::size_t N>
void raise(std::array<stamp, N>& to, const std::array<stamp, N>& from) {
    for (std::size_t i = 0; i != N; ++i) to[i] = std::max(to[i], from[i]);
}

using stamps = std::array<stamp, max_locations>;

struct view {
    std::array<stamp, max_threads> clock{};  // how far of each thread's program happens before now
    stamps seen{};  // of each location: the oldest store that may still be read

    void join(const view& other) {
        raise(clock, other.clock);
        raise(seen, other.seen);
    }
};

}  // namespace sluice::model
