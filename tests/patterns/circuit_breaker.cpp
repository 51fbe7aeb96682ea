#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <sluice/patterns/circuit_breaker.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "circuit_breaker_steps.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace circuit_breaker_steps;

namespace {

// A service that is down from its 5th call to its 40th, asked by clients that must not stop at
// that.
struct service {
    std::atomic<int> calls = 0;
};

task<result<int>> ask(context ctx, service* s) {
    const int n = ++s->calls;
    co_await yield();
    const auto slept = co_await within(ctx, sleep_for(0ms));
    if (!slept) co_return fail(slept.error());
    if (n >= 5 && n <= 40) co_return fail(down);
    co_return n;
}

struct tally {
    std::atomic<int> well = 0;
    std::atomic<int> badly = 0;
    std::atomic<int> refused = 0;
};

task<> client(circuit_breaker* b, service* s, tally* t, std::chrono::nanoseconds pause) {
    for (int answers = 0; answers < 10;) {
        const auto got = co_await b->call(ask, background(), s);
        if (got) {
            ++answers;
            ++t->well;
        } else if (got.error() == down) {
            ++t->badly;
        } else {
            ++t->refused;
            EXPECT(got.error() == refusal::circuit_open ||
                   got.error() == refusal::too_many_requests);
        }
        co_await yield();
        co_await sleep_for(pause);
    }
}

task<> an_outage(std::chrono::nanoseconds timeout, std::chrono::nanoseconds pause) {
    std::vector<circuit_state> states{circuit_state::closed};
    circuit_breaker b(trips_after(
        3, {.max_requests = 2,
            .timeout = timeout,
            .on_state_change = [&](const std::string&, circuit_state from, circuit_state to) {
                EXPECT(states.back() == from && from != to);
                states.push_back(to);
            }}));
    service s;
    tally t;
    wait_group clients;
    for (int i = 0; i < 4; ++i) clients.go(client, &b, &s, &t, pause);
    co_await clients.wait();
    EXPECT(t.well == 40);
    EXPECT(t.badly == 36);
    EXPECT(s.calls == t.well + t.badly);
    EXPECT(states.size() >= 4);
    for (std::size_t i = 1; i < states.size(); ++i)  // closed, open, half-open, and so on
        EXPECT((states[i] == circuit_state::half_open) == (states[i - 1] == circuit_state::open));
    const circuit_counts left = b.counts();
    EXPECT(left.requests == settled(left));
    EXPECT(b.state() == circuit_state::closed);
}

}  // namespace

TEST_CASE("circuit_breaker: an outage is noticed, waited for, and found to be over") {
    simulated([]() -> task<> { co_await an_outage(50ms, 10ms); }, 1'000);
    on_real_workers([]() -> task<> { co_await an_outage(1ns, 0ns); });
}

namespace {

task<> ask_until_cancelled(context ctx, circuit_breaker* b, service* s) {
    while (!ctx.err()) {
        const auto got = co_await b->call(ask, ctx, s);
        if (got && *got > 60) co_return;
        co_await yield();
        static_cast<void>(co_await within(ctx, sleep_for(20ms)));
    }
}

}  // namespace

TEST_CASE("circuit_breaker: callers that are cancelled leave no place taken and trip nothing") {
    simulated_cancelled([](context ctx) -> task<> {
        circuit_breaker b(trips_after(3, {.max_requests = 2, .timeout = 50ms}));
        service s;
        wait_group clients;
        for (int i = 0; i < 3; ++i) clients.go(ask_until_cancelled, ctx, &b, &s);
        co_await clients.wait();
        const circuit_counts left = b.counts();
        EXPECT(left.requests == settled(left));
        s.calls = 100;  // it is up
        co_await sleep_for(50ms);
        for (int i = 0; i < 2; ++i) {
            const auto got = co_await b.call(ask, background(), &s);
            EXPECT(got.has_value());
        }
        EXPECT(b.state() == circuit_state::closed);
    });
}

TEST_CASE("circuit_breaker 7.1: by default 6 failures in a row open it for 60 s") {
    simulated([]() -> task<> {
        circuit_breaker b;
        EXPECT(b.name().empty());
        co_await fail_often(b, 5);
        co_await work_often(b, 1);
        co_await fail_often(b, 5);
        co_await sleep_for(1000h);  // nothing is forgotten
        EXPECT(b.counts() == circuit_counts(11, 1, 10, 0, 0, 5));
        EXPECT(b.state() == circuit_state::closed);
        co_await fail_often(b, 1);
        EXPECT(b.state() == circuit_state::open);
        co_await sleep_for(60s - 1ns);
        EXPECT(b.state() == circuit_state::open);
        co_await sleep_for(1ns);
        EXPECT(b.state() == circuit_state::half_open);
        auto trial = admitted(b);
        EXPECT(refused(b) == refusal::too_many_requests);
        trial.done();
        EXPECT(b.state() == circuit_state::closed);
    });
}

TEST_CASE("circuit_breaker: settings that cannot be are refused at once") {
    CHECK_THROWS_AS(circuit_breaker({.max_requests = 0}), std::invalid_argument);
    CHECK_THROWS_AS(circuit_breaker({.timeout = 0s}), std::invalid_argument);
    CHECK_THROWS_AS(circuit_breaker({.timeout = -1s}), std::invalid_argument);
    CHECK_THROWS_AS(circuit_breaker({.interval = 10'001ms, .bucket_period = 1ms}),
                    std::invalid_argument);
    CHECK_THROWS_AS(circuit_breaker({.interval = 1h, .bucket_period = 1ns}), std::invalid_argument);
    CHECK(circuit_breaker({.interval = 10s, .bucket_period = 1ms}).counts() == circuit_counts());
    CHECK(circuit_breaker({.name = "db", .interval = -1s, .bucket_period = 1s}).name() == "db");
    CHECK(to_string(circuit_state::closed) == std::string("closed"));
    CHECK(to_string(circuit_state::open) == std::string("open"));
    CHECK(to_string(circuit_state::half_open) == std::string("half-open"));
}

TEST_CASE("circuit_breaker 7.1: an interval of zero or less never clears, with buckets or not") {
    simulated([]() -> task<> {
        for (const auto interval : {0ns, -5ns}) {
            circuit_breaker b({.interval = interval, .bucket_period = 1s});
            co_await fail_often(b, 4);
            co_await sleep_for(100h);
            EXPECT(b.counts() == circuit_counts(4, 0, 4, 0, 0, 4));
        }
    });
}

TEST_CASE("circuit_breaker 7.2: a window moves on by buckets, its length rounded up") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(100, {.interval = 25ms, .bucket_period = 10ms}));
        co_await fail_often(b, 1);
        co_await sleep_for(9ms);
        co_await fail_often(b, 1);
        co_await sleep_for(11ms);
        co_await fail_often(b, 3);
        EXPECT(b.counts() == circuit_counts(5, 0, 5, 0, 0, 5));
        co_await sleep_for(10ms - 1ns);
        EXPECT(b.counts() == circuit_counts(5, 0, 5, 0, 0, 5));
        co_await sleep_for(1ns);
        EXPECT(b.counts() == circuit_counts(3, 0, 3, 0, 0, 3));
        co_await work_often(b, 1);
        EXPECT(b.counts() == circuit_counts(4, 1, 3, 0, 1, 0));
        co_await sleep_for(20ms);
        EXPECT(b.counts() == circuit_counts(1, 1, 0, 0, 1, 0));
        co_await sleep_for(1h);
        EXPECT(b.counts() == circuit_counts());
    });
}

TEST_CASE("circuit_breaker 7.2: a window as short as its bucket is cleared as a whole") {
    simulated([]() -> task<> {
        circuit_breaker b({.interval = 3ms, .bucket_period = 10ms});
        co_await sleep_for(9ms);
        co_await fail_often(b, 2);
        EXPECT(b.counts().requests == 2);
        co_await sleep_for(1ms);
        EXPECT(b.counts() == circuit_counts());
    });
}

TEST_CASE("circuit_breaker 7.2: a result counts in the bucket that let its request in") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(2, {.interval = 20ms, .bucket_period = 10ms}));
        auto early = admitted(b);
        auto late = admitted(b);
        co_await sleep_for(10ms);
        early.done(down);
        EXPECT(b.counts() == circuit_counts(2, 0, 1, 0, 0, 1));
        co_await sleep_for(10ms);
        EXPECT(b.counts() == circuit_counts());  // with its request
        co_await fail_often(b, 1);
        late.done(down);  // would be the second
        EXPECT(b.state() == circuit_state::closed);
        EXPECT(b.counts() == circuit_counts(1, 0, 1, 0, 0, 1));
    });
}

namespace {

// What a window of 5 buckets must say, from the list of all that happened.
struct past {
    struct event {
        std::int64_t bucket;
        int kind;  // 0 success, 1 failure, 2 excluded
    };
    std::vector<event> events;

    circuit_counts now(std::int64_t bucket) const {
        circuit_counts c;
        std::size_t run = events.size();
        int run_kind = 2;
        while (run > 0 &&
               (events[run - 1].kind == 2 || run_kind == 2 || events[run - 1].kind == run_kind)) {
            --run;
            if (events[run].kind != 2) run_kind = events[run].kind;
        }
        for (std::size_t i = 0; i < events.size(); ++i) {
            if (events[i].bucket <= bucket - 5) continue;
            ++c.requests;
            c.total_successes += events[i].kind == 0;
            c.total_failures += events[i].kind == 1;
            c.total_exclusions += events[i].kind == 2;
            c.consecutive_successes += i >= run && events[i].kind == 0;
            c.consecutive_failures += i >= run && events[i].kind == 1;
        }
        return c;
    }
};

}  // namespace

TEST_CASE("circuit_breaker 7.2: a window counts what a list of all that happened says") {
    simulated(
        []() -> task<> {
            circuit_breaker b(trips_after(1'000, {.interval = 5s, .bucket_period = 1s}));
            past model;
            const auto start = now();
            for (int i = 0; i < 60; ++i) {
                const int kind = static_cast<int>(random_bits() % 3);
                const auto bucket = std::chrono::floor<std::chrono::seconds>(now() - start).count();
                auto ticket = admitted(b);
                if (kind == 0) ticket.done();
                if (kind == 1) ticket.done(down);
                if (kind == 2) ticket.done(errc::canceled);
                model.events.push_back({bucket, kind});
                EXPECT(b.counts() == model.now(bucket));
                co_await sleep_for(std::chrono::milliseconds(random_bits() % 1'500));
                if (random_bits() % 8 == 0) co_await sleep_for(7s);
            }
        },
        100);
}

TEST_CASE("circuit_breaker 7.3: every change of the state begins a generation, from zero") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(2, {.timeout = 1s}));
        auto old_success = admitted(b);
        auto old_failure = admitted(b);
        auto old_exclusion = admitted(b);
        co_await fail_often(b, 2);
        EXPECT(b.state() == circuit_state::open);
        EXPECT(b.counts() == circuit_counts());
        co_await sleep_for(1s);
        EXPECT(b.state() == circuit_state::half_open);
        EXPECT(b.counts() == circuit_counts());
        old_success.done();                  // does not close it
        old_failure.done(down);              // does not open it
        old_exclusion.done(errc::canceled);  // frees no place
        EXPECT(b.counts() == circuit_counts());
        EXPECT(b.state() == circuit_state::half_open);
        auto trial = admitted(b);
        trial.done();
        EXPECT(b.state() == circuit_state::closed);
        EXPECT(b.counts() == circuit_counts());
    });
}

TEST_CASE("circuit_breaker 7.3: an interval that is over begins a generation too") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(2, {.interval = 10ms}));
        co_await fail_often(b, 1);
        auto old = admitted(b);
        co_await sleep_for(10ms - 1ns);
        EXPECT(b.counts().total_failures == 1);
        co_await sleep_for(1ns);
        EXPECT(b.counts() == circuit_counts());
        co_await fail_often(b, 1);
        old.done(down);  // would be the second
        EXPECT(b.counts() == circuit_counts(1, 0, 1, 0, 0, 1));
        EXPECT(b.state() == circuit_state::closed);
        co_await sleep_for(9ms);
        co_await fail_often(b, 1);
        EXPECT(b.state() == circuit_state::open);
    });
}

TEST_CASE("circuit_breaker 7.4: open lets nothing in, half-open so many at once") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(1, {.max_requests = 2, .timeout = 1s}));
        co_await fail_often(b, 1);
        bool called = false;
        const auto got = co_await b.call([&called] { called = true; });
        EXPECT(!got && got.error() == refusal::circuit_open);
        EXPECT(refused(b) == refusal::circuit_open);
        co_await sleep_for(1s);
        auto first = admitted(b);
        auto second = admitted(b);
        const auto third = co_await b.call([&called] { called = true; });
        EXPECT(!third && third.error() == refusal::too_many_requests);
        EXPECT(!called);
        first.done();
        EXPECT(refused(b) == refusal::too_many_requests);  // two in all, not two at a time
        second.done();
        EXPECT(b.state() == circuit_state::closed);
        EXPECT(!refused(b));
    });
}

TEST_CASE("circuit_breaker 7.5: half-open, one failure opens it again, all successes close it") {
    simulated([]() -> task<> {
        circuit_breaker b(trips_after(1, {.max_requests = 3, .timeout = 1s}));
        co_await fail_often(b, 1);
        co_await sleep_for(1s);
        co_await work_often(b, 2);
        EXPECT(b.state() == circuit_state::half_open);
        co_await fail_often(b, 1);
        EXPECT(b.state() == circuit_state::open);
        co_await sleep_for(1s - 1ns);
        EXPECT(b.state() == circuit_state::open);  // for the whole time again
        co_await sleep_for(1ns);
        co_await work_often(b, 3);
        EXPECT(b.state() == circuit_state::closed);
    });
}

TEST_CASE("circuit_breaker 7.6: open turns to half-open when somebody looks, not before") {
    simulated([]() -> task<> {
        std::vector<circuit_state> told;
        const auto note = [&](const std::string&, circuit_state, circuit_state to) {
            told.push_back(to);
        };
        circuit_breaker b(trips_after(1, {.timeout = 1s, .on_state_change = note}));
        co_await fail_often(b, 1);
        co_await sleep_for(1h);
        EXPECT(b.counts() == circuit_counts());
        EXPECT(told == std::vector{circuit_state::open});
        EXPECT(b.state() == circuit_state::half_open);
        EXPECT(told.size() == 2);
        co_await fail_often(b, 1);
        co_await sleep_for(1h);
        co_await work_often(b, 1);  // a call looks too
        EXPECT(told == std::vector{circuit_state::open, circuit_state::half_open,
                                   circuit_state::open, circuit_state::half_open,
                                   circuit_state::closed});
    });
}

TEST_CASE("circuit_breaker 7.7: ready_to_trip sees the counts after a failure while closed") {
    simulated([]() -> task<> {
        std::vector<circuit_counts> seen;
        circuit_breaker b({.timeout = 1s, .ready_to_trip = [&](const circuit_counts& c) {
                               seen.push_back(c);
                               return c.total_failures == 2;
                           }});
        co_await work_often(b, 1);
        EXPECT(seen.empty());
        co_await fail_often(b, 1);
        co_await work_often(b, 1);
        co_await fail_often(b, 1);
        EXPECT(seen ==
               std::vector{circuit_counts(2, 1, 1, 0, 0, 1), circuit_counts(4, 2, 2, 0, 0, 1)});
        co_await sleep_for(1s);
        co_await fail_often(b, 1);
        EXPECT(b.state() == circuit_state::open);
        EXPECT(seen.size() == 2);
    });
}
