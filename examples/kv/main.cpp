// kv: a server that speaks the Redis protocol, so that redis-cli and redis-benchmark talk to it.

#include <sluice/runtime/run.hpp>

#include "server.hpp"

int main(int argc, char** argv) {
    const auto options = kv::parse_options(argc, argv, "a Redis-protocol server on sluice");
    return sluice::run(sluice::options{.workers = options.workers}, kv::serve, options);
}
