#include <sluice/patterns/fan_out.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "streams.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace streams;

namespace {

#if defined(SLUICE_ADDRESS_SANITIZER) || defined(SLUICE_THREAD_SANITIZER)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

constexpr std::size_t consumers = 3;
constexpr int values = 20;

/// The main program, with whatever happens to ctx.
task<> handle_all(context ctx) {
    auto in = make_chan<int>();
    int sent = 0;
    std::vector<std::atomic<int>> handled(values);
    std::atomic<int> at_once = 0;
    std::atomic<int> most = 0;
    wait_group producer;
    producer.go(produce<decltype(sent)>, ctx, in, values, &sent);
    auto handle = [&](int i) -> task<> {
        int now = ++at_once;
        for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        co_await yield();
        ++handled[static_cast<std::size_t>(i)];
        --at_once;
    };
    const auto ended = co_await fan_out(ctx, in, consumers, std::ref(handle));
    EXPECT(at_once == 0);
    EXPECT(most <= static_cast<int>(consumers));
    co_await producer.wait();
    // What was taken is handled, in every case.
    for (int i = 0; i < values; ++i) EXPECT(handled[static_cast<std::size_t>(i)] == (i < sent));
    if (ended) {
        EXPECT(sent == values);
    } else {
        EXPECT(ended.error() == errc::canceled);
        EXPECT(ctx.err() == errc::canceled);
    }
}

task<> sleep_long() {
    co_await sleep_for(10s);
}

task<> handle_to_the_end() {
    co_await handle_all(background());
}

}  // namespace

TEST_CASE("fan_out: each value is handled once, by one of the consumers") {
    simulated(handle_to_the_end, 1'000);
    on_real_workers(handle_to_the_end);
}

TEST_CASE("fan_out: a context cancelled at any moment ends it, and what was taken is handled") {
    simulated_cancelled(handle_all, 50);
}

TEST_CASE("fan_out: all consumers work at once, and a slow value holds up only its own") {
    simulated([]() -> task<> {
        std::vector<int> order;
        auto handle = [&order](int i) -> task<> {
            co_await sleep_for(i == 0 ? 100s : 1s);
            order.push_back(i);
        };
        const auto start = now();
        const auto ended = co_await fan_out(background(), closed_with(41), 3, std::ref(handle));
        EXPECT(ended.has_value());
        EXPECT(now() - start == 100s);
        EXPECT(order.size() == 41);
        EXPECT(order.back() == 0);
    });
}

TEST_CASE("fan_out: of a channel that is closed and empty ends at once, of a nil one with ctx") {
    simulated([]() -> task<> {
        auto never = [](int) { EXPECT(false); };
        const auto empty = co_await fan_out(background(), closed_with(0), 2, never);
        EXPECT(empty.has_value());
        auto [ctx, cancel] = with_timeout(background(), 1h);
        const auto start = now();
        const auto nil = co_await fan_out(ctx, recv_chan<int>(), 2, never);
        EXPECT(nil.error() == errc::deadline_exceeded);
        EXPECT(now() - start == 1h);
    });
}

TEST_CASE("fan_out: under a context that has ended takes nothing") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        auto in = closed_with(3);
        const auto ended = co_await fan_out(ctx, in, 2, [](int) { EXPECT(false); });
        EXPECT(ended.error() == errc::canceled);
        EXPECT(in.size() == 3);
    });
}

TEST_CASE("fan_out: no consumers are refused") {
    simulated([]() -> task<> {
        bool refused = false;
        try {
            static_cast<void>(fan_out(background(), closed_with(1), 0, [](int) {}));
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        EXPECT(refused);
        co_return;
    });
}

TEST_CASE(
    "fan_out: an error ends it, after what the others have in hand and before anything else") {
    simulated([]() -> task<> {
        auto in = closed_with(10);
        int finished = 0;
        auto handle = [&finished](int i) -> task<result<>> {
            if (i == 1) co_return fail(std::make_error_code(std::errc::io_error));
            co_await sleep_for(1s);
            ++finished;
            co_return result<>();
        };
        const auto start = now();
        const auto ended = co_await fan_out(background(), in, 3, std::ref(handle));
        EXPECT(ended.error() == std::errc::io_error);
        // At most one second: nobody took a second value.
        EXPECT(now() - start <= 1s);
        EXPECT(finished <= 2);
        EXPECT(in.size() + static_cast<std::size_t>(finished) + 1 == 10);
    });
}

TEST_CASE("fan_out: an exception ends it and is thrown as it came, from plain functions too") {
    on_workers([]() -> task<> {
        auto in = closed_with(10);
        int number = -1;
        try {
            static_cast<void>(co_await fan_out(background(), in, 1, [](int i) {
                if (i == 2) throw i;
            }));
        } catch (int thrown) {
            number = thrown;
        }
        EXPECT(number == 2);
        EXPECT(in.size() == 7);
    });
}

TEST_CASE("fan_out: the first of several failures is the one that counts") {
    simulated([]() -> task<> {
        auto fails = [](int i) -> task<result<int>> {
            co_await sleep_for(std::chrono::seconds(10 - i));
            if (i == 2) throw std::runtime_error("the first");
            co_return fail(std::make_error_code(std::errc::io_error));
        };
        bool first = false;
        try {
            static_cast<void>(co_await fan_out(background(), closed_with(3), 3, fails));
        } catch (const std::runtime_error& e) {
            first = std::string(e.what()) == "the first";
        }
        EXPECT(first);
    });
}

TEST_CASE("fan_out: after a failure the end of the context changes nothing") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 5s);
        auto handle = [](int i) -> task<result<>> {
            if (i == 0) co_return fail(std::make_error_code(std::errc::io_error));
            co_await sleep_for(10s);
            co_return result<>();
        };
        const auto ended = co_await fan_out(ctx, closed_with(2), 2, handle);
        EXPECT(ended.error() == std::errc::io_error);
    });
}

TEST_CASE("fan_out: when all values are handled the end of the context changes nothing either") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 5s);
        // One of the two sees the end of `in` while the other one works until after the deadline.
        auto slow = [](int) { return sleep_long(); };
        const auto ended = co_await fan_out(ctx, closed_with(1), 2, slow);
        EXPECT(ctx.err() == errc::deadline_exceeded);
        EXPECT(ended.has_value());
    });
}

TEST_CASE("fan_out: values may be move-only, and so may the function") {
    on_workers([]() -> task<> {
        auto in = make_chan<std::unique_ptr<int>>(2);
        in.try_send(std::make_unique<int>(1));
        in.try_send(std::make_unique<int>(2));
        in.close();
        std::atomic<int> sum = 0;
        auto add = [&sum, one = std::make_unique<int>(1)](std::unique_ptr<int> v) {
            sum += *v * *one;
        };
        const auto ended = co_await fan_out(background(), in, 2, std::move(add));
        EXPECT(ended.has_value());
        EXPECT(sum == 3);
    });
}

TEST_CASE("fan_out: the function may send to the channel that it is fed from") {
    on_workers([]() -> task<> {
        // A tree of work: each value n gives two of n - 1. The last one closes the channel.
        auto todo = make_chan<int>(64);
        std::atomic<int> open = 1;
        std::atomic<int> handled = 0;
        auto handle = [&](int n) -> task<> {
            ++handled;
            if (n > 0) {
                open += 2;
                co_await todo.send(n - 1);
                co_await todo.send(n - 1);
            }
            if (--open == 0) todo.close();
        };
        co_await todo.send(5);
        const auto ended = co_await fan_out(background(), todo, 3, std::ref(handle));
        EXPECT(ended.has_value());
        EXPECT(handled == 63);
    });
}

TEST_CASE("fan_out: tasks that are cut in the middle of it leave nothing behind") {
    struct gave_up {};
    for (const unsigned workers : {1U, 2U}) {
        options o;
        o.workers = workers;
        CHECK_THROWS_AS(run(o,
                            []() -> task<> {
                                auto in = make_chan<std::unique_ptr<int>>();
                                auto begun = make_chan<>();
                                auto hang = [begun](std::unique_ptr<int>) -> task<> {
                                    co_await begun.send();
                                    co_await recv_chan<>().recv();
                                };
                                go(
                                    [](recv_chan<std::unique_ptr<int>> from, auto fn) -> task<> {
                                        static_cast<void>(
                                            co_await fan_out(background(), from, 2, std::move(fn)));
                                    },
                                    in, std::move(hang));
                                co_await in.send(std::make_unique<int>(1));
                                co_await begun.recv();
                                throw gave_up();
                            }),
                        gave_up);
    }
}

namespace {

/// Counts those of its kind that hold a value; one that was moved from does not.
class counted_item {
public:
    explicit counted_item(std::atomic<int>* alive) noexcept : alive_(alive) { ++*alive_; }
    counted_item(counted_item&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
    counted_item& operator=(counted_item&&) = delete;
    ~counted_item() {
        if (alive_ != nullptr) --*alive_;
    }
    int alive() const noexcept { return *alive_; }

private:
    std::atomic<int>* alive_;
};

}  // namespace

TEST_CASE("fan_out: of a million values never more are alive than consumers and channel hold") {
    constexpr int many = sanitized ? 50'000 : 1'000'000;
    constexpr int at_work = 8;
    constexpr int buffer = 4;
    for (const unsigned workers : {1U, 2U}) {
        run_on(workers, []() -> task<> {
            std::atomic<int> alive = 0;
            std::atomic<int> most = 0;
            std::atomic<int> handled = 0;
            auto in = make_chan<counted_item>(buffer);
            wait_group producer;
            producer.go(
                [](chan<counted_item> to, std::atomic<int>* count) -> task<> {
                    for (int i = 0; i < many; ++i) co_await to.send(counted_item(count));
                    to.close();
                },
                in, &alive);
            auto handle = [&](counted_item item) -> task<> {
                const int now = item.alive();
                for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
                }
                ++handled;
                co_await yield();
            };
            const auto ended = co_await fan_out(background(), in, at_work, std::ref(handle));
            EXPECT(ended.has_value());
            EXPECT(handled == many);
            EXPECT(most <= at_work + buffer + 1);
            EXPECT(alive == 0);
            co_await producer.wait();
        });
    }
}
