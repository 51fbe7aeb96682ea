// TCP in memory: what holds of the kernel's sockets holds of it, for every seed.
#include <sluice/io/tcp.hpp>

#include <array>
#include <set>
#include <string>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>

#include "catch.hpp"
#include "simulations.hpp"

using namespace loopback;
using sluice::simulated_network;
using sluice::task;
using sluice::io::connect_tcp;

TEST_CASE("simulated network: a reader sees the bytes in the order in which they were written") {
    simulated_network lossy;
    lossy.drop = 0.2;
    lossy.partial = 1;
    for (const simulated_network& n : {simulated_network(), steady(), lossy}) {
        on_network(n, []() -> task<> {
            const std::string there = letters(3'000);
            const std::string back = letters(1'000);
            const pair both = co_await connected();
            sluice::wait_group group;
            group.go(send_and_end, &both.client, there);
            group.go(send_and_end, &both.server, back);
            auto reader = sluice::spawn(read_all, &both.client, nullptr);
            const std::string got = co_await read_all(&both.server);
            EXPECT(got == there);
            const std::string answer = co_await reader.join();
            EXPECT(answer == back);
            co_await group.wait();
        });
    }
}

TEST_CASE("simulated network: a server of echoes answers each of its clients") {
    simulated_network lossy;
    lossy.drop = 0.1;
    for (const simulated_network& n : {simulated_network(), lossy}) {
        on_network(n, []() -> task<> {
            auto [ctx, stop] = sluice::with_cancel(sluice::background());
            const tcp_listener l = sluice::io::listen_tcp("127.0.0.1:7000").value();
            auto server = sluice::spawn(serve_echo, &l, ctx);
            sluice::wait_group clients;
            for (std::size_t i = 1; i != 6; ++i) {
                clients.go(
                    [](std::size_t size) -> task<> {
                        const std::string text = letters(size);
                        auto conn = co_await connect_tcp("127.0.0.1:7000");
                        if (!EXPECT(conn.has_value())) co_return;
                        sluice::wait_group writer;
                        writer.go(send_and_end, &*conn, text);
                        const std::string got = co_await read_all(&*conn);
                        EXPECT(got == text);
                        co_await writer.wait();
                    },
                    i * 100);
            }
            co_await clients.wait();
            stop();
            co_await server.join();
        });
    }
}

TEST_CASE("simulated network: a segment is under way for a time between the two delays") {
    simulated_network n;
    n.min_delay = 10ms;
    n.max_delay = 30ms;
    std::set<std::int64_t> delays;
    on_network(n, [&delays]() -> task<> {
        const auto begin = sluice::now();
        const pair both = co_await connected();
        const auto connected_after = sluice::now() - begin;
        EXPECT(connected_after >= 30ms && connected_after <= 90ms);
        const auto sent_at = sluice::now();
        const auto sent = co_await both.client.write("x");
        EXPECT(sent == 1u);
        EXPECT(sluice::now() == sent_at);
        std::array<char, 8> buffer;
        const auto got = co_await both.server.read(buffer);
        EXPECT(got == 1u);
        const auto took = sluice::now() - sent_at;
        EXPECT(took >= 10ms && took <= 30ms);
        delays.insert(took.count());
    });
    CHECK(delays.size() > 190);
}

TEST_CASE("simulated network: what is sent first over one connection may arrive last") {
    const int overtaken = total({}, []() -> task<int> {
        const pair a = co_await connected();
        const pair b = co_await connected();
        const auto first = co_await a.client.write("1");
        const auto second = co_await b.client.write("2");
        EXPECT(first.has_value() && second.has_value());
        const auto won = co_await select(a.server.readable(), b.server.readable());
        co_return static_cast<int>(won.index());
    });
    CHECK(overtaken > 20);
    CHECK(overtaken < 180);
}

TEST_CASE("simulated network: reads and writes are partial by chance, or never") {
    const auto parts = []() -> task<int> {
        const pair both = co_await connected();
        const std::string text = letters(100);
        const auto wrote = co_await both.client.write(text);
        if (!EXPECT(wrote && *wrote > 0)) co_return 0;
        co_await sluice::sleep_for(1s);
        std::array<char, 100> buffer;
        const auto got = co_await both.server.read(buffer);
        if (!EXPECT(got && *got > 0)) co_return 0;
        EXPECT(text.starts_with(std::string_view(buffer.data(), *got)));
        co_return (*wrote != 100) + 1'000 * (*got != *wrote);
    };
    const int some = total({}, parts);
    CHECK(some % 1'000 > 25);
    CHECK(some / 1'000 > 25);
    CHECK(total(steady(), parts) == 0);
}

TEST_CASE("simulated network: after a partial read the rest is still there") {
    simulated_network parts = steady();
    parts.partial = 1;
    on_network(parts, []() -> task<> {
        const pair both = co_await connected();
        const auto sent = co_await both.client.write_all("0123456789");
        EXPECT(sent.has_value());
        co_await sluice::sleep_for(1s);
        std::string all;
        std::array<char, 10> buffer;
        while (all.size() != 10) {
            const auto there = co_await within(0s, both.server.readable());
            EXPECT(there.has_value());
            const auto n = co_await within(0s, both.server.read(buffer));
            if (!EXPECT(n.has_value())) co_return;
            all.append(buffer.data(), *n);
        }
        EXPECT(all == "0123456789");
        const auto more = co_await within(1s, both.server.readable());
        EXPECT(failed_with(more, sluice::errc::deadline_exceeded));
    });
}

TEST_CASE("simulated network: a writer waits when the buffer is full, until the peer reads") {
    simulated_network n;
    n.buffer = 1'000;
    on_network(n, []() -> task<> {
        const pair both = co_await connected();
        const std::string text = letters(10'000);
        std::size_t sent = 0;
        for (;;) {
            const auto wrote =
                co_await within(1h, both.client.write(std::string_view(text).substr(sent)));
            if (!wrote) {
                EXPECT(failed_with(wrote, sluice::errc::deadline_exceeded));
                break;
            }
            sent += *wrote;
        }
        EXPECT(sent == 1'000);
        sluice::wait_group writer;
        writer.go(send_and_end, &both.client, std::string_view(text).substr(sent));
        const std::string got = co_await read_all(&both.server);
        EXPECT(got == text);
        co_await writer.wait();
    });
}

TEST_CASE("simulated network: after a shutdown the peer reads the rest and the end, and answers") {
    on_network([]() -> task<> {
        const pair both = co_await connected();
        co_await send_and_end(&both.client, "question");
        EXPECT(both.client.shutdown().has_value());
        const auto late = co_await both.client.write("more");
        EXPECT(failed_with(late, std::errc::broken_pipe));
        const std::string question = co_await read_all(&both.server);
        EXPECT(question == "question");
        co_await sluice::sleep_for(1min);
        co_await send_and_end(&both.server, "answer");
        const std::string answer = co_await read_all(&both.client);
        EXPECT(answer == "answer");
        const std::string nothing = co_await read_all(&both.client);
        EXPECT(nothing.empty());
    });
}

namespace {

task<> wait_to_read(const tcp_stream* s) {
    std::array<char, 8> buffer;
    const auto n = co_await s->read(buffer);
    EXPECT(failed_with(n, std::errc::bad_file_descriptor));
}

task<> wait_until_readable(const tcp_stream* s) {
    const auto there = co_await s->readable();
    EXPECT(failed_with(there, std::errc::bad_file_descriptor));
}

task<> wait_to_write(const tcp_stream* s) {
    const std::string text = letters(100'000);
    const auto wrote = co_await s->write_all(text);
    EXPECT(failed_with(wrote, std::errc::bad_file_descriptor));
}

task<> wait_to_accept(const tcp_listener* l) {
    const auto conn = co_await l->accept();
    EXPECT(failed_with(conn, std::errc::bad_file_descriptor));
}

}  // namespace

TEST_CASE("simulated network: closing ends one's own waits, and so do later ones") {
    on_network([]() -> task<> {
        tcp_listener l = listener();
        pair both = co_await connect_to(l);
        sluice::wait_group waits;
        waits.go(wait_to_read, &both.server);
        waits.go(wait_until_readable, &both.server);
        waits.go(wait_to_write, &both.server);
        waits.go(wait_to_accept, &l);
        co_await sluice::sleep_for(1s);
        both.server.close();
        both.server.close();
        l.close();
        co_await waits.wait();
        co_await wait_to_read(&both.server);
        co_await wait_to_write(&both.server);
        co_await wait_to_accept(&l);
        EXPECT(!both.server.shutdown());
        EXPECT(!both.server.local_address());
        EXPECT(!l.local_address());
        std::error_code end;
        co_await read_all(&both.client, &end);
        EXPECT(!end);
    });
}

TEST_CASE("simulated network: a read that loses a race takes no byte") {
    on_network([]() -> task<> {
        const std::string text = letters(500);
        const pair both = co_await connected();
        const auto ticks = sluice::make_chan<int>();
        sluice::wait_group group;
        group.go(send_and_end, &both.client, text);
        group.go([ticks]() -> task<> {
            for (int i = 0; i != 20; ++i) {
                co_await sluice::sleep_for(100us);
                co_await ticks.send(i);
            }
            ticks.close();
        });
        std::string got;
        int ticked = 0;
        bool open = true;
        while (open) {
            std::array<char, 7> buffer;
            auto won =
                co_await select(both.server.read(buffer), ticks.recv(), sluice::sleep_for(50us));
            if (won.index() == 0) {
                const auto n = std::get<0>(won);
                if (!EXPECT(n.has_value())) break;
                got.append(buffer.data(), *n);
                open = *n != 0;
            } else if (won.index() == 1 && std::get<1>(won)) {
                EXPECT(*std::get<1>(won) == ticked++);
            }
            const auto bounded = co_await within(10us, both.server.read(buffer));
            if (bounded) got.append(buffer.data(), *bounded);
            if (bounded == 0u) break;
        }
        EXPECT(got == text);
        for (auto tick = co_await ticks.recv(); tick;) tick = co_await ticks.recv();
        co_await group.wait();
    });
}

TEST_CASE("simulated network: a write that loses a race has written nothing") {
    simulated_network n;
    n.buffer = 50;
    on_network(n, []() -> task<> {
        const std::string text = letters(400);
        const pair both = co_await connected();
        auto reader = sluice::spawn(read_all, &both.server, nullptr);
        for (std::size_t sent = 0; sent != text.size();) {
            const auto won = co_await select(both.client.write(std::string_view(text).substr(sent)),
                                             sluice::sleep_for(300us));
            if (won.index() == 1) continue;
            const auto wrote = std::get<0>(won);
            if (!EXPECT(wrote.has_value())) break;
            sent += *wrote;
        }
        EXPECT(both.client.shutdown().has_value());
        const std::string got = co_await reader.join();
        EXPECT(got == text);
    });
}

TEST_CASE("simulated network: an accept that loses leaves the connection in the backlog") {
    on_network([]() -> task<> {
        const tcp_listener l = listener();
        const auto to = l.local_address().value();
        std::vector<sluice::io::tcp_stream> clients;
        sluice::wait_group group;
        for (int i = 0; i != 5; ++i) {
            group.go(
                [](sluice::io::endpoint at, std::vector<tcp_stream>* all) -> task<> {
                    auto conn = co_await connect_tcp(at);
                    if (EXPECT(conn.has_value())) all->push_back(std::move(*conn));
                },
                to, &clients);
        }
        int accepted = 0;
        while (accepted != 5) {
            const auto conn = co_await within(100us, l.accept());
            if (conn) ++accepted;
            const auto won = co_await select(l.accept(), sluice::sleep_for(0s));
            if (won.index() == 0) ++accepted;
        }
        co_await group.wait();
        EXPECT(clients.size() == 5);
        const auto more = co_await within(1s, l.accept());
        EXPECT(!more);
    });
}

TEST_CASE("simulated network: a connect that loses a race leaves no open connection behind") {
    on_network([]() -> task<> {
        const tcp_listener l = listener();
        const auto conn = co_await within(1500us, connect_tcp(l.local_address().value()));
        if (conn) co_return;
        const auto accepted = co_await within(1s, l.accept());
        if (!accepted) co_return;
        const std::string nothing = co_await read_all(&*accepted);
        EXPECT(nothing.empty());
    });
}

TEST_CASE("simulated network: both ends know the addresses") {
    on_network([]() -> task<> {
        const tcp_listener any = listener(":80");
        const tcp_listener one = listener("10.0.0.1:81");
        EXPECT(!sluice::io::listen_tcp("10.0.0.2:80"));
        const auto twice = sluice::io::listen_tcp("10.0.0.1:81");
        EXPECT(failed_with(twice, std::errc::address_in_use));
        const auto to_any = co_await connect_tcp("10.0.0.3:80");
        const auto from_any = co_await any.accept();
        const auto to_one = co_await connect_tcp("10.0.0.1:81");
        const auto from_one = co_await one.accept();
        EXPECT(to_any.has_value() && from_any.has_value());
        EXPECT(to_one.has_value() && from_one.has_value());
        EXPECT(to_one->remote_address().value().to_string() == "10.0.0.1:81");
        EXPECT(from_one->local_address().value().to_string() == "10.0.0.1:81");
        EXPECT(from_any->local_address().value().to_string() == "10.0.0.3:80");
        EXPECT(to_any->local_address().value().to_string() ==
               from_any->remote_address().value().to_string());
        EXPECT(to_any->local_address().value().port() != to_one->local_address().value().port());
        EXPECT(to_any->set_nodelay(false).has_value());
        EXPECT(to_any->set_keepalive(1s).has_value());
        EXPECT(to_any->native_handle() < 0);
        const tcp_listener v6 = listener("[::1]:0");
        const pair both = co_await connect_to(v6);
        EXPECT(both.client.remote_address().value().to_string() ==
               v6.local_address().value().to_string());
    });
}

TEST_CASE("simulated network: listeners that share a port get its connections by chance") {
    std::array<int, 2> accepted{};
    on_network([&accepted]() -> task<> {
        const auto a = sluice::io::listen_tcp("127.0.0.1:80", {.reuse_port = true}).value();
        const auto b = sluice::io::listen_tcp("127.0.0.1:80", {.reuse_port = true}).value();
        const auto conn = co_await connect_tcp("127.0.0.1:80");
        EXPECT(conn.has_value());
        const auto won = co_await select(a.accept(), b.accept());
        ++accepted[won.index()];
    });
    CHECK(accepted[0] > 50);
    CHECK(accepted[1] > 50);
}

TEST_CASE("explore_all: a network's shortest and longest delays, and what may happen or not") {
    sluice::simulation s;
    s.network.min_delay = 10ms;
    s.network.max_delay = 30ms;
    s.network.partial = 0;
    s.network.reset = 0.01;
    std::set<std::int64_t> delays;
    int resets = 0;
    const std::uint64_t orders = sluice::explore_all(s, [&]() -> task<> {
        const auto listener = sluice::io::listen_tcp("10.0.0.1:80").value();
        const auto client = co_await connect_tcp("10.0.0.1:80");
        if (!client) co_return;
        const auto begin = sluice::now();
        const auto sent = co_await client->write("x");
        const auto server = co_await within(1s, listener.accept());
        if (!sent || !server) co_return;
        std::array<char, 8> buffer;
        const auto got = co_await server->read(buffer);
        if (got) {
            delays.insert((sluice::now() - begin) / 1ms);
        } else {
            ++resets;
        }
    });
    CHECK(delays == std::set<std::int64_t>{10, 30});
    CHECK(resets > 0);
    CHECK(orders > 10);
}
