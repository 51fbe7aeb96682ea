#include <sluice/patterns/leak_check.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::leak_check;
using sluice::task;

namespace {

task<> forgotten_sender(sluice::chan<int> to) {
    co_await to.send(1);
}

/// The mistake that a leak check is for: it stops listening, and the sender waits for ever.
task<> first_answer(sluice::chan<int> answers) {
    sluice::go(forgotten_sender, answers);
    sluice::go(forgotten_sender, answers);
    co_await answers.recv();
}

task<> bounded_sender(sluice::context ctx, sluice::chan<int> to) {
    static_cast<void>(co_await within(ctx, to.send(1)));
}

task<> first_answer_and_end(sluice::chan<int> answers) {
    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    sluice::go(bounded_sender, ctx, answers);
    sluice::go(bounded_sender, ctx, answers);
    co_await answers.recv();
}

task<> leaks_one() {
    const auto answers = sluice::make_chan<int>();
    const auto left = co_await leak_check(1s, first_answer, answers);
    EXPECT(left.size() == 1);
    if (left.size() == 1) {
        const std::string line = left.front().describe();
        EXPECT(line.find("forgotten_sender") != line.npos);
        EXPECT(line.find("waits for send on a channel") != line.npos);
        EXPECT(line.find("leak_check.cpp:") != line.npos);
    }
    co_await answers.recv();  // lets it go
}

task<> leaks_nothing() {
    const auto answers = sluice::make_chan<int>();
    const auto left = co_await leak_check(1s, first_answer_and_end, answers);
    EXPECT(left.empty());
}

}  // namespace

TEST_CASE("leak_check: a sender that nobody receives from is named, and where it waits") {
    on_real_workers(leaks_one);
    simulated(leaks_one, 1'000);
}

TEST_CASE("leak_check: tasks that their context ends are no leak, also if they take a moment") {
    on_real_workers(leaks_nothing);
    simulated(leaks_nothing, 1'000);
}

TEST_CASE("leak_check: what was there before and still is there is not reported") {
    on_workers([]() -> task<> {
        const auto early = sluice::make_chan<int>();
        sluice::wait_group group;
        group.go(forgotten_sender, early);
        const auto left = co_await leak_check(0s, [] {});
        EXPECT(left.empty());
        co_await early.recv();
        co_await group.wait();
    });
}

TEST_CASE(
    "leak_check: a task that sleeps for longer than the grace is found, one that does not is "
    "not") {
    simulated([]() -> task<> {
        const auto start_two = [] {
            sluice::go([]() -> task<> { co_await sluice::sleep_for(50ms); });
            sluice::go([]() -> task<> { co_await sluice::sleep_for(1h); });
        };
        const auto begin = sluice::now();
        const auto left = co_await leak_check(100ms, start_two);
        EXPECT(sluice::now() - begin == 100ms);
        EXPECT(left.size() == 1);
        EXPECT(left.front().waits_for.starts_with("a timer"));
        const auto both = co_await leak_check(49ms, start_two);
        EXPECT(both.size() == 2);
        EXPECT(both.front().started < both.back().started);
    });
}

TEST_CASE("leak_check: an exception of the work comes through") {
    on_workers([]() -> task<> {
        bool thrown = false;
        try {
            static_cast<void>(co_await leak_check(0s, [] { throw std::runtime_error("no"); }));
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        EXPECT(thrown);
    });
}

TEST_CASE("leak_check: cancelled at any step, bounded senders leave nothing behind") {
    simulated_cancelled([](sluice::context outer) -> task<> {
        const auto answers = sluice::make_chan<int>();
        const auto left = co_await leak_check(
            1s,
            [](sluice::context ctx, sluice::chan<int> to) -> task<> {
                for (int i = 0; i != 3; ++i) sluice::go(bounded_sender, ctx, to);
                for (int i = 0; i != 3; ++i) {
                    const auto got = co_await within(ctx, to.recv());
                    if (!got) EXPECT(ctx.err());
                }
            },
            outer, answers);
        EXPECT(left.empty());
    });
}
