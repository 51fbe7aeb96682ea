// Closing while others wait, and what becomes of the number.
#include <sluice/io/tcp.hpp>

#include <array>
#include <memory>
#include <vector>

#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::task;
using sluice::io::endpoint;

namespace {

template <class T>
bool is_bad(const sluice::result<T>& r) {
    return failed_with(r, std::errc::bad_file_descriptor);
}

task<> wait_to_read(const tcp_stream* s) {
    std::array<char, 8> buffer;
    const auto n = co_await s->read(buffer);
    EXPECT(!n);
    EXPECT(is_bad(n));
}

task<> wait_until_readable(const tcp_stream* s) {
    const auto there = co_await s->readable();
    EXPECT(!there);
    EXPECT(is_bad(there));
}

task<> wait_to_write(const tcp_stream* s) {
    static const std::vector<std::byte> bytes(std::size_t{64} << 20);
    const auto wrote = co_await s->write_all(bytes);
    EXPECT(!wrote);
    EXPECT(is_bad(wrote));
}

task<> wait_to_accept(const tcp_listener* l) {
    const auto conn = co_await l->accept();
    EXPECT(!conn);
    EXPECT(is_bad(conn));
}

task<> accept_in_turn(const tcp_listener* l, std::size_t number, std::vector<std::size_t>* order) {
    EXPECT(!co_await l->accept());
    order->push_back(number);
}

}  // namespace

TEST_CASE("close: reads, writes and accepts that wait fail, and none hangs") {
    everywhere([]() -> task<> {
        for (std::uint32_t round = 0; round != 100; ++round) {
            tcp_listener l = listener();
            pair both = co_await connect_to(l);
            sluice::wait_group all;
            all.go(wait_to_read, &both.server);
            all.go(wait_until_readable, &both.server);
            all.go(wait_to_accept, &l);
            all.go(wait_to_accept, &l);
            if (round % 10 == 0) all.go(wait_to_write, &both.server);
            co_await yield_times(round % 5);
            both.server.close();
            l.close();
            co_await all.wait();
        }
    });
}

TEST_CASE("close: tasks run in the order in which their waits ended") {
    everywhere([]() -> task<> {
        if (sluice::stats().workers != 1) co_return;  // more of them have no one order
        constexpr std::size_t count = 8;
        std::vector<std::size_t> in_turn;
        std::vector<std::size_t> order;
        std::vector<tcp_listener> listeners;
        for (std::size_t i = 0; i != count; ++i) {
            in_turn.push_back(i);
            listeners.push_back(listener());
        }
        sluice::wait_group all;
        for (std::size_t i = 0; i != count; ++i) all.go(accept_in_turn, &listeners[i], i, &order);
        co_await yield_times(2);
        for (tcp_listener& l : listeners) l.close();
        co_await all.wait();
        EXPECT(order == in_turn);
    });
}

TEST_CASE("close: a thread that runs no tasks may close") {
    everywhere([]() -> task<> {
        for (std::uint32_t round = 0; round != 50; ++round) {
            tcp_listener l = listener();
            pair both = co_await connect_to(l);
            sluice::wait_group all;
            all.go(wait_to_read, &both.server);
            all.go(wait_to_accept, &l);
            co_await yield_times(round % 5);
            co_await sluice::blocking(
                [](tcp_stream* s, tcp_listener* at) {
                    s->close();
                    at->close();
                },
                &both.server, &l);
            co_await all.wait();
        }
    });
}

TEST_CASE("close: with a read in flight the peer sees the end at once") {
    everywhere([]() -> task<> {
        for (std::uint32_t round = 0; round != 20; ++round) {
            pair both = co_await connected();
            auto reader = sluice::spawn(wait_to_read, &both.server);
            co_await yield_times(2 + round % 3);
            const auto start = std::chrono::steady_clock::now();
            both.server.close();
            std::array<char, 8> buffer;
            const auto end = co_await both.client.read(buffer);
            const auto took = std::chrono::steady_clock::now() - start;
            EXPECT(end == 0u);
            EXPECT(took < 500ms);
            co_await reader.join();
        }
    });
}

TEST_CASE("close: with a linger of zero the peer sees a reset and no end before it") {
    everywhere([]() -> task<> {
        for (int round = 0; round != 20; ++round) {
            pair both = co_await connected();
            std::array<char, 8> buffer;
            const auto none = co_await sluice::within(100us, both.client.read(buffer));
            EXPECT(failed_with(none, sluice::errc::deadline_exceeded));
            close_resets(both.client);
            both.client.close();
            const auto end = co_await sluice::within(10s, both.server.read(buffer));
            EXPECT(failed_with(end, std::errc::connection_reset));
        }
    });
}

TEST_CASE("close: the number of a watched stream comes back") {
    everywhere([]() -> task<> {
        const tcp_listener l = listener();
        const auto before = open_descriptors();
        for (int round = 0; round != 50; ++round) {
            pair both = co_await connect_to(l);
            auto reader = sluice::spawn(wait_to_read, &both.server);
            co_await yield_times(2);
            both.server.close();
            both.client.close();
            co_await reader.join();
            const bool settled = co_await descriptors_settle(before);
            EXPECT(settled);
        }
    });
}

TEST_CASE("close: connections in the backlog of a closed listener are reset") {
    everywhere([]() -> task<> {
        tcp_listener l = listener();
        const endpoint to = l.local_address().value();
        const auto conn = co_await sluice::io::connect_tcp(to);
        EXPECT(conn.has_value());
        l.close();
        std::array<char, 8> buffer;
        const auto end = co_await sluice::within(10s, conn->read(buffer));
        EXPECT(!end);
        EXPECT(failed_with(end, std::errc::connection_reset));
    });
}

namespace {

using word = std::uint64_t;

task<> send_words(std::shared_ptr<tcp_stream> to, word tag) {
    std::array<word, 64> words;
    words.fill(tag);
    for (;;) {
        const auto wrote = co_await to->write_all(std::as_bytes(std::span(words)));
        if (!wrote) co_return;
    }
}

// Every byte that arrives repeats the tag, from the first one on.
task<> expect_words(std::shared_ptr<tcp_stream> from, word tag) {
    std::array<std::byte, 1000> buffer;
    std::array<std::byte, sizeof(word)> expected;
    std::memcpy(expected.data(), &tag, sizeof tag);
    std::size_t at = 0;
    for (;;) {
        const auto n = co_await from->read(buffer);
        if (!n || *n == 0) co_return;
        for (const std::byte b : std::span(buffer).first(*n)) {
            if (!EXPECT(b == expected[at++ % sizeof(word)])) co_return;
        }
    }
}

task<> churn(std::uint32_t of, int connections, std::uint64_t seed) {
    chooser c(seed);
    const tcp_listener l = listener();
    sluice::wait_group all;
    for (int i = 0; i != connections; ++i) {
        pair both = co_await connect_to(l);
        close_resets(both.client);
        auto client = std::make_shared<tcp_stream>(std::move(both.client));
        auto server = std::make_shared<tcp_stream>(std::move(both.server));
        const word there = c.next() << 8 | of;
        const word back = c.next() << 8 | of | 16;
        all.go(send_words, client, there);
        all.go(expect_words, server, there);
        all.go(send_words, server, back);
        all.go(expect_words, client, back);
        co_await yield_times(c.below(6));
        // The next connection takes these numbers while the four still use their streams.
        if (c.below(2) == 0) client->close();
        server->close();
        client->close();
    }
    co_await all.wait();
}

}  // namespace

TEST_CASE("close: when numbers are used again no byte crosses from one connection to another") {
    const std::uint64_t given = test_seed();
    everywhere(
        [](std::uint64_t seed) -> task<> {
            sluice::wait_group all;
            for (std::uint32_t i = 0; i != 4; ++i) all.go(churn, i, rounds(150), seed + i);
            co_await all.wait();
        },
        given);
}

namespace {

task<> connect_and_close(int connections) {
    const tcp_listener l = listener();
    for (int i = 0; i != connections; ++i) {
        pair both = co_await connect_to(l);
        close_resets(both.client);
        auto reader = sluice::spawn(
            [](tcp_stream s) -> task<> {
                std::array<char, 8> buffer;
                const auto n = co_await s.read(buffer);
                EXPECT(n == 1u);
            },
            std::move(both.server));
        const auto wrote = co_await both.client.write("x");
        EXPECT(wrote == 1u);
        co_await reader.join();
    }
}

}  // namespace

TEST_CASE("close: descriptors are constant over 20,000 connections") {
    everywhere([]() -> task<> {
        constexpr int tasks = 8;
        constexpr int total = rounds(20'000);
        const auto before = open_descriptors();
        sluice::wait_group all;
        for (int i = 0; i != tasks; ++i) all.go(connect_and_close, total / tasks);
        co_await all.wait();
        const bool settled = co_await descriptors_settle(before);
        EXPECT(settled);
    });
}
