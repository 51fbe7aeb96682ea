#pragma once

// The server: accepts connections, drops what has expired, drains at the end.

#include <sluice/runtime/task.hpp>

#include "options.hpp"

namespace kv {

/// The main task. Runs until SIGINT or SIGTERM; gives the program's exit status.
sluice::task<int> serve(program_options options);

}  // namespace kv
