#include <sluice/channels/chan.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

// Threads that run no tasks: run() would not see that they may still wake one, so class runtime.

namespace {

void send_all(const chan<int>& ch, int first, int end) {
    for (int i = first; i < end; ++i) {
        while (!ch.try_send(i)) std::this_thread::yield();
    }
}

task<long long> recv_sum(chan<int> ch) {
    long long sum = 0;
    for (;;) {
        const auto got = co_await ch.recv();
        if (!got) break;
        sum += *got;
    }
    co_return sum;
}

task<long long> select_sum(chan<int> a, chan<int> b) {
    long long sum = 0;
    while (a || b) {
        const auto got = co_await select(a.recv(), b.recv());
        const auto& value = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
        if (value) {
            sum += *value;
        } else {
            (got.index() == 0 ? a : b) = chan<int>();
        }
    }
    co_return sum;
}

constexpr long long sum_below(long long n) {
    return n * (n - 1) / 2;
}

}  // namespace

TEST_CASE("threads: they send to tasks with try_send and close") {
    for (const int capacity : {0, 4}) {
        for (const unsigned workers : {1u, 2u}) {
            CAPTURE(capacity, workers);
            runtime rt(options{.workers = workers});
            const auto ch = make_chan<int>(capacity);
            auto one = rt.spawn(recv_sum, ch);
            auto two = rt.spawn(recv_sum, ch);
            std::thread first([&] { send_all(ch, 0, 3'000); });
            std::thread second([&] { send_all(ch, 3'000, 6'000); });
            first.join();
            second.join();
            ch.close();
            CHECK(one.get() + two.get() == sum_below(6'000));
        }
    }
}

TEST_CASE("threads: they receive from tasks with try_recv") {
    for (const int capacity : {0, 4}) {
        CAPTURE(capacity);
        runtime rt(options{.workers = 2});
        const auto ch = make_chan<int>(capacity);
        for (int t = 0; t < 3; ++t) {
            rt.go(
                [](chan<int> to, int first) -> task<> {
                    for (int i = first; i < first + 1'000; ++i) co_await to.send(i);
                },
                ch, t * 1'000);
        }
        std::atomic<int> left{3'000};
        std::atomic<long long> sum{0};
        const auto drain = [&] {
            while (left.load() > 0) {
                const auto got = ch.try_recv();
                if (!got) {
                    std::this_thread::yield();
                    continue;
                }
                --left;
                sum += *got;
            }
        };
        std::thread other(drain);
        drain();
        other.join();
        CHECK(left == 0);
        CHECK(sum == sum_below(3'000));
    }
}

TEST_CASE("threads: they race for a parked select, which takes each value once") {
    runtime rt(options{.workers = 2});
    const auto a = make_chan<int>();
    const auto b = make_chan<int>(2);
    auto one = rt.spawn(select_sum, a, b);
    auto two = rt.spawn(select_sum, b, a);
    const auto feed = [](const chan<int>& ch, int first) {
        send_all(ch, first, first + 3'000);
        ch.close();
    };
    std::thread first([&] { feed(a, 0); });
    std::thread second([&] { feed(b, 3'000); });
    first.join();
    second.join();
    CHECK(one.get() + two.get() == sum_below(6'000));
}

TEST_CASE("threads: a close from one wakes every waiting task, senders with an error") {
    for (int round = 0; round < 50; ++round) {
        runtime rt(options{.workers = 2});
        const auto empty = make_chan<int>();
        const auto full = make_chan<int>();
        std::vector<join_handle<bool>> woken;
        for (int i = 0; i < 4; ++i) {
            woken.push_back(rt.spawn(
                [](chan<int> from) -> task<bool> {
                    const auto got = co_await from.recv();
                    co_return !got;
                },
                empty));
            woken.push_back(rt.spawn(
                [](chan<int> to) -> task<bool> {
                    bool failed = false;
                    try {
                        co_await to.send(1);
                    } catch (const channel_closed&) {
                        failed = true;
                    }
                    co_return failed;
                },
                full));
            woken.push_back(rt.spawn(
                [](chan<int> from, chan<int> never) -> task<bool> {
                    const auto got = co_await select(never.recv(), from.recv());
                    co_return got.index() == 1 && !std::get<1>(got);
                },
                empty, make_chan<int>()));
        }
        std::thread closer([empty, full] {
            empty.close();
            full.close();
        });
        bool all = true;
        for (auto& w : woken) all = w.get() && all;
        closer.join();
        CHECK(all);
    }
}

TEST_CASE("threads: of several that close a channel one succeeds") {
    for (int round = 0; round < 100; ++round) {
        const auto ch = make_chan<int>();
        std::atomic<int> refused{0};
        const auto close = [&] {
            try {
                ch.close();
            } catch (const channel_closed&) {
                ++refused;
            }
        };
        std::thread one(close);
        std::thread two(close);
        close();
        one.join();
        two.join();
        CHECK(refused == 2);
    }
}

TEST_CASE("threads: a channel serves them without any runtime") {
    const auto ch = make_chan<int>(8);
    long long sum = 0;
    int last = -1;
    std::thread receiver([&] {
        while (last != 9'999) {
            const auto got = ch.try_recv();
            if (!got) {
                std::this_thread::yield();
                continue;
            }
            EXPECT(*got == last + 1);
            last = *got;
            sum += *got;
        }
    });
    send_all(ch, 0, 10'000);
    receiver.join();
    CHECK(sum == sum_below(10'000));
    report_expectations();
}

TEST_CASE("threads: one channel joins the tasks of two runtimes") {
    for (const int capacity : {0, 3}) {
        CAPTURE(capacity);
        runtime left(options{.workers = 1});
        runtime right(options{.workers = 2});
        const auto there = make_chan<int>(capacity);
        const auto back = make_chan<int>(capacity);
        auto echo = right.spawn(
            [](chan<int> in, chan<int> out) -> task<> {
                for (;;) {
                    const auto got = co_await in.recv();
                    if (!got) break;
                    co_await out.send(*got + 1);
                }
                out.close();
            },
            there, back);
        const auto sum = left.block_on(
            [](chan<int> out, chan<int> in) -> task<long long> {
                long long total = 0;
                for (int i = 0; i < 3'000; ++i) {
                    co_await out.send(i);
                    const auto got = co_await select(in.recv(), sleep_for(1h));
                    EXPECT(got.index() == 0);
                    total += *std::get<0>(got) - 1;
                }
                out.close();
                const auto end = co_await in.recv();
                EXPECT(!end);
                co_return total;
            },
            there, back);
        echo.get();
        CHECK(sum == sum_below(3'000));
        report_expectations();
    }
}

TEST_CASE("threads: whoever is met in another runtime goes on in its own") {
    for (const bool raced : {false, true}) {
        const auto a = make_chan<std::int64_t>();
        const auto b = make_chan<std::int64_t>();
        runtime here(with_workers(1));
        runtime there(with_workers(1));
        const auto thread_id = []() -> task<std::thread::id> {
            co_return std::this_thread::get_id();
        };
        auto waiter = here.spawn(
            [](chan<std::int64_t> first, chan<std::int64_t> second,
               bool races) -> task<std::thread::id> {
                if (races) {
                    static_cast<void>(co_await select(first.recv(), second.recv()));
                } else {
                    static_cast<void>(co_await first.recv());
                }
                co_return std::this_thread::get_id();
            },
            a, b, raced);
        const std::thread::id home = here.spawn(thread_id).get();  // so the waiter waits
        there.block_on(
            [](chan<std::int64_t> to) -> task<> {
                for (int i = 0; i != 3'000; ++i)  // the channel's lock is biased to this worker
                    static_cast<void>(co_await select(to.recv(), otherwise));
                co_await to.send(1);
            },
            a);
        CHECK(waiter.get() == home);
    }
}

TEST_CASE("threads: they may go on sending, receiving and closing while a runtime shuts down") {
    const auto wait = [](chan<int> a, chan<int> b, int kind) -> task<> {
        try {
            for (;;) {
                if (kind == 0) {
                    static_cast<void>(co_await a.recv());
                } else if (kind == 1) {
                    co_await b.send(1);
                } else {
                    static_cast<void>(co_await select(a.recv(), b.send(2)));
                }
            }
        } catch (const channel_closed&) {
        }
    };
    for (int round = 0; round < 40; ++round) {
        const auto a = make_chan<int>(round % 2);
        const auto b = make_chan<int>();
        std::atomic<bool> stop{false};
        std::atomic<bool> begun{false};
        std::optional<runtime> rt(std::in_place, options{.workers = 2});
        for (int i = 0; i < 6; ++i) rt->go(wait, a, b, i % 3);
        std::thread meddler([&] {
            while (!stop.load()) {
                if (a.try_send(1)) begun = true;
                static_cast<void>(b.try_recv());
            }
            b.close();
        });
        while (!begun.load()) std::this_thread::yield();
        static_cast<void>(rt->shutdown(0s));
        rt.reset();
        stop = true;
        meddler.join();
        while (a.try_recv()) continue;
        CHECK_FALSE(b.try_recv());  // nobody is left in its line
    }
}
