#include <sluice/runtime/random.hpp>

#include <sluice/runtime/detail/seam.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice {

std::uint64_t random_bits() noexcept {
    if (detail::worker* const here = detail::current_worker()) return here->random().next();
    // Threads that begin at the same moment differ by where this stands.
    thread_local detail::random_source elsewhere(static_cast<std::uint64_t>(detail::now()) +
                                                 reinterpret_cast<std::uintptr_t>(&elsewhere) *
                                                     0x9e3779b97f4a7c15u);
    return elsewhere.next();
}

}  // namespace sluice
