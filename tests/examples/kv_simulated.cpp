// The kv server as it stands, with its clients, over a simulated network.
#include "kv/session.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>

#include <sluice/io/tcp.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "catch.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;
using sluice::io::tcp_listener;
using sluice::io::tcp_stream;

namespace {

task<> serve(kv::service* of, const tcp_listener* at) {
    sluice::wait_group sessions;
    for (;;) {
        auto conn = co_await within(of->stop, at->accept());
        if (!conn) break;
        sessions.go(kv::serve_connection, of, std::move(*conn));
    }
    co_await sessions.wait();
}

/// Sends the requests and reads that many lines of replies; fewer when the connection breaks.
task<std::string> ask(const tcp_stream* conn, std::string_view requests, int lines) {
    std::string replies;
    const auto sent = co_await conn->write_all(requests);
    if (!sent) co_return replies;
    std::array<char, 100> buffer;
    while (std::count(replies.begin(), replies.end(), '\n') != lines) {
        const auto n = co_await conn->read(buffer);
        if (!n || *n == 0) break;
        replies.append(buffer.data(), *n);
    }
    co_return replies;
}

constexpr int clients = 10;
constexpr int rounds = 20;

/// Counts, and checks that no one else's reply comes in between.
task<> count(int id, int* told) {
    const std::string mine = "key:" + std::to_string(id);
    const std::string requests =
        "SET " + mine + " " + mine + "\r\nINCR shared\r\nGET " + mine + "\r\n";
    const std::string value = "\r\n$" + std::to_string(mine.size()) + "\r\n" + mine + "\r\n";
    for (int round = 0; round != rounds;) {
        const auto conn = co_await sluice::io::connect_tcp("127.0.0.1:6379");
        if (!conn) continue;
        while (round != rounds) {
            ++round;
            const std::string replies = co_await ask(&*conn, requests, 4);
            if (std::count(replies.begin(), replies.end(), '\n') != 4) break;
            EXPECT(replies.starts_with("+OK\r\n:"));
            EXPECT(replies.ends_with(value));
            ++*told;
        }
    }
}

struct sums {
    sums(int c, int t) : counted(c), told(t) {}
    int counted;  // by the server, in the end
    int told;     // to the clients
};

task<sums> count_together() {
    auto [stop, cancel] = sluice::with_cancel(sluice::background());
    kv::service here;
    here.stop = stop;
    here.cut = sluice::background();
    const tcp_listener l = sluice::io::listen_tcp("127.0.0.1:6379").value();
    auto server = sluice::spawn(serve, &here, &l);
    sluice::wait_group group;
    int told = 0;
    for (int id = 0; id != clients; ++id) group.go(count, id, &told);
    co_await group.wait();
    std::string total;
    while (!total.starts_with('$')) {
        const auto conn = co_await sluice::io::connect_tcp("127.0.0.1:6379");
        if (!conn) continue;
        total = co_await ask(&*conn, "GET shared\r\n", 2);
    }
    cancel();
    co_await server.join();
    const int counted = std::stoi(total.substr(total.find('\n') + 1));
    co_return sums(counted, told);
}

}  // namespace

TEST_CASE("kv, simulated: replies are whole and in order, and every increment counts once") {
    sluice::simulation s;
    s.seeds = 100;
    s.network.partial = 0.5;
    s.network.drop = 0.02;
    sluice::explore(s, []() -> task<> {
        const sums all = co_await count_together();
        EXPECT(all.counted == clients * rounds);
        EXPECT(all.told == clients * rounds);
    });
    report_expectations();
}

TEST_CASE("kv, simulated: over resets an increment that was told of is counted") {
    sluice::simulation s;
    s.seeds = 100;
    s.network.reset = 0.01;
    sluice::explore(s, []() -> task<> {
        const sums all = co_await count_together();
        EXPECT(all.told <= all.counted);
        EXPECT(all.counted <= clients * rounds);
    });
    report_expectations();
}
