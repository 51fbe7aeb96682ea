// Large amounts of bytes, and peers that stop half-way.
#include <sluice/io/tcp.hpp>

#include <atomic>
#include <csignal>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::task;

namespace {

constexpr std::size_t much = std::size_t{64} << 20;

// The sizes vary, so that they never fall in step with the kernel's.
task<> send(const tcp_stream* to, const pattern* p, std::size_t total, std::uint64_t seed) {
    chooser c(seed);
    for (std::size_t sent = 0; sent != total;) {
        const std::size_t size = std::min<std::size_t>(total - sent, 1 + c.below(pattern::longest));
        const auto wrote = co_await to->write_all(p->at(sent, size));
        if (!EXPECT(wrote.has_value())) co_return;
        sent += size;
    }
    EXPECT(to->shutdown().has_value());
}

task<> receive(const tcp_stream* from, const pattern* p, std::size_t total, std::uint64_t seed) {
    chooser c(seed);
    std::vector<std::byte> buffer(pattern::longest);
    std::size_t got = 0;
    for (;;) {
        const auto n = co_await from->read(std::span(buffer).first(1 + c.below(pattern::longest)));
        if (!EXPECT(n.has_value())) co_return;
        if (*n == 0) break;
        const std::span<const std::byte> bytes = std::span(buffer).first(*n);
        if (!EXPECT(p->matches(got, bytes))) co_return;
        got += *n;
    }
    EXPECT(got == total);
}

task<> both_ways(std::uint64_t seed) {
    const pair both = co_await connected();
    const pattern there(seed);
    const pattern back(seed + 1);
    sluice::wait_group all;
    all.go(send, &both.client, &there, much, seed + 2);
    all.go(send, &both.server, &back, much, seed + 3);
    all.go(receive, &both.server, &there, much, seed + 4);
    all.go(receive, &both.client, &back, much, seed + 5);
    co_await all.wait();
}

task<> reply_after_end(std::uint64_t seed) {
    const pair both = co_await connected();
    const pattern reply(seed);
    sluice::wait_group all;
    all.go(
        [](const tcp_stream* s, const pattern* p, std::uint64_t its_seed) -> task<> {
            std::array<std::byte, 64> request;
            const std::size_t n = co_await read_full(*s, request);
            EXPECT(n == 2);
            co_await send(s, p, much, its_seed);
        },
        &both.server, &reply, seed + 1);
    const auto wrote = co_await both.client.write_all("hi");
    EXPECT(wrote.has_value());
    EXPECT(both.client.shutdown().has_value());
    co_await receive(&both.client, &reply, much, seed + 2);
    co_await all.wait();
}

std::atomic<int> broken_pipes{0};

// Counts SIGPIPE instead of dying of it.
class pipe_watch {
public:
    pipe_watch() {
        broken_pipes = 0;
        struct sigaction action{};
        action.sa_handler = [](int) { broken_pipes.fetch_add(1); };
        ::sigaction(SIGPIPE, &action, &former_);
    }
    pipe_watch(const pipe_watch&) = delete;
    pipe_watch& operator=(const pipe_watch&) = delete;
    ~pipe_watch() { ::sigaction(SIGPIPE, &former_, nullptr); }

private:
    struct sigaction former_{};
};

bool is_reset(const sluice::result<>& r) {
    return failed_with(r, std::errc::connection_reset) || failed_with(r, std::errc::broken_pipe);
}

task<> write_until_reset(const tcp_stream* to) {
    static const std::vector<std::byte> bytes(much);
    const auto failed = co_await to->write_all(bytes);
    EXPECT(!failed);
    EXPECT(is_reset(failed));
    // Told once; from then on the connection is broken.
    const auto later = co_await to->write("x");
    EXPECT(failed_with(later, std::errc::broken_pipe));
    std::array<char, 4> buffer;
    const auto end = co_await to->read(buffer);
    EXPECT(end == 0u);
}

task<> reset_in_mid_write() {
    pair both = co_await connected();
    auto writer = sluice::spawn(write_until_reset, &both.server);
    std::array<std::byte, 1000> some;
    const std::size_t n = co_await read_full(both.client, some);
    EXPECT(n == some.size());
    close_resets(both.client);
    both.client.close();
    co_await writer.join();
}

// On io_uring the server's receive stands then.
task<> wait_in_vain_to_read(const tcp_stream* from) {
    std::array<char, 4> buffer;
    const auto none = co_await sluice::within(100us, from->read(buffer));
    EXPECT(failed_with(none, sluice::errc::deadline_exceeded));
}

task<> expect_broken(const tcp_stream* s) {
    const auto later = co_await s->write("x");
    EXPECT(failed_with(later, std::errc::broken_pipe));
    std::array<char, 4> buffer;
    const auto end = co_await s->read(buffer);
    EXPECT(end == 0u);
}

task<> reset_while_nobody_waits() {
    pair both = co_await connected();
    co_await wait_in_vain_to_read(&both.server);
    close_resets(both.client);
    both.client.close();
    const auto told = co_await both.server.readable();
    EXPECT(told.has_value());
    const auto first = co_await both.server.write_all("x");
    EXPECT(failed_with(first, std::errc::connection_reset));
    co_await expect_broken(&both.server);
}

task<> reset_while_a_write_waits(std::uint32_t round) {
    pair both = co_await connected();
    co_await wait_in_vain_to_read(&both.server);
    auto writer = sluice::spawn(
        [](const tcp_stream* to) -> task<> {
            static const std::vector<std::byte> bytes(much);
            const auto first = co_await to->write_all(bytes);
            EXPECT(failed_with(first, std::errc::connection_reset));
        },
        &both.server);
    co_await yield_times(20 * (round % 5));
    close_resets(both.client);
    both.client.close();
    co_await writer.join();
    co_await expect_broken(&both.server);
}

}  // namespace

TEST_CASE("tcp_stream: 64 MiB in both directions at once arrive byte for byte") {
    everywhere(both_ways, test_seed());
}

TEST_CASE("tcp_stream: the full reply of 64 MiB arrives after the request's end") {
    everywhere(reply_after_end, test_seed());
}

TEST_CASE("write_all: a reset in the middle is one error and no signal") {
    const pipe_watch watch;
    everywhere([]() -> task<> {
        for (int round = 0; round != 20; ++round) co_await reset_in_mid_write();
    });
    CHECK(broken_pipes == 0);
}

TEST_CASE("tcp_stream: a reset is told once to the first who comes") {
    everywhere([]() -> task<> {
        for (std::uint32_t round = 0; round != 20; ++round) {
            co_await reset_while_nobody_waits();
            co_await reset_while_a_write_waits(round);
        }
    });
}

TEST_CASE("write_all: the deadline fires when the peer never reads") {
    everywhere([]() -> task<> {
        const pair both = co_await connected();
        const std::vector<std::byte> bytes(much);
        const auto start = std::chrono::steady_clock::now();
        const auto late = co_await sluice::within(50ms, both.client.write_all(bytes));
        const auto took = std::chrono::steady_clock::now() - start;
        EXPECT(failed_with(late, sluice::errc::deadline_exceeded));
        EXPECT(took >= 50ms);
        EXPECT(took < 5s);
        // Full: not a byte more fits, and a try says so.
        const auto full = co_await sluice::within(0s, both.client.write("x"));
        EXPECT(failed_with(full, sluice::errc::deadline_exceeded));
    });
}

namespace {

// Some parts of a write_all, which a socket's buffer takes all at once.
constexpr std::size_t some_parts = std::size_t{1} << 20;

task<> drain(const tcp_stream* from) {
    std::vector<std::byte> buffer(some_parts);
    const std::size_t n = co_await read_full(*from, buffer);
    EXPECT(n <= buffer.size());
}

task<> count_turns(int* turns, const bool* over) {
    for (; !*over; ++*turns) co_await sluice::yield();
}

task<> write_beside_another() {
    if (sluice::stats().workers != 1) co_return;  // with more, others run all the time
    const pair both = co_await connected();
    const std::vector<std::byte> bytes(some_parts);
    int turns = 0;
    bool over = false;
    sluice::wait_group all;
    all.go(count_turns, &turns, &over);
    all.go(drain, &both.server);
    const auto wrote = co_await both.client.write_all(bytes);
    over = true;
    EXPECT(wrote.has_value());
    EXPECT(turns > 1);
    co_await all.wait();
}

task<> write_until_canceled() {
    if (sluice::stats().workers != 1) co_return;  // with more, it may be over before
    pair both = co_await connected();
    const std::vector<std::byte> bytes(some_parts);
    auto made = sluice::with_cancel(sluice::background());
    sluice::wait_group all;
    all.go(
        [](sluice::cancel_function* cancel) -> task<> {
            (*cancel)();
            co_return;
        },
        &made.second);
    all.go(drain, &both.server);
    const auto wrote = co_await sluice::within(made.first, both.client.write_all(bytes));
    EXPECT(failed_with(wrote, sluice::errc::canceled));
    both.client.close();
    co_await all.wait();
}

task<> write_letter(const tcp_stream* to, char letter) {
    const std::vector<std::byte> bytes(some_parts, static_cast<std::byte>(letter));
    const auto wrote = co_await to->write_all(bytes);
    EXPECT(wrote.has_value());
}

task<> write_three_at_once() {
    const pair both = co_await connected();
    sluice::wait_group all;
    for (const char letter : {'a', 'b', 'c'}) all.go(write_letter, &both.client, letter);
    std::vector<std::byte> got(3 * some_parts);
    const std::size_t n = co_await read_full(both.server, got);
    EXPECT(n == got.size());
    int changes = 0;
    for (std::size_t i = 1; i != got.size(); ++i) changes += got[i] != got[i - 1] ? 1 : 0;
    EXPECT(changes == 2);
    co_await all.wait();
}

}  // namespace

TEST_CASE("write_all: other tasks run between its parts") {
    everywhere(write_beside_another);
}

TEST_CASE("write_all: a context ends it although there is room for everything") {
    everywhere(write_until_canceled);
}

TEST_CASE("write_all: what one writes stands together although others wait to write") {
    everywhere([]() -> task<> {
        for (int round = 0; round != 10; ++round) co_await write_three_at_once();
    });
}

namespace {

task<> offer(const tcp_stream* to, const pattern* p, std::size_t total, std::size_t* sent) {
    while (*sent != total) {
        const std::size_t size = std::min(total - *sent, pattern::longest);
        const auto n = co_await sluice::within(30us, to->write(p->at(*sent, size)));
        if (n) {
            EXPECT(*n > 0);
            *sent += *n;
        } else if (!EXPECT(failed_with(n, sluice::errc::deadline_exceeded))) {
            co_return;
        }
    }
    EXPECT(to->shutdown().has_value());
}

}  // namespace

TEST_CASE("write: one that runs out of time has written nothing") {
    const std::uint64_t seed = test_seed();
    everywhere(
        [](std::uint64_t s) -> task<> {
            constexpr std::size_t total = std::size_t{16} << 20;
            const pair both = co_await connected();
            const pattern p(s);
            std::size_t sent = 0;
            auto writer = sluice::spawn(offer, &both.client, &p, total, &sent);
            co_await receive(&both.server, &p, total, s + 1);
            co_await writer.join();
            EXPECT(sent == total);
        },
        seed);
}
