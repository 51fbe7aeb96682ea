#pragma once

// The header that SLUICE_MODEL names: the runtime's seam, answered by the explorer.

#include <new>

#include "atomic.hpp"

namespace sluice::model {

inline void full_fence() noexcept {
    world::current().run_fence(world::fence::full);
}
inline void light_fence() noexcept {
    world::current().run_fence(world::fence::light);
}
inline void heavy_fence() noexcept {
    world::current().run_fence(world::fence::heavy);
}
inline void cpu_relax() noexcept {
    world::current().spin();
}

inline void fetch_block(const void*) noexcept {}

/// Only takes time, of which schedules have as much as they like.
inline void back_off() noexcept {}

/// Every length up to two looks is explored.
class patience {
public:
    bool left() noexcept { return ++looks_ <= 2 && world::current().chance(2) == 0; }

private:
    int looks_ = 0;
};

inline std::uint32_t lock_identity() noexcept {
    return world::current().identity();
}

/// Global: made anew, and empty, in each schedule.
inline atomic<const void*>& lock_seat(std::uint32_t identity) noexcept {
    using seat = atomic<const void*>;
    struct place {
        alignas(seat) std::byte bytes[sizeof(seat)];
        std::uint64_t schedule = 0;
    };
    static place places[max_threads + 1];
    place& p = places[identity];
    if (p.schedule != world::current().schedule_number()) {
        p.schedule = world::current().schedule_number();
        ::new (p.bytes) seat(nullptr, static_storage{});
    }
    return *std::launder(reinterpret_cast<seat*>(p.bytes));
}

inline std::uint32_t lock_identities_end() noexcept {
    return max_threads + 1;
}

/// A nanosecond a step.
inline std::int64_t now() noexcept {
    return world::current().steps();
}

class random_source {
public:
    explicit random_source(std::uint64_t) noexcept {}

    // Part of the schedule: search tries each answer.

    /// One of four, evenly spread.
    std::uint64_t next() noexcept { return std::uint64_t{world::current().chance(4)} << 62; }

    std::uint32_t below(std::uint32_t bound) noexcept {
        return bound == 1 ? 0 : static_cast<std::uint32_t>(world::current().chance(bound));
    }
};

class spin_wait {
public:
    void pause() noexcept { world::current().spin(); }
};

}  // namespace sluice::model
