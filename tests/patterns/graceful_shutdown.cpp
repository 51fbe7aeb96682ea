#include <sluice/patterns/graceful_shutdown.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/signals.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "runtime/child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::errc;
using sluice::failure;
using sluice::graceful_shutdown;
using sluice::result;
using sluice::task;

namespace {

using names = std::vector<std::string>;

const std::error_code io_error = std::make_error_code(std::errc::io_error);

/// What became of jobs.
struct tally {
    std::atomic<int> accepted{0};
    std::atomic<int> refused{0};
    std::atomic<int> finished{0};
    std::atomic<int> cut{0};
};

task<result<>> job(context ctx, tally* t, std::chrono::nanoseconds time) {
    const auto slept = co_await within(ctx, sluice::sleep_for(time));
    ++(slept ? t->finished : t->cut);
    co_return slept;
}

/// Offers a job a second, the n-th takes n seconds, until told that it is too late.
task<> offer(graceful_shutdown* work, tally* t) {
    for (int n = 1;; ++n) {
        if (!work->go("job " + std::to_string(n), job, t, std::chrono::seconds(n))) break;
        ++t->accepted;
        co_await sluice::sleep_for(1s);
    }
    ++t->refused;
}

task<> stops_after_ten_and_a_half_seconds() {
    const auto start = sluice::now();
    auto [stopping, stop] = with_cancel(background());
    graceful_shutdown work(stopping);
    tally t;
    sluice::wait_group others;
    others.go(offer, &work, &t);
    others.go(
        [](sluice::cancel_function at_last) -> task<> {
            co_await sluice::sleep_for(10'500ms);
            at_last();
        },
        std::move(stop));
    const auto outcome = co_await work.drain(background(), 5s);
    EXPECT(outcome.has_value());
    EXPECT(sluice::now() - start == 15'500ms);
    co_await others.wait();
    // Job n was started after n - 1 seconds and takes n: those from the ninth on are not done.
    EXPECT((t.accepted == 11 && t.refused == 1));
    EXPECT((t.finished == 8 && t.cut == 3));
    EXPECT(work.cut() == names{"job 9", "job 10", "job 11"});
    EXPECT(work.ctx().cause().code() == errc::deadline_exceeded);
}

/// What on_real_workers can run: jobs of a few steps, a stop in the midst of them.
task<result<>> steps(context ctx, tally* t, int n) {
    for (int i = 0; i != n && !ctx.err(); ++i) co_await sluice::yield();
    ++(ctx.err() ? t->cut : t->finished);
    if (ctx.err()) co_return sluice::fail(ctx.err());
    co_return {};
}

task<> offer_steps(graceful_shutdown* work, tally* t) {
    for (int n = 0;; ++n) {
        if (!work->go(std::to_string(n), steps, t, n % 10)) break;
        ++t->accepted;
        co_await sluice::yield();
    }
    ++t->refused;
}

task<> stops_among_steps(context hurry) {
    auto [stopping, stop] = with_cancel(background());
    graceful_shutdown work(stopping);
    tally t;
    sluice::wait_group others;
    for (int i = 0; i != 3; ++i) others.go(offer_steps, &work, &t);
    others.go(
        [](sluice::cancel_function at_last) -> task<> {
            for (int i = 0; i != 20; ++i) co_await sluice::yield();
            at_last();
        },
        std::move(stop));
    const auto outcome = co_await work.drain(hurry, 1h);
    EXPECT(outcome.has_value());
    const int ended = t.finished + t.cut;
    co_await others.wait();
    EXPECT(t.finished + t.cut == ended);  // drain has left nobody behind
    EXPECT(t.accepted == t.finished + t.cut);
    EXPECT(t.refused == 3);
    EXPECT(work.cut().size() == static_cast<std::size_t>(t.cut));
    if (!hurry.err()) EXPECT((t.cut == 0 && work.cut().empty()));
}

}  // namespace

TEST_CASE("graceful_shutdown: what is in flight may finish, and what is not done then is named") {
    simulated(stops_after_ten_and_a_half_seconds, 1'000);
}

TEST_CASE("graceful_shutdown: the same with short jobs, in any order of the tasks") {
    simulated([]() -> task<> { return stops_among_steps(background()); }, 1'000);
}

TEST_CASE("graceful_shutdown: the same on real workers") {
    on_real_workers([]() -> task<> {
        for (int round = 0; round != 50; ++round) co_await stops_among_steps(background());
    });
}

TEST_CASE("graceful_shutdown: whenever it is hurried, each job has finished or was cut and named") {
    simulated_cancelled(stops_among_steps);
}

TEST_CASE("graceful_shutdown: when all finish within the grace, it does not last longer") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        tally t;
        EXPECT(work.go("a", job, &t, 2s));
        EXPECT(work.go("b", job, &t, 3s));
        stop();
        const auto outcome = co_await work.drain(background(), 10s);
        EXPECT(outcome.has_value());
        EXPECT(sluice::now() - start == 3s);
        EXPECT((t.finished == 2 && work.cut().empty()));
        EXPECT(work.ctx().err() == errc::canceled);
        EXPECT(work.ctx().cause().code() == errc::canceled);
    });
}

TEST_CASE("graceful_shutdown: a job that ends just with the grace is not cut") {
    simulated([]() -> task<> {
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        tally t;
        stop();
        const auto nothing = co_await work.drain(background(), 0s);
        EXPECT(nothing.has_value());
        EXPECT(work.cut().empty());

        auto [halting, halt] = with_cancel(background());
        graceful_shutdown none(halting);
        EXPECT(none.go("longer than nothing", job, &t, 1ns));
        halt();
        const auto cut = co_await none.drain(background(), 0s);
        EXPECT(cut.has_value());
        EXPECT((t.cut == 1 && none.cut() == names{"longer than nothing"}));
    });
}

TEST_CASE("graceful_shutdown: after the stop nothing is accepted, before drain and after it") {
    on_workers([]() -> task<> {
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        const auto ignores = [](context, std::unique_ptr<int>) {};
        auto kept = std::make_unique<int>(1);
        EXPECT(work.go("in time", ignores, std::make_unique<int>(1)));
        stop();
        EXPECT(!work.go("too late", ignores, std::move(kept)));
        EXPECT(kept != nullptr);
        const auto first = co_await work.drain(background(), 1s);
        EXPECT(!work.go("far too late", ignores, std::move(kept)));
        EXPECT(kept != nullptr);
        const auto second = co_await work.drain(background(), 1s);
        EXPECT((first.has_value() && second.has_value()));
        EXPECT(work.cut().empty());
    });
}

TEST_CASE("graceful_shutdown: the stop cancels no job, and a job has the values of its context") {
    simulated([]() -> task<> {
        static const sluice::context_key<int> key;
        auto [stopping, stop] = with_cancel(with_value(background(), key, 7));
        graceful_shutdown work(stopping);
        bool seen = false;
        const auto look = [&seen](context ctx) -> task<> {
            const int* const value = ctx.value(key);
            co_await sluice::sleep_for(2s);
            seen = value != nullptr && *value == 7 && !ctx.err();
        };
        EXPECT(work.go("looks", look));
        stop();
        const auto outcome = co_await work.drain(background(), 10s);
        EXPECT((outcome.has_value() && seen));
    });
}

TEST_CASE("graceful_shutdown: the end of what hurries cuts at once, with its cause") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        auto [stopping, stop] = with_cancel(background());
        auto hurry = with_cancel_cause(background());
        graceful_shutdown work(stopping);
        tally t;
        EXPECT(work.go("long", job, &t, 1h));
        stop();
        sluice::go([&hurry]() -> task<> {
            co_await sluice::sleep_for(2s);
            hurry.second(std::error_code(SIGTERM, sluice::signal_category()));
        });
        const auto outcome = co_await work.drain(hurry.first, 10min);
        EXPECT(outcome.has_value());
        EXPECT(sluice::now() - start == 2s);
        EXPECT((t.cut == 1 && work.cut() == names{"long"}));
        EXPECT(work.ctx().cause().code() == std::error_code(SIGTERM, sluice::signal_category()));
    });
}

TEST_CASE("graceful_shutdown: what hurries also ends the wait for the stop") {
    simulated([]() -> task<> {
        auto timed = with_timeout(background(), 1s);
        graceful_shutdown work(background());
        tally t;
        EXPECT(work.go("long", job, &t, 1h));
        const auto outcome = co_await work.drain(timed.first, 10min);
        EXPECT(outcome.has_value());
        EXPECT((t.cut == 1 && !work.go("late", job, &t, 1h)));
    });
}

TEST_CASE("graceful_shutdown: a job that does not look at its context is waited for, and named") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        EXPECT(work.go("stubborn", [](context) -> task<> { co_await sluice::sleep_for(1h); }));
        stop();
        const auto outcome = co_await work.drain(background(), 5s);
        EXPECT(outcome.has_value());
        EXPECT(sluice::now() - start == 1h);
        EXPECT(work.cut() == names{"stubborn"});
    });
}

TEST_CASE("graceful_shutdown: the first failure of a job is what drain gives") {
    simulated([]() -> task<> {
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        tally t;
        const auto fails = [](context, std::error_code code) -> task<result<>> {
            co_await sluice::sleep_for(1s);
            co_return sluice::fail(code);
        };
        EXPECT(work.go("good", job, &t, 1h));
        EXPECT(work.go("bad", fails, io_error));
        co_await sluice::sleep_for(1min);
        EXPECT(work.go("worse", fails, std::make_error_code(std::errc::broken_pipe)));
        stop();
        const auto outcome = co_await work.drain(background(), 5s);
        EXPECT(!outcome && outcome.error() == io_error);
        EXPECT((t.cut == 1 && work.cut() == names{"good"}));
    });
}

TEST_CASE("graceful_shutdown: an exception of a job is thrown by drain when all have ended") {
    simulated([]() -> task<> {
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        tally t;
        EXPECT(work.go("throws", [](context) { throw std::runtime_error("no luck"); }));
        EXPECT(work.go("long", job, &t, 1h));
        stop();
        std::string text;
        try {
            static_cast<void>(co_await work.drain(background(), 5s));
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        EXPECT(text == "no luck");
        EXPECT((t.cut == 1 && work.cut() == names{"long"}));
    });
}

TEST_CASE("graceful_shutdown: of jobs that are cut only errors other than canceled are failures") {
    simulated([]() -> task<> {
        const auto throws_canceled = [](context ctx) -> task<> {
            const auto slept = co_await within(ctx, sluice::sleep_for(1h));
            slept.value();
        };
        const auto cannot_save = [](context ctx) -> task<result<>> {
            static_cast<void>(co_await within(ctx, sluice::sleep_for(1h)));
            co_return sluice::fail(io_error);
        };
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        EXPECT(work.go("throws", throws_canceled));
        stop();
        const auto good = co_await work.drain(background(), 5s);
        EXPECT(good.has_value());

        auto [halting, halt] = with_cancel(background());
        graceful_shutdown other(halting);
        EXPECT(other.go("fails", cannot_save));
        EXPECT(other.go("throws", throws_canceled));
        halt();
        const auto bad = co_await other.drain(background(), 5s);
        EXPECT(!bad && bad.error() == io_error);
    });
}

TEST_CASE("graceful_shutdown: a canceled that has another reason is a failure") {
    simulated([]() -> task<> {
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        EXPECT(work.go("gives up", [](context) { return result<>(sluice::fail(errc::canceled)); }));
        stop();
        const auto outcome = co_await work.drain(background(), 5s);
        EXPECT(!outcome && outcome.error() == errc::canceled);
    });
}

TEST_CASE("graceful_shutdown: a signal stops it, and a second one hurries it") {
    on_real_workers([]() -> task<> {
        auto [stopping, stop_listening] = sluice::notify_context({SIGUSR1});
        graceful_shutdown work(stopping);
        tally t;
        EXPECT(work.go("long", job, &t, 1h));
        ::raise(SIGUSR1);
        co_await stopping.done();
        EXPECT(!work.go("late", job, &t, 1h));
        auto [hurry, stop_listening_too] = sluice::notify_context({SIGUSR1});
        ::raise(SIGUSR1);
        const auto outcome = co_await work.drain(hurry, 1h);
        EXPECT(outcome.has_value());
        EXPECT((t.cut == 1 && work.cut() == names{"long"}));
        EXPECT(work.ctx().cause().code() == std::error_code(SIGUSR1, sluice::signal_category()));
    });
}

TEST_CASE("graceful_shutdown: what the jobs own is gone when drain has ended") {
    on_workers([]() -> task<> {
        auto [stopping, stop] = with_cancel(background());
        graceful_shutdown work(stopping);
        const auto token = std::make_shared<int>(0);
        for (int i = 0; i != 20; ++i) {
            EXPECT(work.go(
                "", [token](context, std::shared_ptr<int>) -> task<> { co_await sluice::yield(); },
                token));
        }
        stop();
        const auto outcome = co_await work.drain(background(), 1h);
        EXPECT(outcome.has_value());
        EXPECT(token.use_count() == 1);
    });
}

TEST_CASE("graceful_shutdown: it may go before its jobs") {
    on_workers([]() -> task<> {
        sluice::wait_group ended;
        ended.add(3);
        {
            graceful_shutdown work(background());
            for (int i = 0; i != 3; ++i) {
                EXPECT(work.go("", [&ended](context) -> task<> {
                    co_await sluice::yield();
                    ended.done();
                }));
            }
        }
        co_await ended.wait();
    });
}

TEST_CASE("graceful_shutdown: an exception that no drain has thrown ends the process") {
    const auto end = run_child([] {
        sluice::run([]() -> task<> {
            {
                graceful_shutdown work(background());
                work.go("throws", [](context) { throw std::runtime_error("nobody asked"); });
            }
            co_await background().done();
        });
    });
    CHECK(aborts_saying(end, "nobody asked"));
}

TEST_CASE("graceful_shutdown: jobs that a shutdown of the runtime cuts leave the register") {
    auto [stopping, stop] = with_cancel(background());
    graceful_shutdown work(stopping);
    const auto token = std::make_shared<int>(0);
    {
        sluice::runtime cut;
        cut.block_on([&work, token]() -> task<> {
            for (int i = 0; i != 3; ++i) {
                EXPECT(work.go(
                    "", [](context ctx, std::shared_ptr<int>) -> task<> { co_await ctx.done(); },
                    token));
            }
            co_return;
        });
        static_cast<void>(cut.shutdown(0s));
    }
    CHECK(token.use_count() == 1);
    stop();
    run_on(1, [&work]() -> task<> {
        const auto outcome = co_await work.drain(background(), 1h);
        EXPECT(!outcome && outcome.error() == errc::canceled);
        EXPECT(work.cut().empty());
    });
}

TEST_CASE("graceful_shutdown: starting outside of a task is an error and registers nothing") {
    auto [stopping, stop] = with_cancel(background());
    graceful_shutdown work(stopping);
    CHECK_THROWS_AS(work.go("", [](context) {}), std::logic_error);
    stop();
    run_on(1, [&work]() -> task<> {
        const auto outcome = co_await work.drain(background(), 1h);
        EXPECT(outcome.has_value());
    });
}
