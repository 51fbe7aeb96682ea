#include <sluice/patterns/single_flight.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const std::error_code down = std::make_error_code(std::errc::connection_refused);

using text_flights = single_flight<std::string, std::string>;
using result_text = result<flown<std::string>>;

// A source that is slow, and counts how it is used.
struct source {
    std::array<std::atomic<int>, 3> under_way = {};
    std::atomic<int> started = 0;
    std::atomic<int> ended = 0;
};

task<result<int>> look_up(source* s, int key) {
    ++s->started;
    auto& mine = s->under_way[static_cast<std::size_t>(key)];
    EXPECT(++mine == 1);
    co_await yield();
    co_await sleep_for(key == 0 ? 0ms : 1ms * key);
    --mine;
    ++s->ended;
    if (key == 2) co_return fail(down);
    co_return key * 10;
}

task<result<int>> look_up_without_sleep(source* s, int key) {
    ++s->started;
    auto& mine = s->under_way[static_cast<std::size_t>(key)];
    EXPECT(++mine == 1);
    for (int i = 0; i < 3; ++i) co_await yield();
    --mine;
    ++s->ended;
    if (key == 2) co_return fail(down);
    co_return key * 10;
}

using looking_up = task<result<int>> (*)(source*, int);

task<> reader(single_flight<int, int>* flights, looking_up how, source* s,
              std::atomic<int>* calls) {
    for (int i = 0; i < 10; ++i) {
        const int key = static_cast<int>(random_bits() % 3);
        const auto got = co_await flights->call(key, how, s, key);
        ++*calls;
        EXPECT(key == 2 ? !got && got.error() == down : got && got->value == key * 10);
    }
}

task<> many_readers(looking_up how) {
    single_flight<int, int> flights;
    source s;
    std::atomic<int> calls = 0;
    wait_group readers;
    for (int i = 0; i < 6; ++i) readers.go(reader, &flights, how, &s, &calls);
    co_await readers.wait();
    EXPECT(calls == 60);
    EXPECT(s.started == s.ended);
    EXPECT(s.started <= 60 && s.started >= 3);
}

}  // namespace

TEST_CASE("single_flight: readers of a slow source share what they ask for at the same time") {
    simulated([]() -> task<> { co_await many_readers(look_up); }, 1'000);
    on_real_workers([]() -> task<> { co_await many_readers(look_up_without_sleep); });
}

TEST_CASE("single_flight: a caller that is cancelled leaves, and its flight completes") {
    simulated_cancelled([](context ctx) -> task<> {
        single_flight<int, int> flights;
        source s;
        wait_group callers;
        int patient = 0;
        for (int i = 0; i < 3; ++i) {
            callers.go(
                [](context c, single_flight<int, int>* f, source* from, int key) -> task<> {
                    const auto got = co_await within(c, f->call(key, look_up, from, key));
                    EXPECT(got ? got->value == 10 : got.error() == errc::canceled);
                },
                ctx, &flights, &s, 1);
        }
        callers.go(
            [](single_flight<int, int>* f, source* from, int* answer) -> task<> {
                const auto got = co_await f->call(1, look_up, from, 1);
                *answer = got ? got->value : -1;
            },
            &flights, &s, &patient);
        co_await callers.wait();
        EXPECT(patient == 10);
        co_await sleep_for(1h);
        EXPECT(s.started == s.ended);
        EXPECT(s.started >= 1);
        const auto after = co_await flights.call(1, look_up, &s, 1);
        EXPECT(after && after->value == 10 && !after->shared);
    });
}

TEST_CASE("single_flight: after the last caller has left the flight still completes") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        source s;
        const auto late = co_await within(1ns, flights.call(1, look_up, &s, 1));
        EXPECT(!late && late.error() == errc::deadline_exceeded);
        EXPECT(s.ended == 0);
        auto joined = flights.call(1, look_up, &s, 1);  // still the same one
        co_await sleep_for(1ms);
        EXPECT(s.ended == 1);
        const auto got = co_await std::move(joined);
        EXPECT(got && got->shared && s.started == 1);
    });
}

TEST_CASE("single_flight 5.1: one call for a key is under way, those for others do not wait") {
    simulated([]() -> task<> {
        text_flights flights;
        chan<> gate = make_chan();
        int runs = 0;
        const auto slow = [&](std::string text) -> task<std::string> {
            ++runs;
            static_cast<void>(co_await gate.recv());
            co_return text;
        };
        auto first = flights.call("a", slow, std::string("first"));
        auto second = flights.call("a", slow, std::string("second"));
        const auto other = co_await flights.call("b", [] { return "other"; });
        EXPECT(other && other->value == "other");
        gate.close();
        const auto one = co_await std::move(first);
        const auto two = co_await std::move(second);
        EXPECT(runs == 1);
        EXPECT(one && one->value == "first");
        EXPECT(two && two->value == "first");
        const auto again = co_await flights.call("a", slow, std::string("again"));
        EXPECT(again && again->value == "again" && runs == 2);
    });
}

TEST_CASE("single_flight 5.2: whoever shares is told, the first caller too") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        const auto alone = co_await flights.call(1, [] { return 1; });
        EXPECT(alone && alone->value == 1 && !alone->shared);
        auto first = flights.call(1, [] { return 2; });
        auto second = flights.call(1, [] { return 3; });
        const auto one = co_await std::move(first);
        const auto two = co_await std::move(second);
        EXPECT(one && one->value == 2 && one->shared);
        EXPECT(two && two->value == 2 && two->shared);
        const auto afterwards = co_await flights.call(1, [] { return 4; });
        EXPECT(afterwards && afterwards->value == 4 && !afterwards->shared);
    });
}

TEST_CASE("single_flight 5.3: after forget the next call starts afresh") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        chan<> gate = make_chan();
        const auto slow = [&](int n) -> task<int> {
            static_cast<void>(co_await gate.recv());
            co_return n;
        };
        flights.forget(1);  // nothing to forget
        auto old = flights.call(1, slow, 1);
        flights.forget(1);
        auto fresh = flights.call(1, slow, 2);
        auto joined = flights.call(1, slow, 3);
        co_await gate.send();
        co_await gate.send();
        const auto a = co_await std::move(old);
        const auto b = co_await std::move(fresh);
        const auto c = co_await std::move(joined);
        EXPECT(a && a->value == 1 && !a->shared);
        EXPECT(b && b->value == 2 && b->shared);
        EXPECT(c && c->value == 2 && c->shared);
    });
}

TEST_CASE("single_flight 5.3: a forgotten flight that ends leaves the new one in place") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        chan<> old_gate = make_chan();
        chan<> new_gate = make_chan();
        const auto slow = [](chan<> gate, int n) -> task<int> {
            static_cast<void>(co_await gate.recv());
            co_return n;
        };
        auto old = flights.call(1, slow, old_gate, 1);
        flights.forget(1);
        auto fresh = flights.call(1, slow, new_gate, 2);
        old_gate.close();
        const auto a = co_await std::move(old);
        EXPECT(a && a->value == 1);
        auto joined = flights.call(1, slow, old_gate, 3);
        new_gate.close();
        const auto b = co_await std::move(joined);
        EXPECT(b && b->value == 2);
        static_cast<void>(co_await std::move(fresh));
    });
}

TEST_CASE("single_flight 5.4: an error code reaches every caller") {
    on_workers([]() -> task<> {
        single_flight<int, int> flights;
        auto first = flights.call(1, []() -> result<int> { return fail(down); });
        auto second = flights.call(1, []() -> result<int> { return fail(down); });
        const auto one = co_await std::move(first);
        const auto two = co_await std::move(second);
        EXPECT(!one && one.error() == down);
        EXPECT(!two && two.error() == down);
    });
}

TEST_CASE("single_flight 5.4: an exception reaches every caller, each in its own task") {
    // Kept until the workers have ended: ThreadSanitizer does not see the count of an exception, by
    // which the last of its owners, on whatever thread, comes after the others.
    std::array<std::exception_ptr, 4> kept;
    on_workers([&kept]() -> task<> {
        single_flight<int, int> flights;
        chan<> gate = make_chan();
        std::atomic<int> caught = 0;
        wait_group callers;
        for (std::exception_ptr& each : kept) {
            callers.go(
                [](single_flight<int, int>* f, chan<> g, std::atomic<int>* count,
                   std::exception_ptr* keep) -> task<> {
                    try {
                        static_cast<void>(co_await f->call(
                            7,
                            [](chan<> c) -> task<int> {
                                static_cast<void>(co_await c.recv());
                                throw std::runtime_error("no luck");
                            },
                            g));
                    } catch (const std::runtime_error& e) {
                        *count += e.what() == std::string_view("no luck");
                        *keep = std::current_exception();
                    }
                },
                &flights, gate, &caught, &each);
        }
        co_await yield();
        gate.close();
        co_await callers.wait();
        EXPECT(caught == 4);
    });
}

TEST_CASE("single_flight: an exception that nobody waits for any more is dropped") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        const auto late = co_await within(1ms, flights.call(1, []() -> task<int> {
            co_await sleep_for(1s);
            throw std::runtime_error("too late");
        }));
        EXPECT(!late && late.error() == errc::deadline_exceeded);
        co_await sleep_for(2s);
        const auto next = co_await flights.call(1, [] { return 1; });
        EXPECT(next && next->value == 1);
    });
}

TEST_CASE("single_flight: the object may go before its flights and their callers") {
    on_workers([]() -> task<> {
        std::optional<single_flight<int, int>> flights(std::in_place);
        chan<> gate = make_chan();
        auto waiting = flights->call(
            1,
            [](chan<> g) -> task<int> {
                static_cast<void>(co_await g.recv());
                co_return 5;
            },
            gate);
        flights.reset();
        gate.close();
        const auto got = co_await std::move(waiting);
        EXPECT(got && got->value == 5);
    });
}

TEST_CASE("single_flight: a flight may call for other keys, and again for its own once forgotten") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        const auto got = co_await flights.call(1, [&]() -> task<int> {
            const auto other = co_await flights.call(2, [] { return 20; });
            flights.forget(1);
            const auto own = co_await flights.call(1, [] { return 1; });
            co_return other->value + own->value;
        });
        EXPECT(got && got->value == 21 && !got->shared);
    });
}

TEST_CASE("single_flight: a call that loses a race has no effect on the flight") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        source s;
        auto raced = co_await select(flights.call(1, look_up, &s, 1), sleep_for(1us));
        EXPECT(raced.index() == 1);
        auto second = co_await select(flights.call(1, look_up, &s, 1), sleep_for(1h));
        const auto* got = std::get_if<0>(&second);
        EXPECT(got != nullptr && *got && (*got)->value == 10 && (*got)->shared);
        EXPECT(s.started == 1);
    });
}

TEST_CASE("single_flight: the function and its arguments are gone when the callers go on") {
    simulated([]() -> task<> {
        single_flight<int, int> flights;
        auto held = std::make_shared<int>(6);
        auto only = std::make_unique<int>(1);
        auto add = [held](std::unique_ptr<int> p) { return *held + *p; };
        const auto got = co_await flights.call(1, std::move(add), std::move(only));
        EXPECT(got && got->value == 7);
        EXPECT(held.use_count() == 1);
        auto first = flights.call(1, [] { return 1; });
        auto dropped = flights.call(1, [held] { return *held; });
        EXPECT(held.use_count() == 1);  // the second function is not kept
        static_cast<void>(co_await std::move(first));
        static_cast<void>(co_await std::move(dropped));
    });
}

TEST_CASE("single_flight: a flight that is cut by the runtime's end fails its callers") {
    single_flight<int, int> flights;
    std::optional<detail::flight_operation<int>> left;
    const auto program = [&]() -> task<> {
        left.emplace(flights.call(1, []() -> task<int> {
            co_await sleep_for(1h);
            co_return 1;
        }));
        co_await yield();
        throw std::runtime_error("the end");
    };
    CHECK_THROWS_AS(simulate({}, program), std::runtime_error);
    std::error_code why;
    try {
        static_cast<void>(left->take(0));
    } catch (const std::system_error& e) {
        why = e.code();
    }
    CHECK(why == errc::canceled);
    simulated([&]() -> task<> {
        const auto got = co_await flights.call(1, [] { return 3; });
        EXPECT(got && got->value == 3 && !got->shared);  // the key is free again
    });
}

TEST_CASE("single_flight: a call outside of tasks throws and leaves the key free") {
    single_flight<int, int> flights;
    CHECK_THROWS_AS(flights.call(1, [] { return 1; }), std::logic_error);
    simulated([&]() -> task<> {
        const auto got = co_await flights.call(1, [] { return 2; });
        EXPECT(got && got->value == 2 && !got->shared);
    });
}

TEST_CASE("single_flight: a hash of one's own") {
    simulated([]() -> task<> {
        single_flight<std::string, int, std::hash<std::string>> flights(std::hash<std::string>{});
        const auto got = co_await flights.call("key", [] { return 1; });
        EXPECT(got && got->value == 1);
    });
}

TEST_CASE("single_flight 5.1: callers on any worker find the same flight") {
    on_workers([]() -> task<> {
        single_flight<int, int> flights;
        for (int round = 0; round < 50; ++round) {
            chan<> gate = make_chan();
            std::atomic<int> runs = 0;
            std::atomic<int> joined = 0;
            wait_group all;
            for (int i = 0; i < 4; ++i) {
                all.go(
                    [](single_flight<int, int>* f, chan<> g, std::atomic<int>* ran,
                       std::atomic<int>* in) -> task<> {
                        auto op = f->call(
                            0,
                            [](chan<> c, std::atomic<int>* count) -> task<int> {
                                static_cast<void>(co_await c.recv());
                                co_return ++*count;
                            },
                            g, ran);
                        if (++*in == 4) g.close();
                        const auto got = co_await std::move(op);
                        EXPECT(got && got->value == 1 && got->shared);
                    },
                    &flights, gate, &runs, &joined);
            }
            co_await all.wait();
            EXPECT(runs == 1);
        }
    });
}
