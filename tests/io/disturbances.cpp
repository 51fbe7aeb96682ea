// Signals that interrupt every system call, and a worker that is stuck in a computation.
#include <sluice/io/tcp.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include <sys/syscall.h>
#include <unistd.h>

#include <sluice/runtime/run.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::options;
using sluice::task;
using sluice::io::endpoint;
using std::chrono::steady_clock;

namespace {

std::atomic<long> interrupted{0};

// Interrupts each thread of the process some thousand times a second.
class storm {
public:
    storm() {
        interrupted = 0;
        struct sigaction action{};
        action.sa_handler = [](int) { interrupted.fetch_add(1, std::memory_order_relaxed); };
        ::sigaction(SIGUSR1, &action, &former_);  // without SA_RESTART
        thread_ = std::thread([this] { blow(); });
    }
    storm(const storm&) = delete;
    storm& operator=(const storm&) = delete;
    ~storm() {
        over_ = true;
        thread_.join();
        ::sigaction(SIGUSR1, &former_, nullptr);
    }

private:
    void blow() {
        const auto self = static_cast<pid_t>(::syscall(SYS_gettid));
        while (!over_) {
            for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
                const pid_t thread = std::stoi(entry.path().filename().string());
                if (thread != self) ::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR1);
            }
            std::this_thread::sleep_for(200us);  // its strength
        }
    }

    struct sigaction former_{};
    std::atomic<bool> over_{false};
    std::thread thread_;
};

task<> transfer(const tcp_stream* to, const tcp_stream* from, const pattern* p) {
    constexpr std::size_t total = std::size_t{16} << 20;
    auto writer = sluice::spawn(
        [](const tcp_stream* s, const pattern* bytes) -> task<> {
            for (std::size_t sent = 0; sent != total; sent += 16'384) {
                const auto wrote = co_await s->write_all(bytes->at(sent, 16'384));
                if (!EXPECT(wrote.has_value())) co_return;
            }
        },
        to, p);
    std::array<std::byte, 4'096> buffer;
    for (std::size_t got = 0; got != total;) {
        const auto n = co_await from->read(buffer);
        if (!EXPECT(n.has_value() && *n != 0)) co_return;
        EXPECT(p->matches(got, std::span<const std::byte>(buffer).first(*n)));
        got += *n;
    }
    co_await writer.join();
}

task<> connect_under_storm() {
    const tcp_listener l = listener();
    const deserted_port nobody;
    for (int i = 0; i != 500; ++i) {
        const pair both = co_await connect_to(l);
        EXPECT(both.client.remote_address().has_value());  // connected it is
        close_resets(both.client);
        const auto refused = co_await sluice::io::connect_tcp(nobody.address());
        EXPECT(failed_with(refused, std::errc::connection_refused));
        std::array<char, 4> buffer;
        const auto late = co_await sluice::within(50us, both.server.read(buffer));
        EXPECT(failed_with(late, sluice::errc::deadline_exceeded));
    }
}

task<> all_under_storm(std::uint64_t seed) {
    const pattern p(seed);
    const pair both = co_await connected();
    sluice::wait_group all;
    all.go(transfer, &both.client, &both.server, &p);
    all.go(transfer, &both.server, &both.client, &p);
    all.go(connect_under_storm);
    co_await all.wait();
}

}  // namespace

TEST_CASE("sockets: signals that interrupt every call change nothing") {
    const std::uint64_t seed = test_seed();
    for_each_setup([seed](options o) {
        const storm blowing;
        sluice::run(o, all_under_storm, seed);
        EXPECT(interrupted > 0);
    });
}

namespace {

// A peer on a thread of its own, which asks and measures how long each answer takes.
class asker {
public:
    explicit asker(const endpoint& to) : fd_(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        EXPECT(::connect(fd_, to.data(), to.size()) == 0);
    }
    asker(const asker&) = delete;
    asker& operator=(const asker&) = delete;
    ~asker() { ::close(fd_); }

    void ask() {
        const auto start = steady_clock::now();
        char byte = 'x';
        EXPECT(::send(fd_, &byte, 1, MSG_NOSIGNAL) == 1);
        EXPECT(::recv(fd_, &byte, 1, 0) == 1);
        longest = std::max(longest, steady_clock::now() - start);
        ++answers;
    }

    steady_clock::duration longest{0};
    int answers = 0;

private:
    const int fd_;
};

task<> answer(const tcp_stream* conn) {
    std::array<char, 8> buffer;
    for (;;) {
        const auto n = co_await conn->read(buffer);
        if (!n || *n == 0) co_return;
        const auto wrote = co_await conn->write(std::string_view(buffer.data(), *n));
        if (!EXPECT(wrote.has_value())) co_return;
    }
}

constexpr auto computation = 300ms;

using program = task<> (*)(const tcp_listener*, std::atomic<bool>* computing,
                           std::atomic<bool>* failed);

task<> compute(std::atomic<bool>* computing) {
    *computing = true;
    const auto end = steady_clock::now() + computation;
    while (steady_clock::now() < end) {
    }
    *computing = false;
    co_return;
}

// Has this thread's worker watch the connection, then keeps that worker busy.
task<> watch_then_compute(const tcp_listener* l, std::atomic<bool>* computing,
                          std::atomic<bool>* failed) {
    auto conn = co_await l->accept();
    if (!EXPECT(conn.has_value())) co_return;
    auto answers = std::make_shared<tcp_stream>(std::move(*conn));
    const std::thread::id watcher = std::this_thread::get_id();
    const auto none = co_await sluice::within(1ms, answers->readable());
    EXPECT(failed_with(none, sluice::errc::deadline_exceeded));
    if (std::this_thread::get_id() != watcher) {
        *failed = true;  // it goes on elsewhere: another attempt
        co_return;
    }
    sluice::go([](std::shared_ptr<tcp_stream> s) -> task<> { co_await answer(s.get()); }, answers);
    co_await compute(computing);
}

// The same, with a read of which the kernel has not been told when the computation begins.
task<> read_then_compute(const tcp_listener* l, std::atomic<bool>* computing,
                         std::atomic<bool>* failed) {
    auto conn = co_await l->accept();
    if (!EXPECT(conn.has_value())) co_return;
    const std::thread::id here = std::this_thread::get_id();
    std::atomic<std::thread::id> reader{};
    sluice::wait_group group;
    group.go([&]() -> task<> {
        reader = std::this_thread::get_id();
        co_await answer(&*conn);
    });
    co_await sluice::yield();
    if (reader != here || std::this_thread::get_id() != here) {
        *failed = true;
        conn->close();
    } else {
        co_await compute(computing);
    }
    co_await group.wait();
}

struct answered {
    bool measured;  // false: the task changed workers before it could compute
    int answers;
    steady_clock::duration longest;
};

answered measure(options o, program computes) {
    const tcp_listener l = listener();
    std::atomic<bool> computing{false};
    std::atomic<bool> failed{false};
    answered seen{};
    std::thread asks([&] {
        asker peer(l.local_address().value());
        while (!computing && !failed) std::this_thread::yield();
        while (computing) peer.ask();
        seen.answers = peer.answers;
        seen.longest = peer.longest;
    });
    sluice::run(o, computes, &l, &computing, &failed);
    asks.join();
    seen.measured = !failed;
    return seen;
}

}  // namespace

TEST_CASE("sockets: a worker stuck in a computation delays no I/O") {
    const program computes = GENERATE(&watch_then_compute, &read_then_compute);
    for (const sluice::driver_kind driver : drivers()) {
        options o;
        o.workers = 2;
        o.driver = driver;
        answered seen{};
        for (int attempt = 0; attempt != 50 && !seen.measured; ++attempt)
            seen = measure(o, computes);
        report_expectations();
        const auto longest_ms = std::chrono::ceil<std::chrono::milliseconds>(seen.longest).count();
        CAPTURE(seen.answers, longest_ms);
        CHECK(seen.measured);
        CHECK(seen.answers >= 2);
        CHECK(longest_ms < 150);
    }
}
