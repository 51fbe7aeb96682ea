// Sockets and the life of runtimes: those that outlive one, and those that move to another.
#include <sluice/runtime/runtime.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/io/tcp.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::options;
using sluice::runtime;
using sluice::task;

namespace {

task<> fail_to_read(const tcp_stream* s) {
    std::array<char, 8> buffer;
    const auto n = co_await sluice::within(1ms, s->read(buffer));  // now a worker watches it
    EXPECT(failed_with(n, sluice::errc::deadline_exceeded));
}

task<> exchange(const tcp_stream* a, const tcp_stream* b, int times) {
    std::array<char, 8> buffer;
    for (int i = 0; i != times; ++i) {
        const auto wrote = co_await a->write("x");
        EXPECT(wrote == 1u);
        const auto n = co_await b->read(buffer);
        EXPECT(n == 1u);
        std::swap(a, b);
    }
}

task<> answer(const tcp_stream* s, int times) {
    std::array<char, 8> buffer;
    for (int i = 0; i != times; ++i) {
        const auto n = co_await s->read(buffer);
        if (!EXPECT(n == 1u)) co_return;
        const auto wrote = co_await s->write("y");
        EXPECT(wrote == 1u);
    }
}

task<> ask(const tcp_stream* s, int times) {
    std::array<char, 8> buffer;
    for (int i = 0; i != times; ++i) {
        const auto wrote = co_await s->write("x");
        EXPECT(wrote == 1u);
        const auto n = co_await s->read(buffer);
        if (!EXPECT(n == 1u)) co_return;
    }
}

// Waits for ever, in every way a socket can.
task<> read_for_ever(std::shared_ptr<pair> both) {
    std::array<char, 8> buffer;
    const auto n = co_await both->server.read(buffer);
    EXPECT(!n);
}
task<> race_for_ever(std::shared_ptr<pair> both) {
    std::array<char, 8> buffer;
    const auto won = co_await sluice::select(both->client.read(buffer), sluice::sleep_for(1h));
    EXPECT(won.index() == 1);
}
task<> accept_for_ever(std::shared_ptr<tcp_listener> l) {
    const auto conn = co_await l->accept();
    EXPECT(!conn);
}
task<> write_for_ever(std::shared_ptr<pair> both) {
    const std::vector<std::byte> bytes(std::size_t{16} << 20);
    const auto wrote = co_await both->client.write_all(bytes);
    EXPECT(!wrote);
}

// An older task reads from the stream of a younger one; both are there when the runtime ends.
task<> read_of_younger(sluice::chan<const tcp_stream*> from) {
    std::array<char, 8> buffer;
    const auto s = co_await from.recv();
    static_cast<void>(co_await (*s)->read(buffer));
}
task<> own_stream(sluice::chan<const tcp_stream*> to, std::shared_ptr<tcp_stream> s) {
    co_await to.send(s.get());
    static_cast<void>(co_await sluice::chan<>().recv());
}
// Keeps the worker, once its read has ended, until it is told to stop.
task<> hold_worker(std::shared_ptr<tcp_stream> s, const runtime* rt) {
    std::array<char, 8> buffer;
    static_cast<void>(co_await s->read(buffer));
    while (!rt->stopping().err()) std::this_thread::yield();
    for (int i = 0; i != 1000; ++i) std::this_thread::yield();
    static_cast<void>(co_await sluice::chan<>().recv());
}
task<> compute(std::atomic<bool>* busy, const std::atomic<bool>* enough) {
    for (int i = 0; i != 10; ++i) co_await sluice::yield();  // the others wait now
    *busy = true;
    while (!*enough) std::this_thread::yield();
}

}  // namespace

TEST_CASE("runtime: streams and listeners outlive it and work in the next one") {
    for_each_setup([](options o) {
        const auto before = open_descriptors();
        {
            std::optional<tcp_listener> l;
            std::optional<pair> both;
            {
                runtime first(o);
                l.emplace(listener());
                first.block_on(
                    [](const tcp_listener* at, std::optional<pair>* to) -> task<> {
                        to->emplace(co_await connect_to(*at));
                        co_await fail_to_read(&(*to)->server);
                        co_await fail_to_read(&(*to)->client);
                    },
                    &*l, &both);
            }
            {
                runtime second(o);
                second.block_on(exchange, &both->client, &both->server, 100);
                second.block_on(
                    [](const tcp_listener* at) -> task<> {
                        const pair more = co_await connect_to(*at);
                        co_await exchange(&more.client, &more.server, 10);
                    },
                    &*l);
            }
            // The rest is let go where no runtime is.
        }
        EXPECT(open_descriptors() == before);
    });
}

TEST_CASE("runtime: two of them carry the two ends of a connection") {
    for_each_setup([](options o) {
        runtime here(o);
        runtime there(o);
        pair both = here.block_on(connected);
        for (int turn = 0; turn != 2; ++turn) {
            auto answers = there.spawn(answer, &both.server, 1'000);
            here.block_on(ask, &both.client, 1'000);
            answers.get();
            std::swap(both.client, both.server);  // each end goes to the other runtime
        }
    });
}

TEST_CASE("runtime: a stream watched by one is read in another") {
    for_each_setup([](options o) {
        runtime watcher(o);
        runtime user(o);
        const pair both = watcher.block_on(connected);
        watcher.block_on(fail_to_read, &both.server);
        watcher.block_on(fail_to_read, &both.client);
        user.block_on(exchange, &both.client, &both.server, 1'000);
    });
}

TEST_CASE("runtime: a stream goes on when the runtime that watched it ends") {
    for_each_setup([](options o) {
        for (int round = 0; round != 20; ++round) {
            runtime user(o);
            auto watcher = std::make_unique<runtime>(o);
            const pair both = watcher->block_on(connected);
            watcher->block_on(fail_to_read, &both.server);
            watcher->block_on(fail_to_read, &both.client);
            auto answers = user.spawn(answer, &both.server, 200);
            auto asks = user.spawn(ask, &both.client, 200);
            watcher.reset();
            asks.get();
            answers.get();
        }
    });
}

TEST_CASE("runtime: shutdown cuts every wait on sockets and names each") {
    for_each_setup([](options o) {
        const auto before = open_descriptors();
        for (int round = 0; round != 20; ++round) {
            runtime rt(o);
            auto idle = std::make_shared<pair>(rt.block_on(connected));
            auto full = std::make_shared<pair>(rt.block_on(connected));
            auto l = std::make_shared<tcp_listener>(listener());
            rt.go(read_for_ever, idle);
            rt.go(race_for_ever, idle);
            rt.go(accept_for_ever, l);
            rt.go(write_for_ever, full);
            idle.reset();
            full.reset();
            l.reset();
            const auto report = rt.shutdown(round % 2 == 0 ? 0ms : 1ms);
            EXPECT(report.cut.size() == 4);
            for (const auto& cut : report.cut) EXPECT(!cut.describe().empty());
        }
        EXPECT(open_descriptors() == before);
    });
}

TEST_CASE("runtime: a reader is cut after the younger task that owned its stream") {
    for_each_setup([](options o) {
        const auto before = open_descriptors();
        for (int round = 0; round != 10; ++round) {
            runtime rt(o);
            pair read = rt.block_on(connected);
            pair held = rt.block_on(connected);
            auto streams = sluice::make_chan<const tcp_stream*>();
            std::atomic<bool> busy{false};
            std::atomic<bool> enough{false};
            rt.go(read_of_younger, streams);
            rt.go(own_stream, streams, std::make_shared<tcp_stream>(std::move(read.server)));
            rt.go(hold_worker, std::make_shared<tcp_stream>(std::move(held.server)), &rt);
            rt.go(compute, &busy, &enough);
            while (!busy) std::this_thread::yield();
            read.client.close();
            held.client.close();
            enough = true;
            EXPECT(!rt.shutdown(0s).cut.empty());
        }
        EXPECT(open_descriptors() == before);
    });
}

TEST_CASE("runtime: threads close streams while it ends") {
    for_each_setup([](options o) {
        const auto before = open_descriptors();
        for (int round = 0; round != rounds(100); ++round) {
            auto rt = std::make_unique<runtime>(o);
            std::vector<pair> pairs;
            pairs.reserve(4);
            for (int i = 0; i != 4; ++i) {
                pairs.push_back(rt->block_on(connected));
                rt->go(
                    [](const tcp_stream* s) -> task<> {
                        std::array<char, 8> buffer;
                        const auto n = co_await s->read(buffer);
                        EXPECT(!n || *n == 0);
                    },
                    &pairs.back().server);
            }
            std::atomic<bool> begun{false};
            std::thread closer([&] {
                begun = true;
                for (pair& p : pairs) {
                    p.server.close();
                    p.client.close();
                }
            });
            while (!begun) std::this_thread::yield();
            rt.reset();
            closer.join();
        }
        EXPECT(open_descriptors() == before);
    });
}

TEST_CASE("run: a task that waits for bytes from a thread is no deadlock") {
    for_each_setup([](options o) {
        const tcp_listener l = listener();
        std::thread peer([to = l.local_address().value()] {
            const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
            EXPECT(::connect(fd, to.data(), to.size()) == 0);
            char byte = 0;
            EXPECT(::recv(fd, &byte, 1, 0) == 1);  // the server has parked, or soon will
            EXPECT(::send(fd, &byte, 1, 0) == 1);
            ::close(fd);
        });
        sluice::run(
            o,
            [](const tcp_listener* at) -> task<> {
                const auto conn = co_await at->accept();
                const auto wrote = co_await conn->write("x");
                EXPECT(wrote == 1u);
                std::array<char, 8> buffer;
                const auto n = co_await conn->read(buffer);
                EXPECT(n == 1u);
            },
            &l);
        peer.join();
    });
}

TEST_CASE("run: waits on sockets that have ended leave a deadlock to be seen") {
    for_each_setup([](options o) {
        bool seen = false;
        try {
            sluice::run(o, []() -> task<> {
                pair both = co_await connected();
                for (int i = 0; i != 20; ++i) {
                    co_await fail_to_read(&both.server);                // lost
                    co_await exchange(&both.client, &both.server, 10);  // won
                }
                for (int i = 0; i != 20; ++i) {
                    auto reader = sluice::spawn(
                        [](const tcp_stream* s) -> task<> {
                            std::array<char, 8> buffer;
                            const auto n = co_await s->read(buffer);
                            EXPECT(!n);
                        },
                        &both.server);
                    co_await yield_times(static_cast<std::uint32_t>(i % 3));
                    both.server.close();  // closed
                    co_await reader.join();
                    both = co_await connected();
                }
                const auto never = sluice::make_chan();
                co_await never.recv();
            });
        } catch (const sluice::deadlock& d) {
            seen = d.tasks().size() == 1;
        }
        EXPECT(seen);
    });
}
