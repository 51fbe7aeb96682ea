#include <sluice/io/tcp.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <set>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::task;
using sluice::io::connect_tcp;
using sluice::io::endpoint;
using sluice::io::listen_options;
using sluice::io::listen_tcp;

namespace {

task<> exchange_through(std::string_view address) {
    auto l = listen_tcp(address);
    if (!EXPECT(l.has_value())) co_return;
    EXPECT(l->local_address()->port() != 0);
    const pair both = co_await connect_to(*l);
    const auto wrote = co_await both.client.write_all("ping");
    EXPECT(wrote.has_value());
    std::array<char, 8> buffer{};
    const auto n = co_await both.server.read(buffer);
    EXPECT(n == 4u);
    EXPECT(std::string_view(buffer.data(), 4) == "ping");
    EXPECT(both.server.remote_address()->to_string() == both.client.local_address()->to_string());
    EXPECT(both.client.remote_address()->to_string() == both.server.local_address()->to_string());
}

bool has_ipv6() {
    return listen_tcp("[::1]:0").has_value();
}

}  // namespace

TEST_CASE("listen_tcp: a connection through IPv4 carries bytes and knows its addresses") {
    everywhere(exchange_through, "127.0.0.1:0");
}

TEST_CASE("listen_tcp: a connection through IPv6 carries bytes and knows its addresses") {
    if (!has_ipv6()) {
        WARN("skipped: needs IPv6 on the loopback");
        return;
    }
    everywhere(exchange_through, "[::1]:0");
}

TEST_CASE("listen_tcp: every address means IPv6 and IPv4") {
    everywhere([]() -> task<> {
        const tcp_listener l = listener(":0");
        const std::string port = std::to_string(l.local_address()->port());
        std::vector<std::string> hosts{"127.0.0.1:"};
        if (has_ipv6()) hosts.push_back("[::1]:");
        for (const std::string& host : hosts) {
            const std::string to = host + port;
            const auto client = co_await connect_tcp(to);
            EXPECT(client.has_value());
            const auto server = co_await l.accept();
            EXPECT(server.has_value());
        }
    });
}

TEST_CASE("listen_tcp: a port in use is refused and reuse_port shares it") {
    everywhere([]() -> task<> {
        const tcp_listener first = listener();
        const endpoint taken = first.local_address().value();
        const auto second = listen_tcp(taken);
        EXPECT(!second);
        EXPECT(failed_with(second, std::errc::address_in_use));

        listen_options shared;
        shared.reuse_port = true;
        const auto third = listen_tcp("127.0.0.1:0", shared);
        EXPECT(third.has_value());
        const endpoint both = third->local_address().value();
        EXPECT(listen_tcp(both, shared).has_value());
        EXPECT(failed_with(listen_tcp(both), std::errc::address_in_use));
        co_return;
    });
}

TEST_CASE("listen_tcp: an address that is not ours or no address is an error") {
    everywhere([]() -> task<> {
        EXPECT(failed_with(listen_tcp("192.0.2.1:0"), std::errc::address_not_available));
        EXPECT(failed_with(listen_tcp("localhost:0"), std::errc::invalid_argument));
        EXPECT(failed_with(listen_tcp(""), std::errc::invalid_argument));
        co_return;
    });
}

TEST_CASE("listen_tcp: a port is taken over while old connections wait out their time") {
    everywhere([]() -> task<> {
        std::optional<tcp_listener> l(listener());
        const endpoint at = l->local_address().value();
        pair both = co_await connect_to(*l);
        both.server.close();  // the side that closes first holds the address in TIME_WAIT
        std::array<char, 1> buffer;
        const auto end = co_await both.client.read(buffer);
        EXPECT(end == 0u);
        both.client.close();
        l->close();
        const bool closed = co_await descriptors_settle(open_descriptors());
        EXPECT(closed);
        // The number is given back by the worker that watched it, perhaps a little later.
        auto again = listen_tcp(at);
        const auto limit = std::chrono::steady_clock::now() + 10s;
        while (!again && std::chrono::steady_clock::now() < limit) {
            co_await sluice::yield();
            again = listen_tcp(at);
        }
        EXPECT(again.has_value());
    });
}

TEST_CASE("connect_tcp: nobody listening is a refused connection") {
    everywhere([]() -> task<> {
        const deserted_port nobody;
        const auto before = open_descriptors();
        for (int i = 0; i != 50; ++i) {
            const auto refused = co_await connect_tcp(nobody.address());
            EXPECT(!refused);
            EXPECT(failed_with(refused, std::errc::connection_refused));
        }
        const bool settled = co_await descriptors_settle(before);
        EXPECT(settled);
    });
}

TEST_CASE("connect_tcp: no address is an error of the operation") {
    everywhere([]() -> task<> {
        for (const char* text : {"", "localhost:80", "127.0.0.1", "127.0.0.1:70000"}) {
            const auto failed = co_await connect_tcp(text);
            EXPECT(!failed);
            EXPECT(failed_with(failed, std::errc::invalid_argument));
            const auto bounded = co_await sluice::within(1s, connect_tcp(text));
            EXPECT(failed_with(bounded, std::errc::invalid_argument));
        }
        const auto broadcast = co_await connect_tcp("255.255.255.255:80");
        EXPECT(!broadcast);
    });
}

TEST_CASE("accept: both ends send small writes at once and pass no descriptor to other programs") {
    everywhere([]() -> task<> {
        const tcp_listener l = listener();
        const pair both = co_await connect_to(l);
        for (const int fd :
             {l.native_handle(), both.client.native_handle(), both.server.native_handle()}) {
            EXPECT((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
            EXPECT((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        }
        for (const int fd : {both.client.native_handle(), both.server.native_handle()}) {
            int on = 0;
            socklen_t size = sizeof on;
            EXPECT(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
            EXPECT(on != 0);
        }
    });
}

namespace {

task<> greet(endpoint to, std::uint32_t id, sluice::wait_group* all_open) {
    auto conn = co_await connect_tcp(to);
    if (!EXPECT(conn.has_value())) {
        all_open->done();
        co_return;
    }
    std::array<std::byte, 4> bytes;
    std::memcpy(bytes.data(), &id, sizeof id);
    const auto wrote = co_await conn->write_all(bytes);
    EXPECT(wrote.has_value());
    std::array<std::byte, 4> back{};
    const std::size_t first = co_await read_full(*conn, back);
    EXPECT(first == 4);
    EXPECT(back == bytes);
    all_open->done();
    co_await all_open->wait();  // all are open now
    const auto again = co_await conn->write_all(bytes);
    EXPECT(again.has_value());
    back = {};
    const std::size_t second = co_await read_full(*conn, back);
    EXPECT(second == 4);
    EXPECT(back == bytes);
    close_resets(*conn);
}

task<> echo(tcp_stream conn) {
    std::array<std::byte, 256> buffer;
    for (;;) {
        const auto n = co_await conn.read(buffer);
        if (!n || *n == 0) co_return;
        const auto wrote = co_await conn.write_all(std::span(buffer).first(*n));
        if (!wrote) co_return;
    }
}

task<> serve(tcp_listener* l, int connections) {
    for (int i = 0; i != connections; ++i) {
        auto conn = co_await l->accept();
        if (!EXPECT(conn.has_value())) co_return;
        sluice::go(echo, std::move(*conn));
    }
}

task<> many(std::uint32_t connections) {
    tcp_listener l = listener();
    sluice::wait_group tasks;
    sluice::wait_group all_open;
    all_open.add(connections);
    tasks.go(serve, &l, static_cast<int>(connections));
    for (std::uint32_t id = 0; id != connections; ++id) {
        tasks.go(greet, l.local_address().value(), id, &all_open);
    }
    co_await tasks.wait();
}

}  // namespace

TEST_CASE("accept: a thousand connections are open and answered at once") {
    if (!descriptors_suffice(2'100)) {
        WARN("skipped: needs 2,100 descriptors");
        return;
    }
    everywhere(many, 1'000u);
}

namespace {

task<> starve() {
    constexpr int clients = 8;
    const tcp_listener l = listener();
    const endpoint to = l.local_address().value();
    std::vector<tcp_stream> connections;
    for (int i = 0; i != clients; ++i) {
        auto c = co_await connect_tcp(to);
        connections.push_back(std::move(c).value());
    }
    std::vector<tcp_stream> accepted;
    {
        famine none_left;
        for (int i = 0; i != 100; ++i) {
            const auto failed = co_await l.accept();
            if (!EXPECT(!failed)) co_return;
            EXPECT(failed_with(failed, std::errc::too_many_files_open));
        }
        for (int i = 0; i != 3; ++i) {
            none_left.spare_one();
            auto conn = co_await l.accept();
            if (!EXPECT(conn.has_value())) co_return;
            accepted.push_back(std::move(*conn));
            const auto failed = co_await sluice::within(10s, l.accept());
            EXPECT(failed_with(failed, std::errc::too_many_files_open));
        }
    }
    while (accepted.size() != clients) {
        auto conn = co_await sluice::within(10s, l.accept());
        if (!EXPECT(conn.has_value())) co_return;
        accepted.push_back(std::move(*conn));
    }
    std::set<std::uint16_t> wanted;
    std::set<std::uint16_t> got;
    for (const tcp_stream& s : connections) wanted.insert(s.local_address()->port());
    for (const tcp_stream& s : accepted) got.insert(s.remote_address()->port());
    EXPECT(got == wanted);
}

}  // namespace

TEST_CASE("accept: without descriptors it fails and later takes every connection that waited") {
    everywhere(starve);
}
