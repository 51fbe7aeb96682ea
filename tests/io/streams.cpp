#include <sluice/io/tcp.hpp>

#include <array>
#include <stdexcept>
#include <string>

#include <netinet/tcp.h>

#include <sluice/runtime/spawn.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::task;

namespace {

int option(const tcp_stream& s, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT(::getsockopt(s.native_handle(), level, name, &value, &size) == 0);
    return value;
}

template <class Call>
bool throws_logic_error(Call call) {
    try {
        call();
    } catch (const std::logic_error&) {
        return true;
    }
    return false;
}

task<> read_one(const tcp_stream* from, char* to) {
    const auto n = co_await from->read(std::span(to, 1));
    EXPECT(n == 1u);
}

}  // namespace

TEST_CASE("tcp_stream: a read gives what is there and leaves the rest") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        const auto wrote = co_await both.client.write("abcdef");
        EXPECT(wrote == 6u);
        std::array<char, 4> four{};
        const auto first = co_await both.server.read(four);
        EXPECT(first == 4u);
        EXPECT(std::string_view(four.data(), 4) == "abcd");
        const auto second = co_await both.server.read(four);
        EXPECT(second == 2u);
        EXPECT(std::string_view(four.data(), 2) == "ef");
    });
}

TEST_CASE("tcp_stream: a read waits for the bytes of a later write") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        for (int round = 0; round != 200; ++round) {
            char got = 0;
            auto reader = sluice::spawn(read_one, &both.server, &got);
            co_await yield_times(static_cast<std::uint32_t>(round % 3));
            const char letter = static_cast<char>('a' + round % 26);
            const auto wrote = co_await both.client.write(std::string_view(&letter, 1));
            EXPECT(wrote == 1u);
            co_await reader.join();
            EXPECT(got == letter);
        }
    });
}

TEST_CASE("tcp_stream: readable waits for bytes and takes none") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        const auto early = co_await sluice::within(0s, both.server.readable());
        EXPECT(failed_with(early, sluice::errc::deadline_exceeded));
        const auto wrote = co_await both.client.write_all("xy");
        EXPECT(wrote.has_value());
        for (int i = 0; i != 3; ++i) {
            const auto there = co_await both.server.readable();
            EXPECT(there.has_value());
        }
        std::array<char, 8> buffer{};
        const auto n = co_await both.server.read(buffer);
        EXPECT(n == 2u);
        EXPECT(both.client.shutdown().has_value());
        const auto end = co_await both.server.readable();
        EXPECT(end.has_value());
        const auto zero = co_await both.server.read(buffer);
        EXPECT(zero == 0u);
    });
}

TEST_CASE("tcp_stream: neither end of a new connection is readable") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        const auto client = co_await sluice::within(1ms, both.client.readable());
        EXPECT(failed_with(client, sluice::errc::deadline_exceeded));
        const auto server = co_await sluice::within(1ms, both.server.readable());
        EXPECT(failed_with(server, sluice::errc::deadline_exceeded));
    });
}

TEST_CASE("tcp_stream: the end of the stream comes after all bytes and stays") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        const auto wrote = co_await both.client.write_all("last words");
        EXPECT(wrote.has_value());
        EXPECT(both.client.shutdown().has_value());
        std::array<std::byte, 64> buffer;
        const std::size_t all = co_await read_full(both.server, buffer);
        EXPECT(all == 10);
        for (int i = 0; i != 3; ++i) {
            const auto end = co_await both.server.read(buffer);
            EXPECT(end == 0u);
        }
        const auto late = co_await both.client.write("more");
        EXPECT(failed_with(late, std::errc::broken_pipe));
    });
}

TEST_CASE("tcp_stream: the end of the stream wakes a read that waits") {
    everywhere([]() -> task<> {
        for (std::uint32_t round = 0; round != 100; ++round) {
            pair both = co_await connected();
            auto reader = sluice::spawn(
                [](const tcp_stream* s) -> task<> {
                    std::array<char, 4> buffer;
                    const auto end = co_await s->read(buffer);
                    EXPECT(end == 0u);
                },
                &both.server);
            co_await yield_times(round % 4);
            if (round % 2 == 0) {
                EXPECT(both.client.shutdown().has_value());
            } else {
                both.client.close();
            }
            co_await reader.join();
        }
    });
}

namespace {

// `bulk`: after reads of whole buffers, which on io_uring end the stream's receive.
task<> read_around_urgent_data(bool bulk) {
    const pair both = co_await connected();
    std::array<char, 8192> buffer{};
    const auto early = co_await sluice::within(100us, both.server.read(buffer));
    EXPECT(failed_with(early, sluice::errc::deadline_exceeded));
    if (bulk) {
        for (int round = 0; round != 10; ++round) {
            const auto wrote = co_await both.client.write_all(std::as_bytes(std::span(buffer)));
            EXPECT(wrote.has_value());
            const std::size_t n =
                co_await read_full(both.server, std::as_writable_bytes(std::span(buffer)));
            EXPECT(n == buffer.size());
        }
        const auto none = co_await sluice::within(100us, both.server.read(buffer));
        EXPECT(failed_with(none, sluice::errc::deadline_exceeded));
    }
    const int client = both.client.native_handle();
    EXPECT(::send(client, "abc", 3, MSG_NOSIGNAL) == 3);
    EXPECT(::send(client, "!", 1, MSG_NOSIGNAL | MSG_OOB) == 1);
    EXPECT(::send(client, "def", 3, MSG_NOSIGNAL) == 3);
    std::string got;
    while (got.size() < 6) {
        const auto there = co_await sluice::within(5s, both.server.readable());
        if (!EXPECT(there.has_value())) co_return;
        const auto n = co_await sluice::within(5s, both.server.read(buffer));
        if (!EXPECT(n.has_value() && *n != 0)) co_return;
        got.append(buffer.data(), *n);
    }
    EXPECT(got == "abcdef");
}

}  // namespace

TEST_CASE("tcp_stream: what follows urgent data is read without a further edge") {
    everywhere(read_around_urgent_data, false);
    everywhere(read_around_urgent_data, true);
}

TEST_CASE("tcp_stream: empty spans are written at once") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        const auto all = co_await both.client.write_all("");
        EXPECT(all.has_value());
        const auto some = co_await both.client.write("");
        EXPECT(some == 0u);
    });
}

TEST_CASE("tcp_stream: options reach the socket") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        EXPECT(option(both.client, IPPROTO_TCP, TCP_NODELAY) != 0);
        EXPECT(both.client.set_nodelay(false).has_value());
        EXPECT(option(both.client, IPPROTO_TCP, TCP_NODELAY) == 0);
        EXPECT(both.client.set_nodelay(true).has_value());
        EXPECT(option(both.client, IPPROTO_TCP, TCP_NODELAY) != 0);
        EXPECT(both.client.set_keepalive(42s).has_value());
        EXPECT(option(both.client, SOL_SOCKET, SO_KEEPALIVE) != 0);
        EXPECT(option(both.client, IPPROTO_TCP, TCP_KEEPIDLE) == 42);
        EXPECT(!both.client.set_keepalive(-1s));
    });
}

TEST_CASE("tcp_stream: after close everything is a bad descriptor and close does no more") {
    everywhere([]() -> task<> {
        pair both = co_await connected();
        tcp_stream& s = both.client;
        s.close();
        s.close();
        std::array<char, 4> buffer;
        const auto read = co_await s.read(buffer);
        EXPECT(failed_with(read, std::errc::bad_file_descriptor));
        const auto readable = co_await s.readable();
        EXPECT(failed_with(readable, std::errc::bad_file_descriptor));
        const auto write = co_await s.write("x");
        EXPECT(failed_with(write, std::errc::bad_file_descriptor));
        const auto write_all = co_await s.write_all("x");
        EXPECT(failed_with(write_all, std::errc::bad_file_descriptor));
        EXPECT(failed_with(s.shutdown(), std::errc::bad_file_descriptor));
        EXPECT(failed_with(s.set_nodelay(true), std::errc::bad_file_descriptor));
        EXPECT(failed_with(s.set_keepalive(1s), std::errc::bad_file_descriptor));
        EXPECT(failed_with(s.local_address(), std::errc::bad_file_descriptor));
        EXPECT(failed_with(s.remote_address(), std::errc::bad_file_descriptor));
    });
}

TEST_CASE("tcp_stream: operations on one that was moved from throw") {
    everywhere([]() -> task<> {
        tcp_listener old_listener = listener();
        pair both = co_await connect_to(old_listener);
        tcp_stream& from = both.client;
        const tcp_stream to = std::move(from);
        const tcp_listener new_listener = std::move(old_listener);
        std::array<char, 4> buffer;
        EXPECT(throws_logic_error([&] { (void)from.read(buffer); }));
        EXPECT(throws_logic_error([&] { (void)from.readable(); }));
        EXPECT(throws_logic_error([&] { (void)from.write("x"); }));
        EXPECT(throws_logic_error([&] { (void)from.write_all("x"); }));
        EXPECT(throws_logic_error([&] { (void)from.shutdown(); }));
        EXPECT(throws_logic_error([&] { (void)from.set_nodelay(true); }));
        EXPECT(throws_logic_error([&] { (void)from.set_keepalive(1s); }));
        EXPECT(throws_logic_error([&] { (void)from.local_address(); }));
        EXPECT(throws_logic_error([&] { (void)from.remote_address(); }));
        EXPECT(throws_logic_error([&] { (void)from.native_handle(); }));
        EXPECT(throws_logic_error([&] { (void)old_listener.accept(); }));
        EXPECT(throws_logic_error([&] { (void)old_listener.local_address(); }));
        from.close();
        old_listener.close();
        const auto wrote = co_await to.write("x");
        EXPECT(wrote == 1u);
    });
}

TEST_CASE("tcp_stream: move assignment closes the old connection and keeps the new one") {
    everywhere([]() -> task<> {
        const tcp_listener l = listener();
        pair first = co_await connect_to(l);
        pair second = co_await connect_to(l);
        std::array<char, 4> buffer;
        const auto before = open_descriptors();
        first.client = std::move(second.client);
        const auto end = co_await first.server.read(buffer);
        EXPECT(end == 0u);
        const bool settled = co_await descriptors_settle(before - 1);
        EXPECT(settled);
        EXPECT(throws_logic_error([&] { (void)second.client.native_handle(); }));
        const auto wrote = co_await first.client.write("new");
        EXPECT(wrote == 3u);
        const auto n = co_await second.server.read(buffer);
        EXPECT(n == 3u);
    });
}

TEST_CASE("tcp_listener: move assignment closes the old one and fails its accept") {
    everywhere([]() -> task<> {
        tcp_listener l = listener();
        const sluice::io::endpoint old = l.local_address().value();
        l = listener();
        // A connection in the backlog would be reset, a new one is refused.
        const auto refused = co_await sluice::io::connect_tcp(old);
        EXPECT(failed_with(refused, std::errc::connection_refused));
        const pair both = co_await connect_to(l);
        const auto wrote = co_await both.client.write("x");
        EXPECT(wrote == 1u);
    });
}
