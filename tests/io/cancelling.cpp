// Bounded reads, writes and accepts, and cancelling that races with completion.
#include <sluice/io/tcp.hpp>

#include <array>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::cancel_function;
using sluice::chan;
using sluice::errc;
using sluice::task;
using sluice::within;

TEST_CASE("within: no time makes a read a try") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        std::array<char, 8> buffer{};
        for (int i = 0; i != 100; ++i) {
            const auto none = co_await within(0s, both.server.read(buffer));
            EXPECT(failed_with(none, errc::deadline_exceeded));
            const auto wrote = co_await both.client.write_all("ab");
            EXPECT(wrote.has_value());
            const auto there = co_await both.server.readable();
            EXPECT(there.has_value());
            const auto two = co_await within(0s, both.server.read(buffer));
            EXPECT(two == 2u);
        }
    });
}

TEST_CASE("within: a read ends when its time is up and later bytes are whole") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        std::array<char, 8> buffer{};
        const auto start = std::chrono::steady_clock::now();
        const auto late = co_await within(20ms, both.server.read(buffer));
        const auto took = std::chrono::steady_clock::now() - start;
        EXPECT(failed_with(late, errc::deadline_exceeded));
        EXPECT(took >= 20ms);
        EXPECT(took < 5s);
        const auto wrote = co_await both.client.write_all("whole");
        EXPECT(wrote.has_value());
        const auto n = co_await within(10s, both.server.read(buffer));
        EXPECT(n == 5u);
        EXPECT(std::string_view(buffer.data(), 5) == "whole");
    });
}

TEST_CASE("within: a context that has ended wins over bytes that are there") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        const auto wrote = co_await both.client.write_all("abc");
        EXPECT(wrote.has_value());
        const auto there = co_await both.server.readable();
        EXPECT(there.has_value());
        const auto ended = sluice::with_cancel(sluice::background());
        ended.second();
        std::array<char, 8> buffer{};
        for (int i = 0; i != 100; ++i) {
            const auto refused = co_await within(ended.first, both.server.read(buffer));
            EXPECT(failed_with(refused, errc::canceled));
        }
        const auto expired = sluice::with_timeout(sluice::background(), 0s);
        const auto late = co_await within(expired.first, both.server.read(buffer));
        EXPECT(failed_with(late, errc::deadline_exceeded));
        const auto n = co_await both.server.read(buffer);
        EXPECT(n == 3u);
    });
}

TEST_CASE("within: cancelling ends a read, an accept and a write that wait") {
    everywhere([]() -> task<> {
        const tcp_listener l = listener();
        const pair both = co_await connect_to(l);
        const std::vector<std::byte> bytes(std::size_t{64} << 20);
        for (std::uint32_t round = 0; round != 100; ++round) {
            const auto ctx = sluice::with_cancel(sluice::background());
            sluice::wait_group all;
            all.go(
                [](const tcp_stream* s, sluice::context until) -> task<> {
                    std::array<char, 8> buffer;
                    const auto n = co_await within(until, s->read(buffer));
                    EXPECT(failed_with(n, errc::canceled));
                },
                &both.server, ctx.first);
            all.go(
                [](const tcp_listener* at, sluice::context until) -> task<> {
                    const auto conn = co_await within(until, at->accept());
                    EXPECT(failed_with(conn, errc::canceled));
                },
                &l, ctx.first);
            // Nobody reads at the other end.
            all.go(
                [](const tcp_stream* s, const std::vector<std::byte>* from,
                   sluice::context until) -> task<> {
                    const auto wrote = co_await within(until, s->write_all(*from));
                    EXPECT(failed_with(wrote, errc::canceled));
                },
                &both.server, &bytes, ctx.first);
            co_await yield_times(round % 4);
            ctx.second();
            co_await all.wait();
        }
    });
}

namespace {

using cancels = chan<cancel_function>;

// Cancels each after a while by chance, by a call or by letting go.
task<> cancel_all(cancels from, std::uint64_t seed) {
    chooser c(seed);
    for (;;) {
        auto cancel = co_await from.recv();
        if (!cancel) co_return;
        co_await yield_times(c.below(3));
        if (c.below(2) == 0) (*cancel)();
    }
}

task<> write_singly(const tcp_stream* to, chan<> orders, std::uint64_t seed) {
    chooser c(seed);
    for (;;) {
        const bool more = co_await orders.recv();
        if (!more) break;
        co_await yield_times(c.below(3));
        const auto wrote = co_await to->write("x");
        EXPECT(wrote == 1u);
    }
    EXPECT(to->shutdown().has_value());
}

task<> race_reads(std::uint64_t seed) {
    constexpr int most = rounds(100'000);
    const pair both = co_await connected();
    const auto to_cancel = sluice::make_chan<cancel_function>(1);
    const auto orders = sluice::make_chan(1);
    sluice::wait_group all;
    all.go(cancel_all, to_cancel, seed);
    all.go(write_singly, &both.client, orders, seed + 1);
    chooser c(seed + 2);
    std::array<char, 16> buffer;
    std::size_t got = 0;
    int canceled = 0;
    for (int round = 0; round != most; ++round) {
        auto ctx = sluice::with_cancel(sluice::background());
        const bool write_first = c.below(2) == 0;
        if (write_first) co_await orders.send();
        co_await to_cancel.send(std::move(ctx.second));
        if (!write_first) co_await orders.send();
        const auto n = co_await within(ctx.first, both.server.read(buffer));
        if (n) {
            EXPECT(*n > 0);
            got += *n;
        } else {
            EXPECT(failed_with(n, errc::canceled));
            ++canceled;
        }
    }
    orders.close();
    to_cancel.close();
    for (;;) {
        const auto n = co_await both.server.read(buffer);
        if (!EXPECT(n.has_value()) || *n == 0) break;
        got += *n;
    }
    co_await all.wait();
    EXPECT(got == most);
    EXPECT(canceled > 0);
    EXPECT(canceled < most);
}

task<> connect_singly(sluice::io::endpoint to, chan<> orders) {
    for (;;) {
        const bool more = co_await orders.recv();
        if (!more) co_return;
        const auto conn = co_await sluice::io::connect_tcp(to);
        if (EXPECT(conn.has_value())) close_resets(*conn);
        std::array<char, 1> byte;
        const auto told = co_await conn->read(byte);  // the acceptor has it
        EXPECT(told == 1u);
    }
}

task<> race_accepts(std::uint64_t seed) {
    constexpr std::uint32_t most = rounds(5'000);
    const tcp_listener l = listener();
    const auto before = open_descriptors();
    const auto to_cancel = sluice::make_chan<cancel_function>(1);
    const auto orders = sluice::make_chan(64);
    sluice::wait_group all;
    all.go(cancel_all, to_cancel, seed);
    all.go(connect_singly, l.local_address().value(), orders);
    std::uint32_t accepted = 0;
    for (std::uint32_t ordered = 0; accepted != most;) {
        if (ordered != most && ordered - accepted < 32) {
            co_await orders.send();
            ++ordered;
        }
        auto ctx = sluice::with_cancel(sluice::background());
        co_await to_cancel.send(std::move(ctx.second));
        const auto conn = co_await within(ctx.first, l.accept());
        if (conn) {
            ++accepted;
            const auto told = co_await conn->write("x");
            EXPECT(told == 1u);
        } else if (!EXPECT(failed_with(conn, errc::canceled))) {
            break;
        }
    }
    orders.close();
    to_cancel.close();
    co_await all.wait();
    const bool settled = co_await descriptors_settle(before);
    EXPECT(settled);
}

}  // namespace

TEST_CASE("within: a cancel that races with a read gives one result and conserves every byte") {
    everywhere(race_reads, test_seed());
}

TEST_CASE("within: a cancel that races with an accept loses no connection and no descriptor") {
    everywhere(race_accepts, test_seed());
}

TEST_CASE("within: a deadline that races with a read conserves every byte") {
    const std::uint64_t given = test_seed();
    everywhere(
        [](std::uint64_t seed) -> task<> {
            constexpr int most = rounds(10'000);
            const pair both = co_await connected();
            const auto orders = sluice::make_chan(1);
            sluice::wait_group all;
            all.go(write_singly, &both.client, orders, seed);
            chooser c(seed + 1);
            std::array<char, 16> buffer;
            std::size_t got = 0;
            for (int round = 0; round != most; ++round) {
                co_await orders.send();
                const std::chrono::microseconds time(c.below(30));
                const auto n = co_await within(time, both.server.read(buffer));
                if (n) {
                    got += *n;
                } else {
                    EXPECT(failed_with(n, errc::deadline_exceeded));
                }
            }
            orders.close();
            for (;;) {
                const auto n = co_await both.server.read(buffer);
                if (!EXPECT(n.has_value()) || *n == 0) break;
                got += *n;
            }
            co_await all.wait();
            EXPECT(got == most);
        },
        given);
}
