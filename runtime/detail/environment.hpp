// What the machine and the environment variables say about a runtime's set-up.
#pragma once

#include <sluice/runtime/driver.hpp>

namespace sluice::detail {

/// SLUICE_WORKERS, else `asked`, else the CPUs this process may use. Throws std::invalid_argument
/// for nonsense.
unsigned workers_from_environment(unsigned asked);

/// SLUICE_DRIVER, else `asked`. Throws std::invalid_argument for an unknown name.
driver_kind driver_from_environment(driver_kind asked);

}  // namespace sluice::detail
