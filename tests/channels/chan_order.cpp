#include <sluice/channels/chan.hpp>

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace sluice;

TEST_CASE("chan 1.16: close readies all waiters, and none runs before it has returned") {
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>();
        std::array<bool, 20> ended{};
        const auto wait = [](chan<int> c, bool* e) -> task<> {
            static_cast<void>(co_await c.recv());
            *e = true;
        };
        for (bool& e : ended) go(wait, ch, &e);
        co_await yield();
        ch.close();
        for (const bool e : ended) EXPECT(!e);
        co_await yield();
        for (const bool e : ended) EXPECT(e);
    });
}

TEST_CASE("chan 1.16: what close wakes can use the channel at once") {
    on_workers([]() -> task<> {
        for (int round = 0; round < 200; ++round) {
            auto ch = make_chan<int>(1);
            wait_group all;
            int failed[8] = {};
            for (int& f : failed) {
                all.go(
                    [](chan<int> c, int* out) -> task<> {
                        static_cast<void>(co_await c.recv());
                        try {
                            c.close();
                        } catch (const channel_closed&) {
                            ++*out;
                        }
                        const auto again = co_await c.recv();
                        if (!again) ++*out;
                    },
                    ch, &f);
            }
            co_await yield();
            send_chan<int>(std::exchange(ch, {})).close();  // the tasks have the last handles
            co_await all.wait();
            for (const int f : failed) EXPECT(f == 2);
        }
    });
}

namespace {

// These write plain variables on purpose: ThreadSanitizer reports an order that does not hold.

task<> publish(chan<int> ch, std::vector<int>* data, bool by_close) {
    for (std::size_t i = 0; i < data->size(); ++i) {
        (*data)[i] = static_cast<int>(i) + 1;
        if (!by_close) co_await ch.send(static_cast<int>(i));
    }
    if (by_close) ch.close();
}

}  // namespace

TEST_CASE("chan 1.15: a send happens before its receive completes") {
    for (const int capacity : {0, 3}) {
        on_workers([capacity]() -> task<> {
            const auto ch = make_chan<int>(capacity);
            std::vector<int> data(3'000);
            auto sender = spawn(publish, ch, &data, false);
            for (std::size_t i = 0; i < data.size(); ++i) {
                const auto at = co_await ch.recv();
                EXPECT(at && data[static_cast<std::size_t>(*at)] == *at + 1);
            }
            co_await sender.join();
        });
    }
}

TEST_CASE("chan 1.15: close happens before a receive that reports it") {
    on_workers([]() -> task<> {
        for (int round = 0; round < 1'000; ++round) {
            const auto ch = make_chan<int>(round % 2);
            std::vector<int> data(2);
            go(publish, ch, &data, true);
            const auto got = co_await ch.recv();
            EXPECT(!got);
            EXPECT(data[0] == 1 && data[1] == 2);
        }
    });
}

TEST_CASE("chan 1.15: an unbuffered receive happens before its send completes") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>();
        std::vector<int> data(3'000);
        auto receiver = spawn(
            [](chan<int> c, std::vector<int>* d) -> task<> {
                for (int& x : *d) {
                    x = 1;
                    static_cast<void>(co_await c.recv());
                }
            },
            ch, &data);
        for (const int& x : data) {
            co_await ch.send(0);
            EXPECT(x == 1);
        }
        co_await receiver.join();
    });
}

TEST_CASE(
    "chan 1.15: with capacity C the k-th receive happens before the (k+C)-th send completes") {
    for (const std::size_t capacity : {1u, 4u}) {
        on_workers([capacity]() -> task<> {
            const auto ch = make_chan<int>(static_cast<std::ptrdiff_t>(capacity));
            std::vector<int> data(3'000);
            auto receiver = spawn(
                [](chan<int> c, std::vector<int>* d) -> task<> {
                    for (int& x : *d) {
                        x = 1;
                        static_cast<void>(co_await c.recv());
                    }
                },
                ch, &data);
            for (std::size_t k = 0; k < data.size(); ++k) {
                co_await ch.send(0);
                if (k >= capacity) EXPECT(data[k - capacity] == 1);
            }
            co_await receiver.join();
        });
    }
}

TEST_CASE("chan 1.15: a channel of capacity 1 is a lock") {
    on_workers([]() -> task<> {
        const auto lock = make_chan<>(1);
        int counter = 0;
        wait_group all;
        for (int t = 0; t < 4; ++t) {
            all.go(
                [](chan<> l, int* c) -> task<> {
                    for (int i = 0; i < 1'000; ++i) {
                        co_await l.send();
                        ++*c;
                        static_cast<void>(co_await l.recv());
                    }
                },
                lock, &counter);
        }
        co_await all.wait();
        EXPECT(counter == 4'000);
    });
}
