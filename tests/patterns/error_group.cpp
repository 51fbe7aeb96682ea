#include <sluice/patterns/error_group.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "error_group_steps.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::errc;
using sluice::error_group;
using sluice::result;
using sluice::task;
using namespace error_group_steps;

namespace {

const std::error_code broken_pipe = std::make_error_code(std::errc::broken_pipe);

task<result<>> fails_with(std::error_code code) {
    co_await sluice::yield();
    co_return sluice::fail(code);
}

task<> throws(std::string text) {
    co_await sluice::yield();
    throw std::runtime_error(text);
}

/// What the wait of a group throws; empty if it throws nothing.
task<std::string> thrown_by_wait(error_group* group) {
    std::string text;
    try {
        static_cast<void>(co_await group->wait());
    } catch (const std::runtime_error& e) {
        text = e.what();
    }
    co_return text;
}

/// Ten parts, three at a time; part `bad` fails, and what has begun by then is cancelled.
struct crew {
    std::atomic<int> started{0};
    std::atomic<int> done{0};
    std::atomic<int> cancelled{0};
    std::atomic<int> at_work{0};
    int bad = -1;
};

task<result<>> part(context ctx, crew* c, int i) {
    ++c->started;
    EXPECT(++c->at_work <= 3);
    std::error_code error;
    for (int step = 0; step != 3 && !error; ++step) {
        co_await sluice::yield();
        error = ctx.err();
    }
    --c->at_work;
    if (i == c->bad) co_return sluice::fail(io_error);
    ++(error ? c->cancelled : c->done);
    if (error) co_return sluice::fail(error);
    co_return {};
}

task<result<>> all_parts(context ctx, crew* c) {
    error_group group(ctx);
    group.set_limit(3);
    for (int i = 0; i != 10; ++i) {
        const auto admitted = co_await within(group.ctx(), group.go(part, group.ctx(), c, i));
        if (!admitted) break;
    }
    const auto outcome = co_await group.wait();
    EXPECT(c->at_work == 0);
    EXPECT(group.ctx().err() == errc::canceled);
    if (!outcome) EXPECT(group.ctx().cause() == sluice::failure(outcome.error()));
    co_return outcome;
}

task<> good_and_bad_crew() {
    crew good;
    const auto all = co_await all_parts(background(), &good);
    EXPECT(all.has_value());
    EXPECT(good.done == 10);
    crew bad;
    bad.bad = 4;
    const auto some = co_await all_parts(background(), &bad);
    EXPECT(!some && some.error() == io_error);
    EXPECT(bad.done + bad.cancelled + 1 == bad.started);
    EXPECT(bad.started >= 5);
}

}  // namespace

TEST_CASE("error_group: parts of one answer, a few at a time, in any order of the tasks") {
    simulated(good_and_bad_crew, 1'000);
}

TEST_CASE("error_group: the same on real workers") {
    on_real_workers([]() -> task<> {
        for (int round = 0; round != 200; ++round) co_await good_and_bad_crew();
    });
}

TEST_CASE("error_group: whenever its parent ends, each task that started has ended after wait") {
    simulated_cancelled([](context ctx) -> task<> {
        crew c;
        const auto outcome = co_await all_parts(ctx, &c);
        EXPECT(c.started == c.done + c.cancelled);
        if (outcome) EXPECT((c.cancelled == 0));
        if (!ctx.err()) EXPECT((outcome.has_value() && c.done == 10));
    });
}

TEST_CASE("error_group 5.1: a plain group has no limit, and a failure stops nobody") {
    simulated([]() -> task<> {
        error_group group;
        int ended = 0;
        EXPECT(!group.ctx().deadline());
        for (int i = 0; i != 1'000; ++i) {
            const bool started = group.try_go([&ended]() -> task<> {
                co_await sluice::sleep_for(1h);
                ++ended;
            });
            EXPECT(started);
        }
        co_await group.go(fails_with, io_error);
        co_await sluice::sleep_for(1min);
        EXPECT(!group.ctx().err());
        EXPECT(ended == 0);
        const auto outcome = co_await group.wait();
        EXPECT(!outcome && outcome.error() == io_error);
        EXPECT(ended == 1'000);
        EXPECT(!group.ctx().err());
    });
}

TEST_CASE("error_group 5.1: the first failure ends the context, at once and with itself as cause") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        error_group group(background());
        co_await group.go(until_the_end_of, group.ctx());
        co_await group.go(fails_after, group.ctx(), 3s, io_error);
        co_await group.go(fails_after, group.ctx(), 5s, broken_pipe);
        co_await group.ctx().done();
        EXPECT(sluice::now() - start == 3s);
        EXPECT(group.ctx().err() == errc::canceled);
        EXPECT(group.ctx().cause() == sluice::failure(io_error));
        const auto outcome = co_await group.wait();
        EXPECT(!outcome && outcome.error() == io_error);
        EXPECT(sluice::now() - start == 3s);
    });
}

TEST_CASE("error_group 5.1: the context ends when wait has returned, without a failure too") {
    on_workers([]() -> task<> {
        error_group group(background());
        const context ctx = group.ctx();
        co_await group.go([] {});
        const auto timed = co_await within(1h, group.wait());
        EXPECT(timed.has_value());
        EXPECT(ctx.err() == errc::canceled);
        EXPECT(ctx.cause().code() == errc::canceled);
    });
}

TEST_CASE("error_group 5.1: nobody in it, and wait need not wait") {
    on_workers([]() -> task<> {
        error_group plain;
        EXPECT((co_await plain.wait()).has_value());
        error_group group(background());
        const auto got = co_await select(group.wait(), sluice::otherwise);
        EXPECT((got.index() == 0 && std::get<0>(got).has_value()));
        EXPECT(group.ctx().err() == errc::canceled);
    });
}

TEST_CASE("error_group 5.1: its context ends with the parent, and has its values") {
    simulated([]() -> task<> {
        static const sluice::context_key<int> key;
        auto [parent, cancel] = with_cancel_cause(with_value(background(), key, 7));
        error_group group(parent);
        co_await group.go(until_the_end_of, group.ctx());
        const int* const value = group.ctx().value(key);
        EXPECT((value != nullptr && *value == 7));
        cancel(broken_pipe);
        const auto outcome = co_await group.wait();
        EXPECT(!outcome && outcome.error() == errc::canceled);
        EXPECT(group.ctx().cause() == sluice::failure(broken_pipe));
    });
}

TEST_CASE("error_group 5.2: wait waits for all tasks and gives the first failure") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        error_group group;
        co_await group.go(fails_after, background(), 3s, broken_pipe);
        co_await group.go(fails_after, background(), 1s, io_error);
        co_await group.go(fails_after, background(), 2s, std::error_code(errc::canceled));
        co_await group.go([]() -> task<> { co_await sluice::sleep_for(10s); });
        const auto outcome = co_await group.wait();
        EXPECT(!outcome && outcome.error() == io_error);
        EXPECT(sluice::now() - start == 10s);
        const auto again = co_await group.wait();
        EXPECT(!again && again.error() == io_error);
    });
}

TEST_CASE("error_group 5.2: any number of tasks may wait, and each is told") {
    on_workers([]() -> task<> {
        error_group group;
        sluice::wait_group waiters;
        std::atomic<int> told{0};
        std::atomic<bool> ended{false};
        const auto open = sluice::make_chan<>();
        co_await group.go(
            [&ended](sluice::chan<> gate) -> task<result<>> {
                static_cast<void>(co_await gate.recv());
                ended = true;
                co_return sluice::fail(io_error);
            },
            open);
        for (int i = 0; i != 50; ++i) {
            waiters.go([&]() -> task<> {
                const auto outcome = co_await group.wait();
                EXPECT(ended);
                if (!outcome && outcome.error() == io_error) ++told;
            });
        }
        co_await sluice::yield();
        EXPECT(told == 0);
        open.close();
        co_await waiters.wait();
        EXPECT(told == 50);
    });
}

TEST_CASE(
    "error_group 5.2: what the tasks did is visible after wait, and what they owned is gone") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 200; ++round) {
            error_group group;
            int plain[4] = {};
            const auto token = std::make_shared<int>(1);
            for (int& p : plain) {
                group.try_go(
                    [token](int* to) -> task<> {
                        *to = *token;
                        co_return;
                    },
                    &p);
            }
            const auto outcome = co_await group.wait();
            EXPECT(outcome.has_value());
            EXPECT(plain[0] + plain[1] + plain[2] + plain[3] == 4);
            EXPECT(token.use_count() == 1);
        }
    });
}

TEST_CASE("error_group 5.3: at the limit go waits, and try_go says no and takes nothing") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        error_group group;
        group.set_limit(2);
        int at_work = 0;
        const auto work = [&at_work](std::unique_ptr<int> seconds) -> task<> {
            EXPECT(++at_work <= 2);
            co_await sluice::sleep_for(std::chrono::seconds(*seconds));
            --at_work;
        };
        auto third = std::make_unique<int>(1);
        EXPECT(group.try_go(work, std::make_unique<int>(2)));
        EXPECT(group.try_go(work, std::make_unique<int>(5)));
        EXPECT(!group.try_go(work, std::move(third)));
        if (!EXPECT(third != nullptr)) co_return;
        co_await group.go(work, std::move(third));
        EXPECT(sluice::now() - start == 2s);
        EXPECT(!group.try_go(work, std::make_unique<int>(1)));
        co_await sluice::sleep_for(2s);
        EXPECT(group.try_go(work, std::make_unique<int>(1)));
        EXPECT((co_await group.wait()).has_value());
        EXPECT(sluice::now() - start == 5s);
    });
}

TEST_CASE("error_group 5.3: slots are given first come first served") {
    simulated([]() -> task<> {
        error_group group;
        group.set_limit(1);
        std::vector<int> order;
        const auto work = [&order](int i) -> task<> {
            order.push_back(i);
            co_await sluice::sleep_for(1s);
        };
        sluice::wait_group starters;
        EXPECT(group.try_go(work, 0));
        for (int i = 1; i != 6; ++i) {
            starters.go([&, i]() -> task<> { co_await group.go(work, i); });
            co_await sluice::sleep_for(1ms);
        }
        co_await starters.wait();
        EXPECT((co_await group.wait()).has_value());
        EXPECT(order == std::vector<int>{0, 1, 2, 3, 4, 5});
    });
}

TEST_CASE("error_group 5.3: with a limit of one the tasks follow each other") {
    on_workers([]() -> task<> {
        error_group group;
        group.set_limit(1);
        int plain = 0;
        for (int i = 0; i != 500; ++i) co_await group.go([&plain] { ++plain; });
        EXPECT((co_await group.wait()).has_value());
        EXPECT(plain == 500);
    });
}

TEST_CASE("error_group 5.4: a negative limit is none") {
    on_workers([]() -> task<> {
        error_group group;
        group.set_limit(1);
        group.set_limit(-5);
        const auto open = sluice::make_chan<>();
        for (int i = 0; i != 100; ++i) {
            EXPECT(group.try_go([open]() -> task<> { static_cast<void>(co_await open.recv()); }));
        }
        open.close();
        EXPECT((co_await group.wait()).has_value());
    });
}

TEST_CASE("error_group 5.4: a limit of zero admits nothing, and a higher one who waits") {
    simulated([]() -> task<> {
        error_group group;
        group.set_limit(0);
        int ran = 0;
        EXPECT(!group.try_go([&ran] { ++ran; }));
        const auto timed = co_await within(1h, group.go([&ran] { ++ran; }));
        EXPECT(!timed && timed.error() == errc::deadline_exceeded);
        EXPECT((co_await group.wait()).has_value());
        EXPECT(ran == 0);

        sluice::wait_group starters;
        for (int i = 0; i != 3; ++i) {
            starters.go([&]() -> task<> { co_await group.go([&ran] { ++ran; }); });
        }
        co_await sluice::sleep_for(1s);
        EXPECT(ran == 0);
        group.set_limit(2);
        co_await starters.wait();
        EXPECT((co_await group.wait()).has_value());
        EXPECT(ran == 3);
    });
}

TEST_CASE("error_group 5.5: changing the limit while tasks hold slots is an error") {
    simulated([]() -> task<> {
        error_group group;
        const auto sleeps = []() -> task<> { co_await sluice::sleep_for(1s); };
        EXPECT(group.try_go(sleeps));
        group.set_limit(1);  // a task from before the limit holds no slot
        EXPECT(group.try_go(sleeps));
        for (const int n : {-1, 0, 1, 2}) {
            bool refused = false;
            try {
                group.set_limit(n);
            } catch (const std::logic_error&) {
                refused = true;
            }
            EXPECT(refused);
        }
        EXPECT(!group.try_go(sleeps));  // the limit is as it was
        EXPECT((co_await group.wait()).has_value());
        group.set_limit(2);
        EXPECT((group.try_go(sleeps) && group.try_go(sleeps) && !group.try_go(sleeps)));
        EXPECT((co_await group.wait()).has_value());
    });
}

TEST_CASE("error_group 5.6: an exception is a failure, and wait throws it") {
    on_workers([]() -> task<> {
        error_group group(background());
        co_await group.go(throws, "no luck");
        co_await group.go(until_the_end_of, group.ctx());
        const std::string first = co_await thrown_by_wait(&group);
        EXPECT(first == "no luck");
        EXPECT(group.ctx().err() == errc::canceled);
        EXPECT(group.ctx().cause().message() == "no luck");
        const std::string again = co_await thrown_by_wait(&group);
        EXPECT(again == "no luck");
    });
}

TEST_CASE("error_group 5.6: the first of an error and an exception counts") {
    simulated([]() -> task<> {
        error_group group;
        co_await group.go(fails_after, background(), 1s, io_error);
        co_await group.go([]() -> task<> {
            co_await sluice::sleep_for(2s);
            throw std::runtime_error("too late");
        });
        const auto outcome = co_await group.wait();
        EXPECT(!outcome && outcome.error() == io_error);
        co_await group.go([] { throw std::runtime_error("far too late"); });
        const auto again = co_await group.wait();
        EXPECT(!again && again.error() == io_error);
    });
}

TEST_CASE("error_group: what may be started, and which of it counts as a failure") {
    on_workers([]() -> task<> {
        error_group good;
        co_await good.go([] {});
        co_await good.go([] { return 1; });
        co_await good.go([] { return result<int>(1); });
        co_await good.go([] { return result<>(); });
        co_await good.go([](std::unique_ptr<int> p) -> task<int> { co_return *p; },
                         std::make_unique<int>(1));
        co_await good.go([]() -> task<result<std::string>> { co_return "text"; });
        EXPECT((co_await good.wait()).has_value());

        error_group one;
        co_await one.go([] { return result<int>(sluice::fail(io_error)); });
        const auto first = co_await one.wait();
        EXPECT(!first && first.error() == io_error);
        error_group two;
        co_await two.go([]() -> task<result<std::string>> { co_return sluice::fail(broken_pipe); });
        const auto second = co_await two.wait();
        EXPECT(!second && second.error() == broken_pipe);
        error_group three;
        co_await three.go([] { throw std::runtime_error("plain"); });
        const std::string third = co_await thrown_by_wait(&three);
        EXPECT(third == "plain");
        error_group four;
        co_await four.go(
            [](int) -> task<> {
                throw std::runtime_error("at once");
                co_return;
            },
            1);
        const std::string fourth = co_await thrown_by_wait(&four);
        EXPECT(fourth == "at once");
    });
}

TEST_CASE("error_group: many start, fail and wait at once") {
    on_real_workers([]() -> task<> {
        for (int round = 0; round != 20; ++round) {
            error_group group(background());
            group.set_limit(5);
            std::atomic<int> at_work{0};
            sluice::wait_group starters;
            for (int i = 0; i != 8; ++i) {
                starters.go([&]() -> task<> {
                    for (int k = 0; k != 40; ++k) {
                        const auto work = [&at_work](context ctx, bool bad) -> task<result<>> {
                            EXPECT(++at_work <= 5);
                            co_await sluice::yield();
                            --at_work;
                            if (bad && !ctx.err()) co_return sluice::fail(io_error);
                            co_return {};
                        };
                        const auto op =
                            co_await within(group.ctx(), group.go(work, group.ctx(), k == 30));
                        if (!op) co_return;
                    }
                });
            }
            co_await starters.wait();
            const auto outcome = co_await group.wait();
            EXPECT(!outcome && outcome.error() == io_error);
            EXPECT(at_work == 0);
        }
    });
}
