#include <sluice/patterns/ring_channel.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

bool adds_up(const ring_counters& c) {
    return c.sent == c.received + c.dropped + c.left;
}

task<> send_numbers(ring_channel<int> to, int first, int count) {
    for (int i = 0; i != count; ++i) {
        to.send(first + i);
        EXPECT(adds_up(to.counters()));
        if (i % 3 == 0) co_await yield();
    }
}

/// Each sender's numbers come in rising order, with gaps, and none twice.
task<> receive_numbers(ring_channel<int> from, std::vector<std::atomic<int>>* seen) {
    std::vector<int> last(2, -1);
    while (auto got = co_await from.recv()) {
        ++(*seen)[static_cast<std::size_t>(*got)];
        int& before = last[static_cast<std::size_t>(*got / 100)];
        EXPECT(*got > before);
        before = *got;
    }
}

task<> senders_and_receivers() {
    ring_channel<int> ring(4);
    std::vector<std::atomic<int>> seen(200);
    wait_group senders;
    wait_group receivers;
    for (int i = 0; i != 2; ++i) receivers.go(receive_numbers, ring, &seen);
    for (int i = 0; i != 2; ++i) senders.go(send_numbers, ring, 100 * i, 100);
    co_await senders.wait();
    ring.close();
    co_await receivers.wait();
    std::uint64_t received = 0;
    for (const auto& times : seen) {
        EXPECT(times <= 1);
        received += static_cast<std::uint64_t>(times.load());
    }
    const ring_counters c = ring.counters();
    EXPECT(c.sent == 200 && c.left == 0 && c.received == received);
    EXPECT(adds_up(c));
}

}  // namespace

TEST_CASE("ring_channel: what is sent is received once, or dropped, and the sums add up") {
    simulated(senders_and_receivers, 1'000);
    on_real_workers(senders_and_receivers);
}

namespace {

/// Receives that are cut at every step lose nothing.
task<> receive_until_cancelled(context ctx) {
    ring_channel<int> ring(3);
    std::uint64_t received = 0;
    const auto receive = [&]() -> task<> {
        for (;;) {
            const auto got = co_await within(ctx, ring.recv());
            if (!got) co_return;
            if (!*got) co_return;
            ++received;
        }
    };
    wait_group receivers;
    for (int i = 0; i != 2; ++i) receivers.go(std::ref(receive));
    for (int i = 0; i != 12; ++i) {
        ring.send(i);
        co_await yield();
        if (i % 5 == 0) co_await sleep_for(1ms);
    }
    ring.close();
    co_await receivers.wait();
    while (auto rest = co_await ring.recv()) ++received;
    const ring_counters c = ring.counters();
    EXPECT(c.sent == 12 && c.left == 0 && c.received == received);
    EXPECT(adds_up(c));
}

}  // namespace

TEST_CASE("ring_channel: a receive that is cancelled takes nothing, at whatever step") {
    simulated_cancelled(receive_until_cancelled);
}

TEST_CASE("ring_channel: a full ring drops its oldest values, and keeps the order of the rest") {
    simulated([]() -> task<> {
        ring_channel<int> ring(3);
        for (int i = 0; i != 10; ++i) ring.send(i);
        ring_counters c = ring.counters();
        EXPECT(c.sent == 10 && c.dropped == 7 && c.left == 3 && c.received == 0);
        const auto seven = co_await ring.recv();
        EXPECT(seven == 7);
        ring.send(10);
        ring.send(11);  // drops 8
        for (int i = 9; i != 12; ++i) {
            const auto got = co_await ring.recv();
            EXPECT(got == i);
        }
        c = ring.counters();
        EXPECT(c.sent == 12 && c.dropped == 8 && c.received == 4 && c.left == 0);
        const auto none = co_await within(1s, ring.recv());
        EXPECT(!none && none.error() == errc::deadline_exceeded);
    });
}

TEST_CASE("ring_channel: with room for one value the last one is there") {
    simulated([]() -> task<> {
        ring_channel<int> ring(1);
        for (int i = 0; i != 5; ++i) ring.send(i);
        const auto got = co_await ring.recv();
        EXPECT(got == 4);
        EXPECT(ring.counters().dropped == 4);
    });
}

TEST_CASE("ring_channel: a value goes to the one who has waited longest, and never to two") {
    simulated(
        []() -> task<> {
            ring_channel<int> ring(1);
            std::vector<int> order;
            wait_group receivers;
            for (int who = 0; who != 3; ++who) {
                receivers.go([&, who]() -> task<> {
                    co_await sleep_for(1ms * (who + 1));  // they come one after the other
                    const auto got = co_await ring.recv();
                    EXPECT(got == who);
                    order.push_back(who);
                });
            }
            co_await sleep_for(1s);
            for (int i = 0; i != 3; ++i) ring.send(i);  // three wait: nothing is dropped
            EXPECT(ring.counters().dropped == 0);
            EXPECT(ring.counters().received == 3);
            co_await receivers.wait();
            EXPECT(order.size() == 3);
        },
        100);
}

TEST_CASE("ring_channel: close ends all who wait, after what is left has been received") {
    on_workers([]() -> task<> {
        ring_channel<int> ring(2);
        wait_group receivers;
        std::atomic<int> ended = 0;
        for (int i = 0; i != 3; ++i) {
            receivers.go([&]() -> task<> {
                const auto got = co_await ring.recv();
                if (!got) ++ended;
            });
        }
        co_await yield();
        ring.close();
        co_await receivers.wait();
        EXPECT(ended == 3);

        ring_channel<int> full(2);
        full.send(1);
        full.send(2);
        full.close();
        const auto one = co_await full.recv();
        const auto two = co_await full.recv();
        const auto end = co_await full.recv();
        const auto still = co_await full.recv();
        EXPECT(one == 1 && two == 2 && !end && !still);
    });
}

TEST_CASE("ring_channel: a send or a second close after the close throws, and counts nothing") {
    const ring_channel<int> ring(1);
    ring.send(1);
    ring.close();
    CHECK_THROWS_AS(ring.send(2), channel_closed);
    CHECK_THROWS_AS(ring.close(), channel_closed);
    CHECK(ring.counters().sent == 1);
    CHECK(ring.counters().left == 1);
    CHECK_THROWS_AS(ring_channel<int>(0), std::invalid_argument);
}

TEST_CASE("ring_channel: of two receives in a select one takes a value, the other nothing") {
    simulated(
        []() -> task<> {
            ring_channel<int> a(4);
            ring_channel<int> b(4);
            wait_group senders;
            for (int i = 0; i != 2; ++i) {
                senders.go(
                    [](ring_channel<int> to) -> task<> {
                        for (int n = 0; n != 4; ++n) {
                            co_await sleep_for(1ms);
                            to.send(n);
                        }
                    },
                    i == 0 ? a : b);
            }
            int next_a = 0;
            int next_b = 0;
            for (int n = 0; n != 8; ++n) {
                const auto got = co_await select(a.recv(), b.recv());
                if (got.index() == 0) {
                    EXPECT(std::get<0>(got) == next_a++);
                } else {
                    EXPECT(std::get<1>(got) == next_b++);
                }
            }
            co_await senders.wait();
            EXPECT(next_a == 4 && next_b == 4);
            const auto none = co_await select(a.recv(), b.recv(), otherwise);
            EXPECT(none.index() == 2);
            b.close();
            const auto closed = co_await select(a.recv(), b.recv());
            EXPECT(closed.index() == 1 && !std::get<1>(closed));
        },
        200);
}

TEST_CASE("ring_channel: values may be moved only, and each is destroyed once") {
    simulated([]() -> task<> {
        const auto witness = std::make_shared<int>(0);
        {
            ring_channel<std::unique_ptr<std::shared_ptr<int>>> ring(2);
            for (int i = 0; i != 5; ++i) ring.send(std::make_unique<std::shared_ptr<int>>(witness));
            EXPECT(witness.use_count() == 3);  // the dropped ones are gone
            {
                const auto got = co_await ring.recv();
                EXPECT(got && **got == witness);
                EXPECT(witness.use_count() == 3);
            }
            EXPECT(witness.use_count() == 2);
        }
        EXPECT(witness.use_count() == 1);
    });
}

namespace {

/// Uses the ring when it is destroyed.
class caller {
public:
    caller(ring_channel<std::unique_ptr<caller>>* ring, int* calls) : ring_(ring), calls_(calls) {}
    caller(const caller&) = delete;
    caller& operator=(const caller&) = delete;
    ~caller() {
        ++*calls_;
        EXPECT(adds_up(ring_->counters()));
    }

private:
    ring_channel<std::unique_ptr<caller>>* ring_;
    int* calls_;
};

}  // namespace

TEST_CASE("ring_channel: the destructor of a dropped value may use the ring") {
    int calls = 0;
    ring_channel<std::unique_ptr<caller>> ring(1);
    for (int i = 0; i != 3; ++i) ring.send(std::make_unique<caller>(&ring, &calls));
    CHECK(calls == 2);
    run_on(1, [&ring]() -> task<> { static_cast<void>(co_await ring.recv()); });
    CHECK(calls == 3);
}

TEST_CASE("ring_channel: threads that run no tasks may send, and the sums add up") {
    run_on(2, []() -> task<> {
        ring_channel<int> ring(8);
        const auto send_all = [ring] {
            std::vector<std::thread> threads;
            for (int t = 0; t != 2; ++t) {
                threads.emplace_back([ring] {
                    for (int i = 0; i != 2'000; ++i) ring.send(i);
                });
            }
            for (std::thread& t : threads) t.join();
            ring.close();
        };
        std::uint64_t received = 0;
        wait_group receiver;
        receiver.go([&]() -> task<> {
            while (auto got = co_await ring.recv()) ++received;
        });
        co_await blocking(send_all);
        co_await receiver.wait();
        const ring_counters c = ring.counters();
        EXPECT(c.sent == 4'000 && c.received == received && c.left == 0);
        EXPECT(adds_up(c));
    });
}
