#pragma once

// The command line of kv and of its twin.

#include <cstdint>
#include <string_view>

namespace kv {

struct program_options {
    std::uint16_t port = 6380;  ///< 0: the system chooses a free one
    unsigned workers = 0;       ///< 0: the runtime's default
};

/// Ends the program after --help and after a mistake, which it explains.
program_options parse_options(int argc, char** argv, std::string_view about);

}  // namespace kv
