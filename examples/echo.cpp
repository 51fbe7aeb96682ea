#include <sluice/sluice.hpp>
using namespace std::chrono_literals;

sluice::task<> echo(sluice::io::tcp_stream conn) {
    std::array<std::byte, 4096> buffer;
    while (auto n = co_await within(30s, conn.read(buffer))) {
        if (*n == 0) co_return;  // the peer has closed
        if (!co_await conn.write_all(std::span(buffer).first(*n))) co_return;
    }
}

sluice::task<> serve() {
    auto [ctx, stop] = sluice::notify_context({SIGINT, SIGTERM});
    auto listener = sluice::io::listen_tcp("127.0.0.1:7000").value();
    sluice::wait_group connections;
    while (auto conn = co_await within(ctx, listener.accept()))
        connections.go(echo, std::move(*conn));
    co_await connections.wait();
}

int main() {
    return sluice::run(serve);
}
