#include <sluice/runtime/simulate.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/cond.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

namespace {

task<> send_slowly(sluice::chan<int> to, int n) {
    for (int i = 0; i != n; ++i) {
        co_await sluice::sleep_for(1ms);
        co_await to.send(i);
    }
}

/// So many tasks, each of which lets others go first once.
task<> yielding(int tasks, std::set<std::string>* orders) {
    std::string order;
    sluice::wait_group group;
    for (int t = 0; t != tasks; ++t) {
        group.go([&order, t]() -> task<> {
            order += static_cast<char>('a' + t);
            co_await sluice::yield();
            order += static_cast<char>('A' + t);
        });
    }
    co_await group.wait();
    orders->insert(order);
}

/// One task takes three steps that need not wait, the other sees how far it is.
task<> three_steps(std::set<int>* seen) {
    const auto ch = sluice::make_chan<int>(3);
    int sent = 0;
    sluice::wait_group group;
    group.go([&sent, ch]() -> task<> {
        for (int i = 0; i != 3; ++i) {
            co_await ch.send(i);
            ++sent;
        }
    });
    group.go([&sent, seen]() -> task<> {
        seen->insert(sent);
        co_return;
    });
    co_await group.wait();
}

/// Two tasks lock two mutexes, each in its own order.
task<> crosswise() {
    sluice::mutex a;
    sluice::mutex b;
    const auto lock_both = [](sluice::mutex& first, sluice::mutex& second) -> task<> {
        const auto one = co_await first.lock();
        const auto two = co_await second.lock();
    };
    sluice::wait_group group;
    group.go(lock_both, std::ref(a), std::ref(b));
    group.go(lock_both, std::ref(b), std::ref(a));
    co_await group.wait();
}

/// Reads, takes a step that need not wait, writes back.
task<> lossy() {
    int counter = 0;
    const auto log = sluice::make_chan<int>(2);
    const auto add_one = [log](int& n) -> task<> {
        const int before = n;
        co_await log.send(before);
        n = before + 1;
    };
    sluice::wait_group group;
    group.go(add_one, std::ref(counter));
    group.go(add_one, std::ref(counter));
    co_await group.wait();
    if (counter != 2) throw std::runtime_error("lost an update");
}

std::string failure_of(const sluice::simulation& s, task<> (*program)()) {
    try {
        sluice::explore_all(s, program);
    } catch (const std::exception& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("explore_all: every order of tasks that give up their turn, each once") {
    for (const auto& [count, interleavings] : {std::pair(1, 1u), {2, 6u}, {3, 90u}, {4, 2520u}}) {
        std::set<std::string> orders;
        CHECK(sluice::explore_all({}, [tasks = count, &orders] {
                  return yielding(tasks, &orders);
              }) == interleavings);
        CHECK(orders.size() == interleavings);
    }
}

TEST_CASE("explore_all: a task that could go on is preempted as often as asked") {
    std::set<int> seen;
    const auto program = [&seen] { return three_steps(&seen); };
    CHECK(sluice::explore_all({.preemptions = 0}, program) == 2);
    CHECK(seen == std::set{0, 3});
    CHECK(sluice::explore_all({.preemptions = 1}, program) == 5);
    CHECK(seen == std::set{0, 1, 2, 3});
    CHECK(sluice::explore_all({.preemptions = 2}, program) == 5);
}

TEST_CASE("explore_all: each ready case of a select is taken") {
    for (const int ready : {1, 2, 3}) {
        std::set<std::size_t> taken;
        sluice::explore_all({}, [ready, &taken]() -> task<> {
            const auto a = sluice::make_chan<int>(1);
            const auto b = sluice::make_chan<int>(1);
            co_await a.send(1);
            if (ready > 1) co_await b.send(1);
            const auto pause = ready > 2 ? 0s : 1s;
            const auto won = co_await select(a.recv(), b.recv(), sluice::sleep_for(pause));
            taken.insert(won.index());
        });
        CHECK(taken.size() == static_cast<std::size_t>(ready));
        CHECK(taken.count(0) == 1);
    }
}

TEST_CASE("explore_all: what a select polls first makes no two orders where it waits") {
    CHECK(sluice::explore_all({.preemptions = 0}, []() -> task<> {
              const auto a = sluice::make_chan<int>();
              const auto b = sluice::make_chan<int>();
              sluice::go(send_slowly, a, 3);
              for (int i = 0; i != 3; ++i) co_await select(a.recv(), b.recv());
          }) == 1);
}

TEST_CASE("explore_all: nor do the orders that nested selects draw") {
    CHECK(sluice::explore_all({.preemptions = 0}, []() -> task<> {
              const auto a = sluice::make_chan<int>();
              const auto b = sluice::make_chan<int>();
              const auto c = sluice::make_chan<int>();
              sluice::go(send_slowly, a, 3);
              for (int i = 0; i != 3; ++i) co_await select(select(a.recv(), b.recv()), c.recv());
          }) == 1);
}

TEST_CASE("explore_all: a wait that draws nothing does not undo a choice before it") {
    std::set<std::size_t> taken;
    sluice::explore_all({.preemptions = 0}, [&taken]() -> task<> {
        const auto a = sluice::make_chan<int>(1);
        const auto b = sluice::make_chan<int>(1);
        co_await a.send(1);
        co_await b.send(1);
        const auto won = co_await select(a.recv(), b.recv());
        taken.insert(won.index());
        const auto none = sluice::make_chan<int>();
        const auto nothing = co_await within(1ms, none.recv());
        EXPECT(!nothing);
    });
    report_expectations();
    CHECK(taken == std::set<std::size_t>{0, 1});
}

TEST_CASE("explore_all: a select of no cases is no choice") {
    CHECK(sluice::explore_all({}, []() -> task<> {
              std::vector<sluice::select_case> none;
              const auto won = co_await select(std::span(none), sluice::otherwise);
              EXPECT(!won);
          }) == 1);
    report_expectations();
}

TEST_CASE(
    "explore_all: a lock that nobody disputes is a step like others, after which others run") {
    std::set<std::string> seen;
    const auto program = [&seen]() -> task<> {
        sluice::mutex m;
        const auto ch = sluice::make_chan<int>(2);
        sluice::wait_group group;
        group.go([&m, ch]() -> task<> {
            const auto held = co_await m.lock();
            co_await ch.send(1);
            co_await ch.send(2);
        });
        group.go([&m, ch, &seen]() -> task<> {
            seen.insert((m.try_lock().owns_lock() ? "free " : "held ") + std::to_string(ch.size()));
            co_return;
        });
        co_await group.wait();
    };
    sluice::explore_all({}, program);
    CHECK(seen == std::set<std::string>{"free 0", "held 0", "held 1", "held 2", "free 2"});
    seen.clear();
    sluice::explore({.seeds = 1'000}, program);
    CHECK(seen == std::set<std::string>{"free 0", "held 0", "held 1", "held 2", "free 2"});
}

TEST_CASE("explore_all: who waits for a condition has not been preempted") {
    std::set<std::string> orders;
    sluice::explore_all({.preemptions = 0}, [&orders]() -> task<> {
        sluice::mutex m;
        sluice::cond changed(m);
        std::string order;
        sluice::wait_group group;
        group.go([&]() -> task<> {
            auto guard = co_await m.lock();
            co_await changed.wait(guard, [&order] { return order.size() == 2; });
        });
        for (const char name : {'b', 'c'}) {
            group.go([&, name]() -> task<> {
                order += name;
                changed.broadcast();
                co_return;
            });
        }
        co_await group.wait();
        orders.insert(order);
    });
    CHECK(orders == std::set<std::string>{"bc", "cb"});
}

TEST_CASE("explore_all: a counterpart that finds two cases of a select takes either") {
    std::set<std::size_t> taken;
    sluice::explore_all({}, [&taken]() -> task<> {
        const auto ch = sluice::make_chan<int>();
        sluice::go([ch]() -> task<> { co_await ch.send(1); });
        const auto won = co_await select(ch.recv(), ch.recv());
        taken.insert(won.index());
    });
    CHECK(taken == std::set<std::size_t>{0, 1});
}

TEST_CASE("explore_all: a deadlock that needs one preemption") {
    CHECK(failure_of({.preemptions = 0}, crosswise).empty());
    const std::string failure = failure_of({.preemptions = 1}, crosswise);
    CHECK(failure.find("SLUICE_ORDER=") != std::string::npos);
    CHECK(failure.find("lock of a mutex") != std::string::npos);
}

TEST_CASE(
    "explore_all: SLUICE_ORDER repeats the order that failed, alone, and no other text will do") {
    const child_end end = run_child([] {
        std::string repeat;
        try {
            sluice::explore_all({}, lossy);
        } catch (const sluice::simulation_failure& failure) {
            repeat = failure.repeat();
        }
        std::fprintf(stderr, "found %s\n", repeat.c_str());
        const std::string name = "SLUICE_ORDER=";
        if (repeat.compare(0, name.size(), name) != 0) return;
        const std::string order = repeat.substr(name.size());
        for (const std::string& text : {order, std::string("0"), std::string("x"),
                                        std::string("0..1"), std::string("7"), order + ".1.1.1"}) {
            ::setenv("SLUICE_ORDER", text.c_str(), 1);
            int runs = 0;
            try {
                sluice::explore_all({}, [&runs] {
                    ++runs;
                    return lossy();
                });
                std::fprintf(stderr, "%d: passed\n", runs);
            } catch (const std::exception& e) {
                std::fprintf(stderr, "%d: %s\n", runs, e.what());
            }
        }
        ::setenv("SLUICE_ORDER", "0", 1);
        std::fprintf(stderr, "%s\n", failure_of({}, []() -> task<> {
                                         throw std::runtime_error("no choice");
                                         co_return;
                                     }).c_str());
        ::setenv("SLUICE_ORDER", "", 1);
        std::set<std::string> orders;
        std::fprintf(
            stderr, "all %d\n",
            static_cast<int>(sluice::explore_all({}, [&orders] { return yielding(2, &orders); })));
    });
    INFO(end.errors);
    CHECK(end.exited());
    const auto says = [&end](const char* text) {
        return end.errors.find(text) != std::string::npos;
    };
    CHECK(says("1: simulation with SLUICE_ORDER="));
    CHECK(says("failed: lost an update"));
    CHECK(says("1: passed"));
    CHECK(says("0: sluice: SLUICE_ORDER is \"x\", not numbers with dots between them"));
    CHECK(says("0: sluice: SLUICE_ORDER is \"0..1\", not"));
    CHECK(says("1: simulation with SLUICE_ORDER=7 failed: sluice: the program has no such order"));
    CHECK(says("with SLUICE_ORDER=0 failed: no choice"));
    CHECK(says("all 6"));
}

TEST_CASE("explore_all: a wait that starts over hides nobody's order, and has one of its own") {
    std::set<std::size_t> taken;
    const auto other = [&taken]() -> task<> {  // its select is the latest that was drawn
        sluice::mutex m;
        sluice::cond changed(m);
        bool done = false;
        sluice::wait_group group;
        const auto x = sluice::make_chan<int>(1);
        const auto y = sluice::make_chan<int>(1);
        group.go([&]() -> task<> {
            auto guard = co_await m.lock();
            co_await changed.wait(guard, [&] { return done; });
        });
        co_await sluice::sleep_for(1ms);
        x.try_send(1);
        y.try_send(1);
        const auto won = co_await sluice::select(x.recv(), y.recv());
        taken.insert(won.index());
        changed.broadcast();  // the waiter looks, in vain
        co_await sluice::sleep_for(1ms);
        done = true;
        changed.broadcast();
        co_await group.wait();
    };
    CHECK(sluice::explore_all({.preemptions = 0}, other) == 2);
    CHECK(taken == std::set<std::size_t>{0, 1});

    taken.clear();
    const auto its_own = [&taken]() -> task<> {
        sluice::mutex m;
        sluice::wait_group group;
        const auto x = sluice::make_chan<int>(1);
        const auto y = sluice::make_chan<int>(1);
        auto held = co_await m.lock();
        group.go([&]() -> task<> {
            const auto won = co_await sluice::select(m.lock(), x.recv(), y.recv());
            taken.insert(won.index());
        });
        co_await sluice::sleep_for(1ms);
        held.unlock();              // the lock has won the race …
        auto again = m.try_lock();  // … but comes too late
        x.try_send(1);
        y.try_send(1);
        co_await group.wait();
    };
    sluice::explore_all({.preemptions = 0}, its_own);
    CHECK(taken == std::set<std::size_t>{1, 2});
}

TEST_CASE("explore_all: more orders than expected are an error, not a search that ends early") {
    std::set<std::string> orders;
    const auto program = [&orders] { return yielding(3, &orders); };
    CHECK(sluice::explore_all({.max_orders = 90}, program) == 90);
    CHECK_THROWS_WITH(sluice::explore_all({.max_orders = 89}, program),
                      "sluice: a program has more than 89 orders");
}

TEST_CASE("explore_all: a program that differs by itself is found out") {
    std::set<std::string> orders;
    int runs = 0;
    try {
        sluice::explore_all({}, [&] { return yielding(++runs % 2 == 0 ? 3 : 2, &orders); });
        FAIL("no failure");
    } catch (const sluice::simulation_failure& failure) {
        CHECK(std::string(failure.what()).find("did not do the same") != std::string::npos);
    }
}
