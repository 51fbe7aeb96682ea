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
    while (std::count(total.begin(), total.end(), '\n') != 2) {
        const auto conn = co_await sluice::io::connect_tcp("127.0.0.1:6379");
        if (!conn) continue;
        total = co_await ask(&*conn, "GET shared\r\n", 2);
    }
    cancel();
    co_await server.join();
    const int counted = std::stoi(total.substr(total.find('\n') + 1));
    co_return sums(counted, told);
}

/// A server for a client whose requests arrive just when it is told to stop.
class stopped_server {
public:
    stopped_server() {
        here_.stop = life_.first;
        here_.cut = sluice::background();
    }

    kv::storage& keys() { return here_.state.keys; }

    task<> stop_in(std::chrono::nanoseconds time) {
        co_await sluice::sleep_for(time);
        life_.second();
        co_await server_.join();
    }

private:
    std::pair<sluice::context, sluice::cancel_function> life_ =
        sluice::with_cancel(sluice::background());
    kv::service here_;
    const tcp_listener listener_ = sluice::io::listen_tcp("127.0.0.1:6379").value();
    sluice::join_handle<> server_ = sluice::spawn(serve, &here_, &listener_);
};

constexpr auto way = 1ms;  // of every segment

sluice::simulation every_segment_takes_as_long() {
    sluice::simulation s;
    s.seeds = 100;
    s.network.min_delay = s.network.max_delay = way;
    s.network.buffer = 1 << 20;
    s.network.partial = 0;
    return s;
}

task<tcp_stream> connect() {
    auto conn = co_await sluice::io::connect_tcp("127.0.0.1:6379");
    co_return std::move(*conn);
}

constexpr int endless = 1'000'000;  // lines: all up to the end

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

TEST_CASE(
    "kv, simulated: what was popped for a blocked client reaches it though the server stops") {
    sluice::explore(every_segment_takes_as_long(), []() -> task<> {
        stopped_server server;
        const tcp_stream waiting = co_await connect();
        const tcp_stream pushing = co_await connect();
        auto popped = sluice::spawn(ask, &waiting, "BLPOP q 0\r\n", endless);
        co_await sluice::sleep_for(5 * way);
        auto pushed = sluice::spawn(ask, &pushing, "RPUSH q e\r\n", endless);
        co_await server.stop_in(way);
        const std::string told = co_await pushed.join();
        const std::string got = co_await popped.join();
        bool left = false;
        server.keys().read_list("q", [&](const kv::list* found) { left = found != nullptr; });
        EXPECT(told == ":1\r\n");
        EXPECT(got == (left ? "" : "*2\r\n$1\r\nq\r\n$1\r\ne\r\n"));
    });
    report_expectations();
}

TEST_CASE("kv, simulated: a stopping server answers everything that has arrived") {
    constexpr int requests = 10'000;
    sluice::explore(every_segment_takes_as_long(), []() -> task<> {
        stopped_server server;
        const tcp_stream conn = co_await connect();
        co_await ask(&conn, "PING\r\n", 1);  // so it has been accepted
        std::string pipeline;
        for (int i = 0; i != requests; ++i) pipeline += "INCR counted\r\n";
        auto answers = sluice::spawn(ask, &conn, pipeline, endless);
        co_await server.stop_in(way);
        const std::string replies = co_await answers.join();
        EXPECT(replies.ends_with("\r\n:10000\r\n"));
        EXPECT(std::count(replies.begin(), replies.end(), '\n') == requests);
    });
    report_expectations();
}

TEST_CASE("kv, simulated: a stopping server answers subscribers and delivers what was posted") {
    sluice::explore(every_segment_takes_as_long(), []() -> task<> {
        stopped_server server;
        const tcp_stream reader = co_await connect();
        const tcp_stream former = co_await connect();
        const tcp_stream writer = co_await connect();
        co_await ask(&reader, "SUBSCRIBE c\r\n", 6);
        co_await ask(&former, "SUBSCRIBE c\r\nUNSUBSCRIBE c\r\n", 12);
        auto heard = sluice::spawn(ask, &reader, "PING\r\n", endless);
        auto answered = sluice::spawn(ask, &former, "PING\r\n", endless);
        auto reached = sluice::spawn(ask, &writer, "PUBLISH c m\r\n", endless);
        co_await server.stop_in(way);
        const std::string count = co_await reached.join();
        const std::string messages = co_await heard.join();
        const std::string reply = co_await answered.join();
        EXPECT(count == ":1\r\n");
        EXPECT(messages.find("$1\r\nm\r\n") != std::string::npos);
        EXPECT(messages.find("pong") != std::string::npos);
        EXPECT(reply == "+PONG\r\n");
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
