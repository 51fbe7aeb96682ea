// Reads and accepts among the cases of a select: what loses takes nothing, counted exactly.
#include <sluice/io/tcp.hpp>

#include <array>
#include <optional>
#include <variant>
#include <vector>

#include <sluice/channels/after.hpp>
#include <sluice/channels/chan.hpp>
#include <sluice/channels/timer.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::chan;
using sluice::task;
using sluice::io::endpoint;

namespace {

struct tally {
    std::uint32_t reads = 0;
    std::uint32_t accepts = 0;
    std::uint32_t messages = 0;
    std::uint32_t timers = 0;
    std::uint32_t contexts = 0;

    std::uint32_t races() const { return reads + accepts + messages + timers + contexts; }
};

// A context that has a timer, or one that has ended, or one that never ends.
std::pair<sluice::context, sluice::cancel_function> some_context(chooser& c) {
    auto made = sluice::with_timeout(sluice::background(), std::chrono::microseconds(c.below(200)));
    if (c.below(16) == 0) made.second();
    if (c.below(2) == 0) return sluice::with_cancel(sluice::background());
    return made;
}

task<> send_numbers(chan<std::uint32_t> to, std::uint32_t count, std::uint64_t seed) {
    chooser c(seed);
    for (std::uint32_t i = 0; i != count; ++i) {
        co_await to.send(i);
        co_await yield_times(c.below(3));
    }
    to.close();
}

task<> send_chunks(const tcp_stream* to, const pattern* p, std::size_t total, std::uint64_t seed) {
    chooser c(seed);
    for (std::size_t sent = 0; sent != total;) {
        const std::size_t size = std::min<std::size_t>(total - sent, 1 + c.below(64));
        const auto wrote = co_await to->write_all(p->at(sent, size));
        if (!EXPECT(wrote.has_value())) co_return;
        sent += size;
        co_await yield_times(c.below(3));
    }
    EXPECT(to->shutdown().has_value());
}

// Reads and receives by turns of chance until both sources have ended.
task<> race_reads(const tcp_stream* from, const pattern* p, chan<std::uint32_t> numbers,
                  tally* seen, std::size_t* got, std::uint64_t seed) {
    chooser c(seed);
    std::array<std::byte, 256> buffer;
    bool more_bytes = true;
    while (more_bytes || numbers) {
        const auto limited = some_context(c);
        const sluice::timer alarm(std::chrono::microseconds(c.below(300)));
        auto won =
            co_await sluice::select(from->read(std::span(buffer).first(1 + c.below(buffer.size()))),
                                    numbers.recv(), limited.first.done(), alarm.recv(),
                                    sluice::after(std::chrono::microseconds(c.below(300))));
        if (const auto* const n = std::get_if<0>(&won)) {
            if (!EXPECT(n->has_value())) co_return;
            if (more_bytes) ++seen->reads;
            const std::span<const std::byte> bytes = std::span(buffer).first(**n);
            EXPECT(p->matches(*got, bytes));
            *got += bytes.size();
            more_bytes = !bytes.empty();
        } else if (const auto* const number = std::get_if<1>(&won)) {
            if (!number->has_value()) {
                numbers = {};  // a nil channel is never ready
            } else {
                EXPECT(**number == seen->messages);
                ++seen->messages;
            }
        } else if (won.index() == 2) {
            ++seen->contexts;
        } else {
            ++seen->timers;
        }
        if (!more_bytes) co_await sluice::yield();  // the end is always ready
    }
}

}  // namespace

TEST_CASE("select: a read that loses to a channel, a context or a timer takes no byte") {
    const std::uint64_t given = test_seed();
    everywhere(
        [](std::uint64_t seed) -> task<> {
            constexpr std::uint32_t messages = rounds(10'000);
            constexpr std::size_t total = rounds(200'000);
            const pair both = co_await connected();
            const pattern p(seed);
            const auto numbers = sluice::make_chan<std::uint32_t>(4);
            tally seen;
            std::size_t got = 0;
            sluice::wait_group all;
            all.go(send_numbers, numbers, messages, seed + 1);
            all.go(send_chunks, &both.client, &p, total, seed + 2);
            all.go(race_reads, &both.server, &p, numbers, &seen, &got, seed + 3);
            co_await all.wait();
            EXPECT(got == total);
            EXPECT(seen.messages == messages);
            EXPECT(seen.races() > messages);
            EXPECT(seen.reads > 0);
        },
        given);
}

TEST_CASE("select: two reads of two streams race and each takes its own bytes only") {
    const std::uint64_t given = test_seed();
    everywhere(
        [](std::uint64_t seed) -> task<> {
            constexpr std::size_t total = rounds(100'000);
            const pair one = co_await connected();
            const pair two = co_await connected();
            const pattern p(seed);
            const pattern q(seed + 1);
            sluice::wait_group all;
            all.go(send_chunks, &one.client, &p, total, seed + 2);
            all.go(send_chunks, &two.client, &q, total, seed + 3);
            chooser c(seed + 4);
            std::array<std::byte, 128> a;
            std::array<std::byte, 128> b;
            std::size_t got_one = 0;
            std::size_t got_two = 0;
            const auto limit = std::chrono::steady_clock::now() + 20s;
            while (got_one != total || got_two != total) {
                if (!EXPECT(std::chrono::steady_clock::now() < limit)) break;
                const auto won = co_await sluice::select(
                    one.server.read(std::span(a).first(1 + c.below(a.size()))),
                    two.server.read(std::span(b).first(1 + c.below(b.size()))));
                if (const auto* const n = std::get_if<0>(&won)) {
                    if (!EXPECT(n->has_value())) break;
                    EXPECT(p.matches(got_one, std::span<const std::byte>(a).first(**n)));
                    got_one += **n;
                } else {
                    const auto& m = std::get<1>(won);
                    if (!EXPECT(m.has_value())) break;
                    EXPECT(q.matches(got_two, std::span<const std::byte>(b).first(*m)));
                    got_two += *m;
                }
            }
            EXPECT(got_one == total);
            EXPECT(got_two == total);
            co_await all.wait();
        },
        given);
}

TEST_CASE("select: with otherwise a read is tried and nothing is taken by a try in vain") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        std::array<char, 8> buffer;
        for (int i = 0; i != 100; ++i) {
            const auto none = co_await sluice::select(both.server.read(buffer), sluice::otherwise);
            EXPECT(none.index() == 1);
            const auto wrote = co_await both.client.write_all("x");
            EXPECT(wrote.has_value());
            const auto there = co_await both.server.readable();
            EXPECT(there.has_value());
            const auto some = co_await sluice::select(both.server.read(buffer), sluice::otherwise);
            const auto* const n = std::get_if<0>(&some);
            if (EXPECT(n != nullptr)) EXPECT(*n == 1u);
        }
    });
}

namespace {

// Each is tried until it succeeds, and never waited for: nothing but the tries can see the event.
task<> try_again_and_again() {
    const tcp_listener l = listener();
    std::array<char, 8> buffer;
    const auto no_one = co_await sluice::select(l.accept(), sluice::otherwise);
    EXPECT(no_one.index() == 1);
    auto client = co_await sluice::io::connect_tcp(l.local_address().value());
    if (!EXPECT(client.has_value())) co_return;
    const auto limit = std::chrono::steady_clock::now() + 2s;
    std::optional<tcp_stream> server;
    while (!server && EXPECT(std::chrono::steady_clock::now() < limit)) {
        auto tried = co_await sluice::select(l.accept(), sluice::otherwise);
        if (auto* const conn = std::get_if<0>(&tried)) server.emplace(std::move(**conn));
        co_await sluice::yield();
    }
    if (!server) co_return;
    const auto nothing = co_await sluice::within(0s, server->read(buffer));
    EXPECT(failed_with(nothing, sluice::errc::deadline_exceeded));
    const auto wrote = co_await client->write("x");
    EXPECT(wrote == 1u);
    bool got = false;
    while (!got && EXPECT(std::chrono::steady_clock::now() < limit)) {
        const auto n = co_await sluice::within(0s, server->read(buffer));
        got = n == 1u;
        co_await sluice::yield();
    }
}

}  // namespace

TEST_CASE("select: reads and accepts that are only ever tried see what comes later") {
    everywhere(try_again_and_again);
}

TEST_CASE("select: a stream at its end does not keep another from being read") {
    everywhere([]() -> task<> {
        const pair ended = co_await connected();
        const pair live = co_await connected();
        EXPECT(ended.client.shutdown().has_value());
        const auto there = co_await ended.server.readable();
        EXPECT(there.has_value());
        std::array<char, 8> a;
        std::array<char, 8> b;
        int live_reads = 0;
        const auto limit = std::chrono::steady_clock::now() + 2s;
        for (int i = 0; live_reads == 0; ++i) {
            if (!EXPECT(std::chrono::steady_clock::now() < limit)) break;
            if (i == 100) {
                const auto wrote = co_await live.client.write("x");
                EXPECT(wrote == 1u);
            }
            const auto won = co_await sluice::select(ended.server.read(a), live.server.read(b));
            if (won.index() == 1) ++live_reads;
        }
    });
}

TEST_CASE("select: a write that loses has written nothing") {
    const std::uint64_t given = test_seed();
    everywhere(
        [](std::uint64_t seed) -> task<> {
            constexpr std::size_t total = std::size_t{64} << 20;
            constexpr std::uint32_t messages = rounds(10'000);
            const pair both = co_await connected();
            const pattern p(seed);
            const auto numbers = sluice::make_chan<std::uint32_t>(1);
            sluice::wait_group all;
            all.go(send_numbers, numbers, messages, seed + 1);
            all.go(
                [](const tcp_stream* from, const pattern* expected, std::uint64_t s) -> task<> {
                    chooser c(s);
                    std::vector<std::byte> buffer(pattern::longest);
                    std::size_t got = 0;
                    for (;;) {
                        const auto n = co_await from->read(buffer);
                        if (!EXPECT(n.has_value())) co_return;
                        if (*n == 0) break;
                        EXPECT(
                            expected->matches(got, std::span<const std::byte>(buffer).first(*n)));
                        got += *n;
                        co_await yield_times(c.below(3));
                    }
                    EXPECT(got == total);
                },
                &both.server, &p, seed + 2);
            std::size_t sent = 0;
            std::uint32_t received = 0;
            auto open = numbers;
            while (sent != total) {
                const std::size_t size = std::min(total - sent, pattern::longest);
                const auto won =
                    co_await sluice::select(both.client.write(p.at(sent, size)), open.recv());
                if (const auto* const n = std::get_if<0>(&won)) {
                    if (!EXPECT(n->has_value())) break;
                    sent += **n;
                } else if (std::get<1>(won)) {
                    ++received;
                } else {
                    open = {};
                }
            }
            EXPECT(both.client.shutdown().has_value());
            while (open) {
                const auto number = co_await open.recv();
                if (!number) break;
                ++received;
            }
            EXPECT(received == messages);
            co_await all.wait();
        },
        given);
}

namespace {

constexpr std::uint32_t connectors = 4;
constexpr std::uint32_t connections_each = 500;

task<> connect_many(endpoint to, std::uint32_t first, std::uint64_t seed) {
    chooser c(seed);
    for (std::uint32_t id = first; id != first + connections_each; ++id) {
        auto conn = co_await sluice::io::connect_tcp(to);
        if (!EXPECT(conn.has_value())) co_return;
        std::array<std::byte, 4> bytes;
        std::memcpy(bytes.data(), &id, sizeof id);
        const auto wrote = co_await conn->write_all(bytes);
        EXPECT(wrote.has_value());
        const auto end = co_await conn->read(bytes);  // the server has taken the number
        EXPECT(!end || *end == 0);
        co_await yield_times(c.below(3));
    }
}

task<> take_number(tcp_stream conn, std::vector<std::uint32_t>* times) {
    std::array<std::byte, 4> bytes;
    const std::size_t n = co_await read_full(conn, bytes);
    if (!EXPECT(n == 4)) co_return;
    std::uint32_t id = 0;
    std::memcpy(&id, bytes.data(), sizeof id);
    if (EXPECT(id < times->size())) ++(*times)[id];  // one slot, one connection
    close_resets(conn);
}

task<> race_accepts(std::uint64_t seed) {
    constexpr std::uint32_t messages = rounds(10'000);
    constexpr std::uint32_t total = connectors * connections_each;
    const tcp_listener l = listener();
    auto numbers = sluice::make_chan<std::uint32_t>(1);
    std::vector<std::uint32_t> times(total);
    tally seen;
    sluice::wait_group all;
    all.go(send_numbers, numbers, messages, seed);
    for (std::uint32_t i = 0; i != connectors; ++i) {
        all.go(connect_many, l.local_address().value(), i * connections_each, seed + 1 + i);
    }
    chooser c(seed + 1 + connectors);
    while (seen.accepts != total || numbers) {
        const auto limited = some_context(c);
        auto won = co_await sluice::select(l.accept(), numbers.recv(), limited.first.done(),
                                           sluice::after(std::chrono::microseconds(c.below(300))));
        if (auto* const conn = std::get_if<0>(&won)) {
            if (!EXPECT(conn->has_value())) break;
            ++seen.accepts;
            all.go(take_number, std::move(**conn), &times);
        } else if (const auto* const number = std::get_if<1>(&won)) {
            if (number->has_value()) {
                ++seen.messages;
            } else {
                numbers = {};
            }
        } else {
            ++(won.index() == 2 ? seen.contexts : seen.timers);
        }
    }
    co_await all.wait();
    EXPECT(seen.messages == messages);
    EXPECT(seen.races() >= messages + total);
    for (const std::uint32_t n : times) EXPECT(n == 1);
    const auto more = co_await sluice::within(0s, l.accept());
    EXPECT(failed_with(more, sluice::errc::deadline_exceeded));
}

}  // namespace

TEST_CASE("select: an accept that loses leaves the connection in the backlog") {
    everywhere(race_accepts, test_seed());
}

TEST_CASE("select: a connect that loses leaves no socket behind") {
    everywhere([]() -> task<> {
        const tcp_listener l = listener();
        const endpoint to = l.local_address().value();
        const auto before = open_descriptors();
        for (int i = 0; i != rounds(1'000); ++i) {
            auto won = co_await sluice::select(sluice::io::connect_tcp(to),
                                               sluice::after(std::chrono::microseconds(i % 20)));
            if (auto* const conn = std::get_if<0>(&won)) {
                EXPECT(conn->has_value());
                close_resets(**conn);
            }
            // Whether it was made in full or given up, what came into the backlog is taken out.
            for (;;) {
                auto other = co_await sluice::within(0s, l.accept());
                if (!other) break;
                close_resets(*other);
            }
        }
        const bool settled = co_await descriptors_settle(before);
        EXPECT(settled);
    });
}
