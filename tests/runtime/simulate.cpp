#include <sluice/runtime/simulate.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/detail/environment.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

namespace {

/// The order in which ten tasks come to their second step.
task<std::string> shuffle() {
    std::string order;
    sluice::wait_group group;
    for (char c = 'a'; c != 'k'; ++c) {
        group.go([&order, c]() -> task<> {
            co_await sluice::yield();
            order += c;
        });
    }
    co_await group.wait();
    co_return order;
}

/// A small program of selects, timers and a context.
task<int> mixed() {
    const auto ch = sluice::make_chan<int>(1);
    auto [ctx, cancel] = sluice::with_timeout(sluice::background(), 5ms);
    sluice::wait_group group;
    int got = 0;
    group.go([ch, &got, c = ctx]() -> task<> {
        for (;;) {
            const auto r = co_await select(c.done(), ch.recv(), sluice::sleep_for(1ms));
            if (r.index() == 0) co_return;
            ++got;
        }
    });
    for (int sender = 0; sender != 3; ++sender) {
        group.go([ch]() -> task<> {
            for (int i = 0; i != 3; ++i) co_await ch.send(i);
        });
    }
    co_await group.wait();
    co_return got;
}

/// Reads, waits, writes back: an update is lost if another comes between.
task<> lossy(int* counter) {
    const int before = *counter;
    co_await sluice::yield();
    *counter = before + 1;
}

}  // namespace

TEST_CASE("simulate: the same seed gives the same order, others give others") {
    std::set<std::string> orders;
    sluice::simulator world;
    for (std::uint64_t seed = 0; seed != 200; ++seed) {
        const std::string order = world.run(seed, shuffle);
        const std::uint64_t trace = world.trace();
        CHECK(world.run(seed, shuffle) == order);
        CHECK(world.trace() == trace);
        CHECK(sluice::simulate({.seed = seed}, shuffle) == order);
        orders.insert(order);
    }
    CHECK(orders.size() > 190);
}

// With SLUICE_SEEDS, so many seeds: part of `./dev explore`.
TEST_CASE("simulate: equal seeds have equal traces, over 100,000 seeds") {
    const auto seeds =
        sluice::detail::number_from_environment<std::uint64_t>("SLUICE_SEEDS").value_or(100'000);
    sluice::simulator world;
    std::set<std::uint64_t> traces;
    for (std::uint64_t seed = 0; seed != seeds; ++seed) {
        const int got = world.run(seed, mixed);
        const std::uint64_t trace = world.trace();
        const auto elapsed = world.elapsed();
        REQUIRE(world.run(seed, mixed) == got);
        REQUIRE(world.trace() == trace);
        REQUIRE(world.elapsed() == elapsed);
        traces.insert(trace);
    }
    CHECK(traces.size() >= seeds / 100);
}

TEST_CASE("runtime 11.5: in virtual time the clock moves only when every task waits") {
    sluice::simulator world;
    const auto start = std::chrono::steady_clock::now();
    world.run(1, []() -> task<> {
        const auto begin = sluice::now();
        for (int i = 0; i != 1'000; ++i) co_await sluice::yield();
        EXPECT(sluice::now() == begin);
        co_await sluice::sleep_for(1h);
        EXPECT(sluice::now() == begin + 1h);
        sluice::wait_group group;
        for (int i = 0; i != 10; ++i) {
            group.go([begin, i]() -> task<> {
                co_await sluice::sleep_for(std::chrono::hours(i));
                EXPECT(sluice::now() == begin + 1h + std::chrono::hours(i));
            });
        }
        co_await group.wait();
        const auto late = co_await sluice::within(24h, sluice::chan<>().recv());
        EXPECT(late.error() == sluice::errc::deadline_exceeded);
        co_await sluice::sleep_until(begin + 100h);
        EXPECT(sluice::now() == begin + 100h);
    });
    report_expectations();
    CHECK(world.elapsed() == 100h);
    CHECK(std::chrono::steady_clock::now() - start < 1h);
}

TEST_CASE("simulate: tickers and contexts keep virtual time") {
    sluice::simulate({}, []() -> task<> {
        const auto begin = sluice::now();
        sluice::ticker every(10min);
        for (int i = 1; i != 7; ++i) {
            const auto tick = co_await every.recv();
            EXPECT(tick == begin + 10min * i);
        }
        auto [ctx, cancel] = sluice::with_timeout(sluice::background(), 1h);
        EXPECT(*ctx.deadline() == begin + 2h);
        co_await ctx.done();
        EXPECT(sluice::now() == begin + 2h);
        EXPECT(ctx.err() == sluice::errc::deadline_exceeded);
    });
    report_expectations();
}

namespace {

/// Waits a second for an answer that comes after a second.
task<> wait_a_second(std::set<bool>* in_time) {
    const auto begin = sluice::now();
    const auto answers = sluice::make_chan<int>(1);
    sluice::wait_group group;
    group.go([answers]() -> task<> {
        co_await sluice::sleep_for(1s);
        co_await answers.send(1);
    });
    const auto got = co_await sluice::within(1s, answers.recv());
    in_time->insert(got.has_value());
    EXPECT(sluice::now() == begin + 1s);
    co_await group.wait();
}

}  // namespace

TEST_CASE("simulate: an answer at the moment of its timeout comes in time, or too late") {
    std::set<bool> in_time;
    const auto program = [&in_time] { return wait_a_second(&in_time); };
    sluice::explore({.seeds = 100}, program);
    CHECK(in_time.size() == 2);
    in_time.clear();
    sluice::explore_all({.preemptions = 0}, program);
    CHECK(in_time.size() == 2);
    report_expectations();
}

TEST_CASE(
    "simulate: a task that a timer has woken runs before the next one of that moment, or after") {
    std::set<std::string> seen;
    const auto program = [&seen]() -> task<> {
        auto [ctx, cancel] = sluice::with_timeout(sluice::background(), 1s);
        const auto won = co_await select(sluice::sleep_for(1s), ctx.done());
        seen.insert(won.index() == 1 ? "cut" : ctx.err() ? "slept, and then cut" : "slept");
    };
    sluice::explore({.seeds = 100}, program);
    CHECK(seen.size() == 3);
    seen.clear();
    sluice::explore_all({.preemptions = 0}, program);
    CHECK(seen.size() == 3);
}

TEST_CASE("runtime 11.5: a deadlock in a simulation fails it, with who waits where on what") {
    std::string report;
    sluice::simulator world;
    for (int i = 0; i != 3; ++i) {
        try {
            world.run(7, []() -> task<> {
                sluice::mutex mu;
                const auto held = co_await mu.lock();
                const auto ch = sluice::make_chan<int>();
                sluice::go([](sluice::chan<int> to) -> task<> { co_await to.send(1); }, ch);
                co_await sluice::sleep_for(1s);
                static_cast<void>(co_await mu.lock());
            });
        } catch (const sluice::deadlock& stuck) {
            report = stuck.what();
        }
        CHECK(report.find("lock of a mutex") != std::string::npos);
        CHECK(report.find("send on a channel") != std::string::npos);
        CHECK(report.find("simulate.cpp") != std::string::npos);
        CHECK(world.run(7, shuffle).size() == 10);  // the simulator is fit for the next run
    }
}

TEST_CASE("simulate: a task that is left behind is a deadlock too, and is destroyed") {
    const auto token = std::make_shared<int>(0);
    sluice::simulator world;
    CHECK_THROWS_AS(world.run(1,
                              [token]() -> task<> {
                                  sluice::go([token]() -> task<> {
                                      static_cast<void>(co_await sluice::chan<>().recv());
                                  });
                                  co_return;
                              }),
                    sluice::deadlock);
    CHECK(token.use_count() == 1);
}

TEST_CASE("simulate: the main task's exception ends it; what is left is destroyed") {
    const auto token = std::make_shared<int>(0);
    sluice::simulator world;
    for (std::uint64_t seed = 0; seed != 100; ++seed) {
        CHECK_THROWS_AS(world.run(seed,
                                  [token]() -> task<> {
                                      for (int i = 0; i != 10; ++i) {
                                          sluice::go([token]() -> task<> {
                                              for (;;) co_await sluice::sleep_for(1ms);
                                          });
                                      }
                                      co_await sluice::sleep_for(10ms);
                                      throw std::runtime_error("over");
                                  }),
                        std::runtime_error);
        CHECK(token.use_count() == 1);
    }
}

TEST_CASE("explore: finds an order that loses an update, and names the seed that repeats it") {
    std::string repeat;
    const auto racy = []() -> task<> {
        int counter = 0;
        sluice::wait_group group;
        group.go(lossy, &counter);
        group.go(lossy, &counter);
        co_await group.wait();
        if (counter != 2) throw std::runtime_error("lost an update");
    };
    try {
        sluice::explore({.seeds = 1'000}, racy);
    } catch (const sluice::simulation_failure& failure) {
        repeat = failure.repeat();
        CHECK(failure.what() == "simulation with " + repeat + " failed: lost an update");
    }
    const std::string name = "SLUICE_SEED=";
    REQUIRE(repeat.compare(0, name.size(), name) == 0);
    const std::uint64_t seed = std::stoull(repeat.substr(name.size()));
    CHECK_THROWS_AS(sluice::simulate({.seed = seed}, racy), std::runtime_error);
}

namespace {

task<int> look(sluice::mutex* m, const int* balance) {
    const auto guard = co_await m->lock();
    co_return *balance;
}

// The bug: what was read under the lock is written under the next one.
task<> deposit(sluice::mutex* m, int* balance) {
    const int seen = co_await look(m, balance);
    const auto guard = co_await m->lock();
    *balance = seen + 1;
}

/// The second lock is bounded, raced, and raced at run time.
task<> deposit_within(sluice::mutex* m, int* balance) {
    const int seen = co_await look(m, balance);
    const auto guard = co_await within(sluice::background(), m->lock());
    *balance = seen + 1;
}
task<> deposit_in_select(sluice::mutex* m, int* balance) {
    const int seen = co_await look(m, balance);
    const auto guard = co_await select(m->lock(), sluice::sleep_for(1h));
    *balance = seen + 1;
}
task<> deposit_in_cases(sluice::mutex* m, int* balance) {
    const int seen = co_await look(m, balance);
    sluice::mutex_guard guard(nullptr);
    std::vector<sluice::select_case> cases;
    cases.push_back(sluice::select_case(m->lock(), guard));
    static_cast<void>(co_await select(std::span(cases)));
    *balance = seen + 1;
}

template <task<> (*Deposit)(sluice::mutex*, int*)>
task<> deposit_twice() {
    sluice::mutex m;
    int balance = 0;
    sluice::wait_group group;
    group.go(Deposit, &m, &balance);
    group.go(Deposit, &m, &balance);
    co_await group.wait();
    if (balance != 2) throw std::runtime_error("lost an update");
}

template <class Program>
void finds_a_lost_update(Program program) {
    CHECK_THROWS_AS(sluice::explore({.seeds = 1'000}, program), sluice::simulation_failure);
    CHECK_THROWS_AS(sluice::explore_all({}, program), sluice::simulation_failure);
}

}  // namespace

TEST_CASE("explore: finds what another task does between an unlock and the next lock") {
    finds_a_lost_update(deposit_twice<deposit>);
    finds_a_lost_update(deposit_twice<deposit_within>);
    finds_a_lost_update(deposit_twice<deposit_in_select>);
    finds_a_lost_update(deposit_twice<deposit_in_cases>);
}

TEST_CASE("explore: a detached task's exception, which ends the process, names the seed") {
    const child_end end = run_child([] {
        sluice::explore({.seed = 7, .seeds = 3}, []() -> task<> {
            sluice::wait_group group;
            group.go([]() -> task<> {
                co_await sluice::yield();
                throw std::runtime_error("too early");
            });
            co_await group.wait();
        });
    });
    CHECK(aborts_saying(end, "too early (repeat it with SLUICE_SEED=7)"));
}

TEST_CASE("explore_cancelled: so does misuse, with the step") {
    const child_end end = run_child([] {
        sluice::explore_cancelled({.seed = 7, .seeds = 1}, [](sluice::context) -> task<> {
            sluice::wait_group group;
            group.done();
            co_return;
        });
    });
    CHECK(aborts_saying(end, "negative (repeat it with SLUICE_SEED=7 SLUICE_CANCEL=1)"));
}

TEST_CASE("explore: SLUICE_SEEDS says how many seeds, and nonsense is refused") {
    const child_end end = run_child([] {
        const auto runs = [](const char* seeds) {
            ::setenv("SLUICE_SEEDS", seeds, 1);
            int n = 0;
            try {
                sluice::explore({.seeds = 5}, [&n]() -> task<> {
                    ++n;
                    co_return;
                });
            } catch (const std::invalid_argument& e) {
                std::fprintf(stderr, "%s\n", e.what());
                return -1;
            }
            return n;
        };
        const bool good = runs("7") == 7 && runs("") == 5 && runs("0") == 0 && runs("7x") == -1 &&
                          runs("-1") == -1;
        std::fputs(good ? "as expected\n" : "something else\n", stderr);
    });
    CHECK(end.exited());
    CHECK(end.errors.find("SLUICE_SEEDS is \"7x\", not a number") != std::string::npos);
    CHECK(end.errors.find("as expected") != std::string::npos);
}

// With SLUICE_SEEDS this is the search of `./dev explore`.
TEST_CASE("explore: a select of two channels and a context loses no value, in any order") {
    sluice::explore({.seeds = 20'000}, []() -> task<> {
        const auto a = sluice::make_chan<int>(1);
        const auto b = sluice::make_chan<int>();
        const auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        int sent = 0;
        int got = 0;
        sluice::wait_group group;
        group.go([&]() -> task<> {
            for (;;) {
                const auto won = co_await select(a.recv(), b.recv(), ctx.done());
                if (won.index() == 2) co_return;
                ++got;
            }
        });
        group.go([&]() -> task<> {
            const auto won = co_await select(a.send(1), ctx.done());
            if (won.index() == 0) ++sent;
        });
        group.go([&]() -> task<> {
            const auto won = co_await select(b.send(2), ctx.done());
            if (won.index() == 0) ++sent;
            cancel();
        });
        co_await group.wait();
        if (got + static_cast<int>(a.size()) != sent) throw std::runtime_error("lost a value");
    });
}

TEST_CASE("explore: a step that need not wait may still let others go first") {
    int split = 0;
    sluice::simulator world;
    for (std::uint64_t seed = 0; seed != 200; ++seed) {
        world.run(seed, [&split]() -> task<> {
            const auto ch = sluice::make_chan<int>(8);
            int sent = 0;
            sluice::wait_group group;
            group.go([ch, &sent]() -> task<> {
                for (; sent != 8; ++sent) co_await ch.send(sent);
            });
            group.go([&sent, &split]() -> task<> {
                if (sent != 0 && sent != 8) ++split;
                co_return;
            });
            co_await group.wait();
        });
    }
    CHECK(split > 20);
}

TEST_CASE("simulate: each ready case of a select is taken under some seed") {
    int taken[3] = {};
    sluice::simulator world;
    for (std::uint64_t seed = 0; seed != 300; ++seed) {
        ++taken[world.run(seed, []() -> task<std::size_t> {
            const auto a = sluice::make_chan<int>(1);
            const auto b = sluice::make_chan<int>(1);
            co_await a.send(1);
            co_await b.send(1);
            const auto r = co_await select(a.recv(), b.recv(), sluice::sleep_for(0s));
            co_return r.index();
        })];
    }
    for (const int n : taken) CHECK(n > 50);
}

TEST_CASE("simulate: blocking() runs its function at once") {
    const auto here = std::this_thread::get_id();
    sluice::simulate({}, [here]() -> task<> {
        const auto there = co_await sluice::blocking([] { return std::this_thread::get_id(); });
        EXPECT(there == here);
    });
    report_expectations();
}

TEST_CASE("simulate: simulations and real runtimes go side by side, each in its own time") {
    std::thread other([] {
        sluice::simulator world;
        for (std::uint64_t seed = 0; seed != 100; ++seed) {
            world.run(seed, []() -> task<> {
                const auto begin = sluice::now();
                co_await sluice::sleep_for(1h);
                EXPECT(sluice::now() - begin == 1h);
            });
        }
    });
    run_on(2, []() -> task<> {
        for (int i = 0; i != 20; ++i) {
            const auto begin = std::chrono::steady_clock::now();
            co_await sluice::sleep_for(1ms);
            const auto took = std::chrono::steady_clock::now() - begin;
            EXPECT(took >= 1ms);
        }
    });
    other.join();
    report_expectations();
}
