// TCP in memory: what goes wrong in it, by chance or for a reason, and how a simulation ends.
#include <sluice/io/tcp.hpp>

#include <array>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>

#include "catch.hpp"
#include "simulations.hpp"

using namespace loopback;
using sluice::simulated_network;
using sluice::task;
using sluice::io::connect_tcp;

namespace {

/// A connection, or none: on a network that loses what makes it.
task<std::optional<pair>> connected_by_chance() {
    const tcp_listener l = listener();
    auto client = co_await connect_tcp(l.local_address().value());
    if (!client) co_return std::nullopt;
    auto server = co_await within(1h, l.accept());
    if (!server) co_return std::nullopt;
    co_return pair(std::move(*client), std::move(*server));
}

}  // namespace

TEST_CASE("simulated network: where nobody listens a connect is refused") {
    on_network([]() -> task<> {
        const auto nobody = co_await connect_tcp("127.0.0.1:7000");
        EXPECT(failed_with(nobody, std::errc::connection_refused));
        tcp_listener l = listener("127.0.0.1:7000");
        const auto elsewhere = co_await connect_tcp("127.0.0.2:7000");
        EXPECT(failed_with(elsewhere, std::errc::connection_refused));
        const auto here = co_await connect_tcp("127.0.0.1:7000");
        EXPECT(here.has_value());
        l.close();
        const auto late = co_await connect_tcp("127.0.0.1:7000");
        EXPECT(failed_with(late, std::errc::connection_refused));
    });
}

TEST_CASE("simulated network: a reset is told once to each end, and then the stream is over") {
    simulated_network n;
    n.reset = 0.2;
    const int resets = total(n, []() -> task<int> {
        const tcp_listener l = listener();
        const auto to = l.local_address().value();
        auto accepting = sluice::spawn(
            [](const tcp_listener* at) -> task<bool> {
                const auto conn = co_await within(1min, at->accept());
                if (!conn) co_return false;
                std::error_code end;
                co_await read_all(&*conn, &end);
                co_return is(end, std::errc::connection_reset);
            },
            &l);
        const auto conn = co_await connect_tcp(to);
        if (!conn) {
            EXPECT(failed_with(conn, std::errc::connection_reset));
            co_await accepting.join();
            co_return 0;
        }
        for (;;) {
            const auto sent = co_await conn->write("some bytes");
            if (!sent) {
                EXPECT(failed_with(sent, std::errc::connection_reset));
                break;
            }
            co_await sluice::sleep_for(1ms);
        }
        std::array<char, 8> buffer;
        const auto end = co_await conn->read(buffer);
        EXPECT(end == 0u);
        const auto more = co_await conn->write("x");
        EXPECT(failed_with(more, std::errc::broken_pipe));
        EXPECT(!conn->remote_address());
        EXPECT(!conn->shutdown());
        const bool server_too = co_await accepting.join();
        co_return server_too ? 1 : 0;
    });
    CHECK(resets > 50);
}

TEST_CASE("simulated network: a lost segment comes later, and holds up those behind it") {
    simulated_network n = steady();
    n.drop = 0.5;
    std::set<std::int64_t> took;
    on_network(n, [&took]() -> task<> {
        const tcp_listener l = listener();
        const auto client = co_await connect_tcp(l.local_address().value());
        if (!client) {
            EXPECT(failed_with(client, std::errc::timed_out));
            co_return;
        }
        const auto server = co_await within(1min, l.accept());
        if (!server) co_return;
        const auto begin = sluice::now();
        const auto first = co_await client->write("1");
        const auto second = co_await client->write("2");
        EXPECT(first == 1u && second == 1u);
        std::array<char, 1> buffer;
        const auto got = co_await within(1min, server->read(buffer));
        if (!got) co_return;
        EXPECT(buffer[0] == '1');
        const auto delay = sluice::now() - begin;
        EXPECT((delay - 1ms) % 200ms == 0s);
        took.insert(delay / 1ms);
    });
    CHECK(took.size() > 3);
    CHECK(took.contains(1));
    CHECK(took.contains(201));
    CHECK(took.contains(601));
}

TEST_CASE("simulated network: when everything is lost a connect gives up after 127 seconds") {
    simulated_network n;
    n.drop = 1;
    on_network(n, []() -> task<> {
        const tcp_listener l = listener();
        const auto begin = sluice::now();
        const auto conn = co_await connect_tcp(l.local_address().value());
        EXPECT(failed_with(conn, std::errc::timed_out));
        EXPECT(sluice::now() - begin >= 127s);
        EXPECT(sluice::now() - begin < 128s);
    });
}

TEST_CASE("simulated network: who closes tells the peer the end, and unread bytes a reset") {
    on_network([]() -> task<> {
        for (const bool unread : {false, true}) {
            pair both = co_await connected();
            if (unread) {
                const auto sent = co_await both.client.write("unread");
                EXPECT(sent.has_value());
                static_cast<void>(co_await both.server.readable());
            }
            const auto last = co_await both.server.write_all("last");
            EXPECT(last.has_value());
            both.server.close();
            std::error_code end;
            const std::string got = co_await read_all(&both.client, &end);
            EXPECT(got == "last");
            EXPECT(unread ? is(end, std::errc::connection_reset) : !end);
            // Bytes to a closed stream: the first are taken, and answered with a reset.
            const auto first = co_await both.client.write("x");
            EXPECT(unread || first.has_value());
            co_await sluice::sleep_for(1s);
            const auto second = co_await both.client.write("y");
            EXPECT(failed_with(second, std::errc::broken_pipe));
        }
    });
}

TEST_CASE("simulated network: a full writer learns that its peer has gone") {
    simulated_network n;
    n.buffer = 100;
    on_network(n, []() -> task<> {
        pair both = co_await connected();
        auto writer = sluice::spawn(
            [](const tcp_stream* to) -> task<> {
                const std::string text = letters(1'000);
                const auto sent = co_await to->write_all(text);
                // The end of the peer's bytes may have come ahead of the reset.
                EXPECT(failed_with(sent, std::errc::connection_reset) ||
                       failed_with(sent, std::errc::broken_pipe));
            },
            &both.client);
        co_await sluice::sleep_for(800us);
        both.server.close();
        co_await writer.join();
    });
}

TEST_CASE("simulated network: when one end has given up, a full writer at the other learns it") {
    simulated_network n = steady();
    n.buffer = 100;
    n.drop = 0.8;
    const auto both_full = []() -> task<int> {
        const std::string text = letters(100);
        const auto both = co_await connected_by_chance();
        if (!both) co_return 0;
        auto writer = sluice::spawn(
            [](const tcp_stream* to, std::string_view bytes) -> task<std::error_code> {
                const auto all = co_await to->write_all(bytes);
                EXPECT(all.has_value());
                const auto more = co_await within(10h, to->write(bytes));
                co_return more.error();
            },
            &both->client, text);
        const auto all = co_await both->server.write_all(text);
        EXPECT(all.has_value());
        co_await sluice::sleep_for(5h);
        const auto more = co_await within(10h, both->server.write(text));
        if (!EXPECT(!more)) co_return 0;
        const std::error_code there = co_await writer.join();
        // Not the deadline of within(), which is the same condition.
        const std::error_code gave_up(ETIMEDOUT, std::generic_category());
        const bool here_gave_up = more.error() == gave_up;
        const bool there_gave_up = there == gave_up;
        if (here_gave_up && !there_gave_up) EXPECT(is(there, std::errc::connection_reset));
        if (there_gave_up && !here_gave_up) EXPECT(is(more.error(), std::errc::connection_reset));
        co_return (here_gave_up ? 1 : 0) + (there_gave_up ? 1'000 : 0);
    };
    const int given_up = total(n, both_full, 2'000);
    CHECK(given_up % 1'000 > 0);
    CHECK(given_up / 1'000 > 0);
}

TEST_CASE("simulated network: a connect that is given up leaves its place in the backlog") {
    on_network(steady(), []() -> task<> {
        const auto l = sluice::io::listen_tcp("127.0.0.1:80", {.backlog = 0}).value();
        for (int i = 0; i != 10; ++i) {
            const auto given_up = co_await within(1500us, connect_tcp("127.0.0.1:80"));
            EXPECT(failed_with(given_up, sluice::errc::deadline_exceeded));
            co_await sluice::sleep_for(10ms);
        }
        const auto conn = co_await within(100ms, connect_tcp("127.0.0.1:80"));
        EXPECT(conn.has_value());
    });
}

TEST_CASE("simulated network: a full backlog puts off connects, and a closed one resets them") {
    on_network([]() -> task<> {
        tcp_listener l = sluice::io::listen_tcp("127.0.0.1:0", {.backlog = 1}).value();
        const auto to = l.local_address().value();
        const auto begin = sluice::now();
        const auto first = co_await connect_tcp(to);
        co_await sluice::sleep_for(10ms);  // so that it is the first in the backlog, too
        const auto second = co_await connect_tcp(to);
        EXPECT(first.has_value() && second.has_value());
        EXPECT(sluice::now() - begin < 100ms);
        const auto third = co_await within(10s, connect_tcp(to));
        EXPECT(failed_with(third, sluice::errc::deadline_exceeded));
        const auto fourth = co_await connect_tcp(to);
        EXPECT(failed_with(fourth, std::errc::timed_out));
        auto fifth = sluice::spawn(
            [](sluice::io::endpoint at) -> task<> {
                const auto conn = co_await connect_tcp(at);
                EXPECT(conn.has_value());
            },
            to);
        co_await sluice::sleep_for(500ms);
        const auto accepted = co_await l.accept();
        EXPECT(accepted.has_value());
        co_await fifth.join();
        l.close();
        std::array<char, 8> buffer;
        const auto end = co_await second->read(buffer);
        EXPECT(failed_with(end, std::errc::connection_reset));
    });
}

TEST_CASE("simulated network: who waits for bytes that cannot come is in a deadlock") {
    sluice::simulator world;
    std::string report;
    for (std::uint64_t seed = 0; seed != 20; ++seed) {
        try {
            world.run(seed, []() -> task<> {
                const tcp_listener l = listener();
                const pair both = co_await connect_to(l);
                const auto sent = co_await both.client.write_all("all that comes");
                EXPECT(sent.has_value());
                sluice::go(
                    [](const tcp_listener* at) -> task<> {
                        static_cast<void>(co_await at->accept());
                    },
                    &l);
                static_cast<void>(co_await read_all(&both.server));
                EXPECT(false);
            });
        } catch (const sluice::deadlock& stuck) {
            report = stuck.what();
        }
        CHECK(report.find("read of a socket") != std::string::npos);
        CHECK(report.find("accept on a listener") != std::string::npos);
        CHECK(report.find("simulated_faults.cpp") != std::string::npos);
    }
    report_expectations();
}

TEST_CASE("simulated network: what is under way when the program ends goes with it") {
    for (const bool fails : {false, true}) {
        sluice::simulator world(1'000'000, rough());
        std::vector<std::uint64_t> traces;
        for (std::uint64_t seed = 0; seed != 200; ++seed) {
            const auto program = [fails]() -> task<> {
                auto [ctx, stop] = sluice::with_timeout(sluice::background(), 10ms);
                const tcp_listener l = listener("127.0.0.1:80");
                sluice::go(
                    [](sluice::context until) -> task<> {
                        auto conn = co_await within(until, connect_tcp("127.0.0.1:80"));
                        if (!conn) co_return;
                        const std::string text = letters(100'000);
                        static_cast<void>(co_await within(until, conn->write_all(text)));
                    },
                    ctx);
                const auto conn = co_await within(ctx, l.accept());
                if (conn) static_cast<void>(co_await within(ctx, conn->write_all("some bytes")));
                if (fails) throw std::runtime_error("over");
            };
            if (fails) {
                CHECK_THROWS_AS(world.run(seed, program), std::runtime_error);
            } else {
                world.run(seed, program);
            }
            traces.push_back(world.trace());
            CHECK(sluice::simulate({.seed = seed, .network = steady()}, []() -> task<int> {
                      const pair both = co_await connected();
                      co_return 1;
                  }) == 1);
        }
        CHECK(std::set(traces.begin(), traces.end()).size() > 150);
    }
}

TEST_CASE("simulated network: a stream that is carried out of its simulation is closed") {
    sluice::simulator world;
    std::vector<tcp_stream> kept;
    std::vector<tcp_listener> listeners;
    for (std::uint64_t seed = 0; seed != 20; ++seed) {
        world.run(seed, [&]() -> task<> {
            tcp_listener l = listener("127.0.0.1:80");
            pair both = co_await connect_to(l);
            for (const tcp_stream& s : kept) {
                const auto late = co_await s.write("x");
                EXPECT(failed_with(late, std::errc::bad_file_descriptor));
            }
            kept.push_back(std::move(both.client));
            if (seed % 2 == 0) kept.push_back(std::move(both.server));
            listeners.push_back(std::move(l));
        });
        CHECK(!kept.back().local_address());
        CHECK(!listeners.back().local_address());
    }
    report_expectations();
}

TEST_CASE("simulated network: a socket from outside cannot wait in a simulation") {
    const tcp_listener outside = listener();
    sluice::simulate({}, [&outside]() -> task<> {
        const auto conn = co_await outside.accept();
        EXPECT(failed_with(conn, std::errc::operation_not_supported));
    });
    report_expectations();
}

TEST_CASE("simulator: a network that cannot be is refused") {
    simulated_network late;
    late.min_delay = 1s;
    simulated_network full;
    full.buffer = 0;
    simulated_network likely;
    likely.drop = 1.5;
    for (const simulated_network& n : {late, full, likely})
        CHECK_THROWS_AS(sluice::simulator(1, n), std::invalid_argument);
}

namespace {

constexpr int bar_clients = 100;

/// What a hundred clients have seen.
struct tally {
    int answers = 0;
    int late = 0;
    int broken = 0;
    int connections = 0;
};

bool is_broken(const std::error_code& e) {
    return is(e, std::errc::connection_reset) || is(e, std::errc::broken_pipe) ||
           is(e, std::errc::timed_out);
}

/// Sends a word that no other request has and reads until it has come back. False: the connection
/// is not to be used again, for what comes next on it could be the answer that was given up.
task<bool> ask(const tcp_stream* conn, std::string word, tally* seen) {
    auto [ctx, cancel] = sluice::with_timeout(sluice::background(), 500ms);
    const auto sent = co_await within(ctx, conn->write_all(word));
    std::error_code error = sent ? std::error_code() : sent.error();
    std::string got;
    std::array<char, 16> buffer;
    while (!error && got.size() != word.size()) {
        const auto n = co_await within(ctx, conn->read(buffer));
        if (!n) {
            error = n.error();
        } else if (*n == 0) {
            error = std::make_error_code(std::errc::connection_reset);
        } else {
            got.append(buffer.data(), *n);
        }
        if (!EXPECT(word.starts_with(got))) co_return false;
    }
    const bool late = error == sluice::errc::deadline_exceeded;
    EXPECT(!error || late || is_broken(error));
    ++(!error ? seen->answers : late ? seen->late : seen->broken);
    co_return !error;
}

/// Some thirty requests, a second or so apart, over as many connections as it takes.
task<> client(int id, int requests, std::uint64_t seed, tally* seen) {
    chooser c(seed + static_cast<std::uint64_t>(id));
    int request = 0;
    while (request != requests) {
        auto conn = co_await within(2s, connect_tcp("127.0.0.1:7000"));
        if (!conn) {
            EXPECT(is_broken(conn.error()) || conn.error() == sluice::errc::deadline_exceeded);
            co_await sluice::sleep_for(1s);
            continue;
        }
        ++seen->connections;
        bool good = true;
        while (good && request != requests) {
            co_await sluice::sleep_for(std::chrono::milliseconds(c.below(2'000)));
            std::string word = std::to_string(id) + ":" + std::to_string(request++);
            good = co_await ask(&*conn, std::move(word), seen);
        }
    }
}

task<tally> hundred_clients(int requests, std::uint64_t seed) {
    auto [ctx, stop] = sluice::with_cancel(sluice::background());
    tally seen;
    const tcp_listener l = listener("127.0.0.1:7000");
    auto server = sluice::spawn(serve_echo, &l, ctx);
    sluice::wait_group clients;
    for (int id = 0; id != bar_clients; ++id) clients.go(client, id, requests, seed, &seen);
    co_await clients.wait();
    stop();
    co_await server.join();
    co_return seen;
}

simulated_network far_away() {
    simulated_network n;
    n.min_delay = 5ms;
    n.max_delay = 50ms;
    n.drop = 0.02;
    n.reset = 0.002;
    return n;
}

}  // namespace

TEST_CASE("simulated network: equal seeds have equal traces, with every fault at work") {
    sluice::simulator world(10'000'000, rough());
    std::set<std::uint64_t> traces;
    for (std::uint64_t seed = 0; seed != 20; ++seed) {
        const tally seen = world.run(seed, hundred_clients, 2, seed);
        const std::uint64_t trace = world.trace();
        const auto elapsed = world.elapsed();
        const std::uint64_t steps = world.steps();
        const tally again =
            sluice::simulate({.seed = seed, .network = rough()}, hundred_clients, 2, seed);
        CHECK(again.answers == seen.answers);
        world.run(seed, hundred_clients, 2, seed);
        CHECK(world.trace() == trace);
        CHECK(world.elapsed() == elapsed);
        CHECK(world.steps() == steps);
        traces.insert(trace);
    }
    CHECK(traces.size() == 20);
    report_expectations();
}

TEST_CASE("simulated network: a hundred clients get their answers, or are told, or give up") {
    sluice::simulator world(10'000'000, far_away());
    constexpr int requests = rounds(100);
    const auto begin = std::chrono::steady_clock::now();
    std::chrono::duration<double> simulated{};
    int late = 0;
    int broken = 0;
    std::uint64_t steps = 0;
    for (std::uint64_t seed = 0; seed != 10; ++seed) {
        const tally seen = world.run(seed, hundred_clients, requests, seed);
        CHECK(seen.answers + seen.late + seen.broken == requests * bar_clients);
        CHECK(seen.answers > requests * bar_clients * 8 / 10);
        late += seen.late;
        broken += seen.broken;
        CHECK(seen.connections > bar_clients);
        simulated += world.elapsed();
        steps += world.steps();
    }
    CHECK(late > 0);
    CHECK(broken > 0);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("%.0f simulated seconds in %.3f: %.0f times as fast; %.0f ns a step\n",
                simulated.count(), took.count(), simulated / took,
                took.count() * 1e9 / static_cast<double>(steps));
    report_expectations();
}

TEST_CASE("simulated network: shutdown ends a write that waits for room") {
    simulated_network n = steady();
    n.buffer = 100;
    on_network(n, []() -> task<> {
        const pair both = co_await connected();
        auto writer = sluice::spawn(
            [](const tcp_stream* to) -> task<> {
                const std::string text = letters(1'000);
                const auto sent = co_await to->write_all(text);
                EXPECT(failed_with(sent, std::errc::broken_pipe));
            },
            &both.client);
        co_await sluice::sleep_for(1s);
        EXPECT(both.client.shutdown().has_value());
        co_await writer.join();
        const std::string got = co_await read_all(&both.server);
        EXPECT(got == letters(100));
    });
}

TEST_CASE("simulated network: a writer learns of it when the news of room in the buffer is lost") {
    simulated_network n = steady();
    n.buffer = 100;
    n.drop = 0.8;
    const auto full_until_read = []() -> task<int> {
        const auto both = co_await connected_by_chance();
        if (!both) co_return 0;
        auto writer = sluice::spawn(
            [](const tcp_stream* to) -> task<bool> {
                const std::string text = letters(300);
                const auto sent = co_await to->write_all(text);
                co_return sent.has_value();
            },
            &both->client);
        std::array<char, 100> buffer;
        while (true) {
            const auto got = co_await within(10h, both->server.read(buffer));
            if (!got || *got == 0) break;
        }
        const bool all = co_await writer.join();
        co_return all ? 1 : 10'000;
    };
    const int ends = total(n, full_until_read, 2'000);
    CHECK(ends % 10'000 > 0);
    CHECK(ends / 10'000 > 0);
}

TEST_CASE("simulated network: there is room once the peer has read, and told so") {
    simulated_network n = steady();
    n.buffer = 100;
    on_network(n, []() -> task<> {
        const pair both = co_await connected();
        const auto filled = co_await both.client.write_all(letters(100));
        EXPECT(filled.has_value());
        const auto full = co_await select(both.client.write("x"), sluice::otherwise);
        EXPECT(full.index() == 1);
        std::array<char, 100> buffer;
        const auto read = co_await both.server.read(buffer);
        EXPECT(read == 100u);
        co_await sluice::sleep_for(1s);
        const auto more = co_await select(both.client.write("x"), sluice::otherwise);
        EXPECT(more.index() == 0);
        const auto rest = co_await both.server.read(buffer);
        EXPECT(rest == 1u);
        // Without having been refused, too.
        co_await sluice::sleep_for(1s);
        const auto again = co_await both.client.write(letters(100));
        EXPECT(again == 100u);
    });
}

TEST_CASE("simulated network: a negative backlog is the longest") {
    on_network(steady(), []() -> task<> {
        const auto l = sluice::io::listen_tcp("127.0.0.1:80", {.backlog = -1}).value();
        std::vector<tcp_stream> all;
        for (int i = 0; i != 10; ++i) {
            auto conn = co_await within(1s, connect_tcp("127.0.0.1:80"));
            if (EXPECT(conn.has_value())) all.push_back(std::move(*conn));
        }
    });
}
