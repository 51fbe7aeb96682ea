#pragma once

// The commands. execute() looks a request up in the command table, checks its arity and runs it.

#include <cstdint>
#include <span>
#include <string_view>

#include "client.hpp"
#include "reply.hpp"

namespace kv {

enum class outcome : std::uint8_t {
    done,     ///< the reply is written
    blocked,  ///< client::blocked says what the client waits for; nothing is written yet
    quit,     ///< the reply is written, if there is one, and the connection to be closed behind it
};

using arguments = std::span<const std::string_view>;

/// Runs one request; the reply is appended to `out`. An empty request does nothing.
outcome execute(client& self, arguments args, reply& out);

/// Writes the answer to a blocked client, which was served or ran out of time, and lets it go.
void finish_blocked(client& self, reply& out);

/// The client is gone: takes it out of all queues.
void abandon_blocked(client& self);

}  // namespace kv
