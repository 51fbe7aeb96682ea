#pragma once

// A load generator for servers that speak the Redis protocol: one thread, epoll, one request in
// flight on each connection, GET and SET in turn over 10,000 keys.

#include <chrono>
#include <cstdint>

namespace kv_load {

struct figures {
    double requests_per_second = 0;
    std::chrono::duration<double, std::milli> p99{};
};

/// Throws std::runtime_error on a wrong reply, a lost connection or a silence of some seconds.
figures measure(std::uint16_t port, unsigned connections, std::chrono::milliseconds warm_up,
                std::chrono::milliseconds duration);

}  // namespace kv_load
