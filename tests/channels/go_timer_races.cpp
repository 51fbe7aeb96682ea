// What Go's own tests of timers assert where several receive at once, and where nobody ever waits:
// see docs/go-tests.md.
#include <sluice/channels/timer.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <type_traits>

#include <sluice/channels/after.hpp>
#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

template <class Source>
constexpr bool is_ticker = std::is_same_v<Source, ticker>;

/// Whether there is something to receive now.
template <class Source>
task<bool> has_fired(const Source& s) {
    const auto got = co_await select(s.recv(), otherwise);
    co_return got.index() == 0;
}

/// Whether there is within 10 ms.
template <class Source>
task<bool> fires(const Source& s) {
    const auto got = co_await within(10ms, s.recv());
    co_return got.has_value();
}

template <class Source>
task<> receive_or_stop(const Source* s, chan<> stop, int* received) {
    const auto got = co_await select(s->recv(), stop.recv());
    *received += got.index() == 0;
}

template <class Source>
task<> nothing_old_is_received() {
    const Source s(1h);
    s.stop();
    bool fired = co_await has_fired(s);
    EXPECT(!fired);
    s.reset(1h);
    fired = co_await has_fired(s);
    EXPECT(!fired);
    s.reset(1ms);
    fired = co_await fires(s);
    EXPECT(fired);
    co_await sleep_for(10ms);  // a ticker has ticked again
    s.reset(1h);
    fired = co_await has_fired(s);
    EXPECT(!fired);
    s.reset(1ms);
    co_await sleep_for(10ms);
    s.stop();
    fired = co_await has_fired(s);
    EXPECT(!fired);
}

template <class Source>
task<> resets_reach_who_waits() {
    const Source s(1h);
    bool received = false;
    wait_group all;
    all.go(
        [](const Source* from, bool* done) -> task<> {
            co_await from->recv();
            *done = true;
        },
        &s, &received);
    co_await sleep_for(10ms);
    EXPECT(!received);
    s.reset(2h);
    co_await sleep_for(10ms);
    EXPECT(!received);
    s.reset(1ms);
    co_await sleep_for(1ms + 500us);
    EXPECT(received);
    co_await all.wait();
    const bool again = co_await fires(s);
    EXPECT(again == is_ticker<Source>);
    s.stop();
    const bool after_stop = co_await fires(s);
    EXPECT(!after_stop);
}

template <class Source>
task<> one_firing_is_received_once() {
    const Source s(1h);
    int received = 0;
    const auto stop = make_chan<>();
    wait_group all;
    for (int i = 0; i < 2; ++i) all.go(receive_or_stop<Source>, &s, stop, &received);
    co_await sleep_for(10ms);
    EXPECT(received == 0);
    s.reset(5ms);
    co_await sleep_for(7ms);
    EXPECT(received == 1);
    s.stop();
    co_await sleep_for(10ms);
    EXPECT(received == 1);
    stop.close();
    co_await all.wait();
    // Those who wait on a stopped one are not served either.
    const auto stop_again = make_chan<>();
    for (int i = 0; i < 2; ++i) all.go(receive_or_stop<Source>, &s, stop_again, &received);
    co_await sleep_for(10ms);
    stop_again.close();
    co_await all.wait();
    EXPECT(received == 1);
}

}  // namespace

TEST_CASE("timer 9.1: stop and reset leave nothing old to receive, fired or not") {
    simulated(nothing_old_is_received<timer>);
    simulated(nothing_old_is_received<ticker>);
}

TEST_CASE("timer: resets, far away and close, reach who waits in a receive") {
    simulated(resets_reach_who_waits<timer>);
    simulated(resets_reach_who_waits<ticker>);
}

TEST_CASE("timer: of two that wait one receives a firing, and none once it is stopped") {
    simulated(one_firing_is_received_once<timer>);
    simulated(one_firing_is_received_once<ticker>);
}

TEST_CASE("timer: stop and reset are true as long as a firing has not been received") {
    simulated([]() -> task<> {
        const timer t(1ms);
        co_await sleep_for(10ms);
        EXPECT(t.stop());
        EXPECT(!t.reset(1h));
        EXPECT(t.reset(1ms));
        const bool fired = co_await fires(t);
        EXPECT(fired);
        EXPECT(!t.reset(1h));
        const bool again = co_await has_fired(t);
        EXPECT(!again);
    });
}

namespace {

// Of two timers that are due at once one is received: whether the other has fired by then or not,
// it can be taken back, and is then gone.
task<> receive_one_of_two(int rounds, bool stops) {
    for (int i = 0; i < rounds; ++i) {
        const timer first(1ms);
        const timer second(1ms);
        const auto got = co_await select(first.recv(), second.recv());
        const timer& other = got.index() == 0 ? second : first;
        EXPECT(stops ? other.stop() : other.reset(1h));
        const bool fired = co_await has_fired(other);
        EXPECT(!fired);
    }
}

task<> many_receive_one_of_two(int tasks, int rounds) {
    for (const bool stops : {true, false}) {
        wait_group all;
        for (int i = 0; i < tasks; ++i) all.go(receive_one_of_two, rounds, stops);
        co_await all.wait();
    }
}

}  // namespace

TEST_CASE("timer: stop and reset say rightly whether one that is just due can be received") {
    on_real_workers([]() -> task<> { return many_receive_one_of_two(200, 20); });
    simulated([]() -> task<> { return many_receive_one_of_two(10, 10); });
}

TEST_CASE("ticker: of one of a nanosecond ten tasks receive, and a sleeper is not held up") {
    on_workers([]() -> task<> {
        const ticker t(1ns);
        wait_group receivers;
        wait_group sleeper;
        std::atomic<bool> stop = false;
        sleeper.go(
            [](const std::atomic<bool>* end) -> task<> {
                while (!*end) co_await sleep_for(1ns);
            },
            &stop);
        for (int i = 0; i < 10; ++i) {
            receivers.go(
                [](const ticker* from) -> task<> {
                    for (int n = 0; n < 100; ++n) co_await from->recv();
                },
                &t);
        }
        co_await receivers.wait();
        t.stop();
        stop = true;
        co_await sleeper.wait();
    });
}

TEST_CASE("ticker: many that wake for the same tick, or give up, all go on") {
    on_real_workers([]() -> task<> {
        const ticker t(1us);
        wait_group all;
        for (int i = 0; i < 4; ++i) {
            all.go(
                [](const ticker* from) -> task<> {
                    for (int n = 0; n < 5'000; ++n)
                        static_cast<void>(co_await select(from->recv(), after(1ms)));
                },
                &t);
        }
        co_await all.wait();
    });
}

TEST_CASE("timer: many that receive and reset the same one at once leave it whole") {
    on_workers([]() -> task<> {
        const timer t(1ns);
        wait_group all;
        for (int i = 0; i < 4; ++i) {
            all.go(
                [](const timer* of) -> task<> {
                    for (int n = 0; n < 2'000; ++n) {
                        static_cast<void>(co_await select(of->recv(), otherwise));
                        static_cast<void>(of->reset(1ns));
                        if (n % 8 == 0) co_await yield();
                    }
                },
                &t);
        }
        co_await all.wait();
        static_cast<void>(t.reset(1ns));
        const bool fired = co_await fires(t);
        const bool again = co_await has_fired(t);
        EXPECT(fired && !again);
    });
}

// Here there is always a task that can go on, so that virtual time would stand still.

TEST_CASE("timer: a case of a select whose other case is always ready is taken in time") {
    on_real_workers([]() -> task<> {
        const auto busy = make_chan<bool>();
        const auto done = make_chan<>();
        wait_group senders;
        for (int i = 0; i < 2; ++i) {
            senders.go(
                [](chan<bool> to, chan<> end) -> task<> {
                    for (std::size_t won = 0; won == 0;) {
                        const auto got = co_await select(to.send(true), end.recv());
                        won = got.index();
                    }
                },
                busy, done);
        }
        const timer t(5ms);
        for (std::size_t won = 0; won == 0;) {
            const auto got = co_await select(busy.recv(), t.recv());
            won = got.index();
        }
        done.close();
        co_await senders.wait();
    });
}

TEST_CASE("timer: two that send to and receive from each other all the time see theirs fire") {
    on_real_workers([]() -> task<> {
        const auto busy = make_chan<bool>();
        wait_group both;
        const auto done = make_chan<>(2);
        for (int i = 0; i < 2; ++i) {
            both.go(
                [](chan<bool> with, chan<> end) -> task<> {
                    const timer t(5ms);
                    for (std::size_t won = 0; won != 2;) {
                        const auto got = co_await select(with.send(true), with.recv(), t.recv());
                        won = got.index();
                    }
                    co_await end.send();
                },
                busy, done);
        }
        for (int i = 0; i < 2; ++i) static_cast<void>(co_await done.recv());
        co_await both.wait();
    });
}

TEST_CASE("sleep_for: a sleeper runs in time although of two others one is always ready") {
    on_real_workers([]() -> task<> {
        const auto ch = make_chan<bool>(1);
        std::atomic<bool> stop = false;
        wait_group both;
        both.go(
            [](chan<bool> to, const std::atomic<bool>* end) -> task<> {
                while (!*end) co_await to.send(true);
                to.close();
            },
            ch, &stop);
        both.go(
            [](chan<bool> from) -> task<> {
                for (bool open = true; open;) {
                    const auto got = co_await from.recv();
                    open = got.has_value();
                }
            },
            ch);
        go(
            [](std::atomic<bool>* end) -> task<> {
                co_await sleep_for(1us);
                *end = true;
            },
            &stop);
        co_await both.wait();
    });
}
