#pragma once

#include <cstdint>

#include <sluice/runtime/driver.hpp>

namespace sluice {

/// How a runtime is set up. The environment variables SLUICE_WORKERS and SLUICE_DRIVER (uring,
/// epoll) override it.
struct options {
    /// Threads that run tasks; 0: as many as the CPUs this process may use (affinity mask and
    /// cgroup quota).
    unsigned workers = 0;
    driver_kind driver = driver_kind::automatic;
};

}  // namespace sluice
