// How readers that take no lock keep what they look at from being freed.
//
// A reader is a worker, and names the place it is in on its seat, which spin_lock.hpp introduces:
// it stores the seat, light fence, loads what the place holds. Who frees something takes it out of
// the place, heavy fence, loads the seats. One of the two sees the other. So what was taken out
// before wait_for_visitors() has no reader after it.
//
// Rejected: epochs and counters, which a reader would have to write to a line that others read.
#pragma once

#include <cstdint>

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

/// A visit to a place, for a few dozen instructions, of a worker that is in no lock and at no other
/// place.
class seat_visit {
public:
    [[gnu::noinline]] explicit seat_visit(const void* place) noexcept {
        const std::uint32_t me = lock_identity();
        if (me == 0 || lock_seat(me).load(relaxed) != nullptr) return;
        seat_ = &lock_seat(me);
        seat_->store(place, release);  // release, as in spin_lock's enter()
        light_fence();                 // pairs with the heavy fence in wait_for_visitors()
    }
    // release: pairs with the acquire in wait_for_visitors().
    ~seat_visit() {
        if (seat_ != nullptr) seat_->store(nullptr, release);
    }
    seat_visit(const seat_visit&) = delete;
    seat_visit& operator=(const seat_visit&) = delete;

    /// False for whoever has no seat to spare.
    explicit operator bool() const noexcept { return seat_ != nullptr; }

private:
    atomic<const void*>* seat_ = nullptr;
};

/// Waits until all who were at the place when it was called have left. It takes microseconds, and
/// does not touch the place, which may be gone.
inline void wait_for_visitors(const void* place) noexcept {
    heavy_fence();  // pairs with the light fence in seat_visit()
    const std::uint32_t end = lock_identities_end();
    for (std::uint32_t i = 1; i != end; ++i) {
        spin_wait leaving;
        // acquire: pairs with the release in ~seat_visit().
        while (lock_seat(i).load(acquire) == place) leaving.pause();
    }
}

}  // namespace sluice::detail
