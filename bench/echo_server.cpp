// The echo server that bench/run loads: echo_server PORT, with as many workers as SLUICE_WORKERS
// says.

#include <sluice/sluice.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace {

namespace io = sluice::io;

sluice::task<> echo(io::tcp_stream conn) {
    std::array<std::byte, 4096> buffer;
    for (;;) {
        const auto n = co_await conn.read(buffer);
        if (!n || *n == 0) co_return;
        const auto sent = co_await conn.write_all(std::span(buffer).first(*n));
        if (!sent) co_return;
    }
}

sluice::task<int> serve(std::string address) {
    auto listener = io::listen_tcp(address).value();
    while (auto conn = co_await listener.accept()) sluice::go(echo, std::move(*conn));
    co_return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    return sluice::run(serve, std::string("127.0.0.1:") + argv[1]);
}
