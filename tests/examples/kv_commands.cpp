#include "kv/commands.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "kv/workspace.hpp"

// Replies are compared with redis-server's in kv_replies.py; here is what goes on around them.

namespace {

struct test_waker : kv::waker {
    void wake() override { ++wakes; }
    void cut() override { was_cut = true; }
    int wakes = 0;
    bool was_cut = false;
};

struct test_client : kv::client {
    using client::client;

    // What a connection does: everything in one write, the replies in one read.
    std::string ask(std::string_view requests) {
        space.append(requests);
        step = space.run(*this);
        return take();
    }
    std::string take() {
        std::string replies(space.out().bytes());
        space.out().clear();
        return replies;
    }

    kv::workspace space;
    kv::workspace::step step = kv::workspace::step::read;
    std::shared_ptr<test_waker> waker = std::make_shared<test_waker>();

private:
    std::shared_ptr<kv::waker> make_bell() override { return waker; }
};

using step = kv::workspace::step;

}  // namespace

TEST_CASE("kv commands: a pipeline is answered in order, in one piece") {
    kv::server_state server;
    test_client client(server);
    CHECK(client.ask("set a 1\r\nincr a\r\nget a\r\nping\r\n") ==
          "+OK\r\n:2\r\n$1\r\n2\r\n+PONG\r\n");
    CHECK(client.step == step::read);
    CHECK(server.commands == 4);
}

TEST_CASE("kv commands: a half request waits for its other half") {
    kv::server_state server;
    test_client client(server);
    CHECK(client.ask("ping\r\n*2\r\n$4\r\nec") == "+PONG\r\n");
    CHECK(client.space.rest() == "*2\r\n$4\r\nec");
    CHECK(client.ask("ho\r\n$2\r\nhi\r\n") == "$2\r\nhi\r\n");
    CHECK(client.space.rest().empty());
}

TEST_CASE("kv commands: a value of many buffers' size comes in pieces of any size") {
    kv::server_state server;
    test_client client(server);
    const std::string value(1'000'000, 'v');
    const std::string request =
        "ping\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n" + value + "\r\n";
    std::string replies;
    std::size_t size = 1;
    for (std::size_t at = 0; at < request.size(); at += size, size = size * 7 % 20'011) {
        replies += client.ask(std::string_view(request).substr(at, size));
    }
    CHECK(replies == "+PONG\r\n+OK\r\n");
    CHECK(client.ask("get a\r\n") == "$1000000\r\n" + value + "\r\n");
}

TEST_CASE("kv commands: a line without an end comes in a few pieces, up to its limit") {
    kv::server_state server;
    test_client client(server);
    int reads = 0;
    do {
        const auto room = client.space.room();
        std::fill(room.begin(), room.end(), std::byte{'x'});
        client.space.filled(room.size());
        ++reads;
        client.step = client.space.run(client);
    } while (client.step == step::read);
    CHECK(client.take().find("too big inline request") != std::string::npos);
    CHECK(reads <= 8);
}

TEST_CASE("kv commands: an announced value takes no memory before it comes") {
    kv::server_state server;
    test_client client(server);
    client.ask("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000000\r\n");
    CHECK(client.space.room().size() <= 64 * 1024);
}

TEST_CASE("kv commands: the connection ends behind an error of the protocol and behind QUIT") {
    kv::server_state server;
    test_client broken(server);
    CHECK(broken.ask("ping\r\n*1\r\n!\r\nping\r\n") ==
          "+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    CHECK(broken.step == step::close);
    test_client leaving(server);
    CHECK(leaving.ask("quit\r\nping\r\n") == "+OK\r\n");
    CHECK(leaving.step == step::close);
}

TEST_CASE("kv commands: more than may be buffered ends the connection without a word") {
    kv::server_state server;
    server.limits.buffered = 1000;
    test_client client(server);
    CHECK(client.ask("ping\r\n*2\r\n$4\r\nECHO\r\n$2000\r\n") == "+PONG\r\n");
    CHECK(client.step == step::close);
}

TEST_CASE("kv commands: many replies are sent before the next request is looked at") {
    kv::server_state server;
    test_client client(server);
    client.ask("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$300000\r\n" + std::string(300'000, 'v') + "\r\n");
    const std::string first = client.ask("get a\r\nget a\r\n");
    CHECK(client.step == step::flush);
    CHECK(client.ask("") == first);
}

TEST_CASE("kv commands: a blocked client goes on where it stopped") {
    kv::server_state server;
    test_client client(server);
    test_client other(server);
    CHECK(client.ask("set x 1\r\nblpop q 0\r\nget x\r\n") == "+OK\r\n");
    REQUIRE(client.step == step::blocked);
    CHECK(server.blocked == 1);
    CHECK(other.ask("set x 2\r\nrpush q e\r\nexists q\r\n") == "+OK\r\n:1\r\n:0\r\n");
    CHECK(client.waker->wakes == 1);
    REQUIRE(client.blocked->served());
    kv::finish_blocked(client, client.space.out());
    CHECK(client.ask("") == "*2\r\n$1\r\nq\r\n$1\r\ne\r\n$1\r\n2\r\n");
    CHECK(server.blocked == 0);
}

TEST_CASE("kv commands: a blocked client that ran out of time gets nothing and takes nothing") {
    kv::server_state server;
    test_client client(server);
    CHECK(client.ask("blpop a b 1.5\r\n").empty());
    CHECK(client.blocked_until > std::chrono::steady_clock::now());
    kv::finish_blocked(client, client.space.out());
    CHECK(client.take() == "*-1\r\n");
    test_client other(server);
    CHECK(other.ask("rpush b 1\r\nllen b\r\n") == ":1\r\n:1\r\n");
    CHECK(client.waker->wakes == 0);
}

TEST_CASE("kv commands: messages wait in the subscriber's mailbox, in order") {
    kv::server_state server;
    test_client reader(server);
    test_client writer(server);
    reader.ask("subscribe c\r\n");
    CHECK(writer.ask("publish c 1\r\npublish c 2\r\npublish d 3\r\n") == ":1\r\n:1\r\n:0\r\n");
    CHECK(reader.waker->wakes == 1);
    const std::string one = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n1\r\n";
    const std::string two = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n2\r\n";
    CHECK(reader.mail()->take() == one + two);
    writer.ask("publish c 1\r\n");
    CHECK(reader.waker->wakes == 2);
    CHECK(reader.ask("unsubscribe c\r\n") == one + "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n");
    CHECK(server.channels.channels() == 0);
}

TEST_CASE("kv commands: no reply overtakes a message that was posted before") {
    kv::server_state server;
    test_client reader(server);
    test_client writer(server);
    const std::string message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n1\r\n";
    reader.ask("subscribe c\r\n");
    writer.ask("publish c 1\r\n");
    CHECK(reader.ask("ping\r\n") == message + "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    writer.ask("publish c 1\r\n");
    kv::reply last;
    const std::string_view quit = "quit";
    CHECK(kv::execute(reader, {&quit, 1}, last) == kv::outcome::quit);
    CHECK(last.bytes() == message + "+OK\r\n");
    CHECK(writer.ask("publish c 1\r\n") == ":0\r\n");
}

TEST_CASE("kv commands: who cannot deliver messages does not subscribe") {
    struct deaf_client : test_client {
        using test_client::test_client;
        bool can_listen() const override { return false; }
    };
    kv::server_state server;
    deaf_client client(server);
    CHECK(client.ask("subscribe c\r\nping\r\n") == "-ERR SUBSCRIBE is not supported\r\n+PONG\r\n");
    CHECK(server.channels.channels() == 0);
}

TEST_CASE("kv commands: the last moment there is does not mean never") {
    kv::server_state server([] { return kv::time_point(std::chrono::milliseconds(1000)); });
    test_client client(server);
    CHECK(client.ask("set a 1 pxat 9223372036854775807\r\npttl a\r\n") ==
          "+OK\r\n:9223372036854774806\r\n");
    CHECK(client.ask("set a 1 px 9223372036854774807\r\npttl a\r\n") ==
          "+OK\r\n:9223372036854774806\r\n");
    CHECK(client.ask("pexpire a 9223372036854774807\r\npttl a\r\n") ==
          ":1\r\n:9223372036854774806\r\n");
}

TEST_CASE("kv commands: a subscriber that lets messages pile up is cut") {
    const auto waker = std::make_shared<test_waker>();
    kv::mailbox box(waker, 10);
    box.post("12345");
    box.post("67890");
    CHECK_FALSE(waker->was_cut);
    box.post("1");
    CHECK(waker->was_cut);
    CHECK(box.take().empty());
}

TEST_CASE("kv commands: messages pile up until they are written") {
    const auto waker = std::make_shared<test_waker>();
    kv::mailbox box(waker, 10);
    box.post("1234567890");
    CHECK(box.take() == "1234567890");
    box.written(8);
    box.post("12345678");
    CHECK_FALSE(waker->was_cut);
    box.post("9");
    CHECK(waker->was_cut);
}

TEST_CASE("kv commands: a client that leaves is forgotten everywhere") {
    kv::server_state server;
    {
        test_client client(server);
        client.ask("subscribe a b\r\n");
        CHECK(server.channels.channels() == 2);
        CHECK(server.connected == 1);
    }
    CHECK(server.channels.channels() == 0);
    CHECK(server.connected == 0);
    CHECK(server.connections == 1);
}
