// random_bits: chance for programs, which a simulation decides.
#pragma once

#include <cstdint>

namespace sluice {

/// 64 random bits, in a simulation from its seed. From a fast generator of the calling worker or
/// thread: for choices and delays, not for secrets. Any thread.
std::uint64_t random_bits() noexcept;

}  // namespace sluice
