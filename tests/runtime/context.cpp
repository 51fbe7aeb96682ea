#include <sluice/runtime/context.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "is_done.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::errc;
using sluice::failure;
using sluice::task;
using sluice::with_cancel;
using sluice::with_cancel_cause;

namespace {

const failure why(std::make_error_code(std::errc::io_error));

}  // namespace

TEST_CASE("context 3.1: background and todo have no done, no error and no deadline") {
    on_workers([]() -> task<> {
        std::vector<context> all(3, background());
        all[1] = sluice::todo();
        all[2] = context();
        for (const context& ctx : all) {
            const bool done = co_await is_done(ctx);
            EXPECT(!done);
            EXPECT(!ctx.err());
            EXPECT(!ctx.cause());
            EXPECT(!ctx.deadline());
        }
    });
}

TEST_CASE("context 3.2: cancelling again does nothing") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel_cause(background());
        cancel(why);
        cancel(errc::deadline_exceeded);
        cancel();
        EXPECT(ctx.err() == errc::canceled);
        EXPECT(ctx.cause() == why);
        co_return;
    });
}

TEST_CASE("context 3.2: cancel functions may be called from many threads at once") {
    for (int round = 0; round != 200; ++round) {
        auto [ctx, cancel] = with_cancel_cause(background());
        auto [child, cancel_child] = with_cancel(ctx);
        std::atomic<int> waiting{4};
        std::vector<std::thread> threads;
        for (int i = 1; i <= 4; ++i) {
            threads.emplace_back([&waiting, i, &cancel, &cancel_child] {
                --waiting;
                while (waiting != 0) std::this_thread::yield();
                cancel(std::error_code(i, std::generic_category()));
                cancel_child();
            });
        }
        for (std::thread& t : threads) t.join();
        REQUIRE(ctx.err() == errc::canceled);
        REQUIRE(ctx.cause().code().value() >= 1);
        REQUIRE(ctx.cause().code().value() <= 4);
        REQUIRE(child.err() == errc::canceled);
    }
}

TEST_CASE("context 3.2: cancelling does not wait for those who wait for the end") {
    run_on(1, []() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        bool woken = false;
        sluice::wait_group group;
        group.go([ctx, &woken]() -> task<> {
            co_await ctx.done();
            woken = true;
        });
        co_await sluice::yield();
        cancel();
        EXPECT(!woken);
        co_await group.wait();
        EXPECT(woken);
    });
}

TEST_CASE("context 3.2: letting a cancel function go cancels") {
    context ctx;
    {
        auto made = with_cancel(background());
        ctx = made.first;
        auto moved = std::move(made.second);
        CHECK_FALSE(ctx.err());
    }
    CHECK(ctx.err() == errc::canceled);

    auto first = with_cancel(background());
    auto second = with_cancel(background());
    first.second = std::move(second.second);
    CHECK(first.first.err() == errc::canceled);
    CHECK_FALSE(second.first.err());
}

TEST_CASE("context 3.3: the error is canceled or deadline_exceeded and never changes once set") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = sluice::with_timeout(background(), 2ms);
        cancel();
        EXPECT(ctx.err() == errc::canceled);
        co_await sluice::sleep_for(4ms);
        EXPECT(ctx.err() == errc::canceled);

        auto [late, cancel_late] = sluice::with_timeout(background(), 1ms);
        co_await late.done();
        EXPECT(late.err() == errc::deadline_exceeded);
        cancel_late();
        EXPECT(late.err() == errc::deadline_exceeded);
        EXPECT(late.err() == std::errc::timed_out);
        EXPECT(ctx.err() == std::errc::operation_canceled);
    });
}

TEST_CASE("context 3.3: whoever sees an error finds done ready") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 500; ++round) {
            auto [ctx, cancel] = with_cancel(background());
            sluice::go(
                [](sluice::cancel_function c) -> task<> {
                    c();
                    co_return;
                },
                std::move(cancel));
            while (!ctx.err()) co_await sluice::yield();
            const bool done = co_await is_done(ctx);
            EXPECT(done);
        }
    });
}

TEST_CASE(
    "context 3.4: done is the same event however often and through whichever handle it is asked "
    "for") {
    on_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        const context copy = ctx;
        std::atomic<int> woken{0};
        sluice::wait_group group;
        for (int i = 0; i != 100; ++i) {
            group.go([c = i % 2 == 0 ? ctx : copy, &woken]() -> task<> {
                co_await c.done();
                co_await c.done();
                ++woken;
            });
        }
        auto unused = ctx.done();
        co_await sluice::yield();
        cancel();
        co_await group.wait();
        EXPECT(woken == 100);
        co_await std::move(unused);
    });
}

TEST_CASE(
    "context 3.5: a child takes the error and the cause of a parent that is cancelled first") {
    auto [parent, cancel] = with_cancel_cause(background());
    auto [child, cancel_child] = with_cancel_cause(parent);
    auto [grandchild, cancel_grandchild] = with_cancel(child);
    cancel(why);
    for (const context& c : {parent, child, grandchild}) {
        CHECK(c.err() == errc::canceled);
        CHECK(c.cause() == why);
    }
    cancel_child(errc::deadline_exceeded);
    CHECK(child.cause() == why);
}

TEST_CASE("context 3.5: the first cancellation wins") {
    auto [parent, cancel] = with_cancel_cause(background());
    auto [child, cancel_child] = with_cancel_cause(parent);
    const failure own(std::make_error_code(std::errc::no_such_process));
    cancel_child(own);
    CHECK_FALSE(parent.err());
    cancel(why);
    CHECK(child.cause() == own);
    CHECK(parent.cause() == why);
}

TEST_CASE(
    "context 3.5: of cancellations that race, one gives both the parent's child and its cause") {
    for (int round = 0; round != 300; ++round) {
        auto [parent, cancel] = with_cancel_cause(background());
        auto [child, cancel_child] = with_cancel_cause(parent);
        std::atomic<bool> start{false};
        std::thread other([&start, &cancel_child] {
            while (!start) std::this_thread::yield();
            cancel_child(errc::canceled);
        });
        start = true;
        cancel(why);
        other.join();
        REQUIRE(parent.cause() == why);
        REQUIRE(child.err() == errc::canceled);
        REQUIRE((child.cause() == why || child.cause() == failure(errc::canceled)));
    }
}

TEST_CASE(
    "context 3.6: the cause is empty while the context lives, then what was recorded, else the "
    "error") {
    auto [plain, cancel_plain] = with_cancel(background());
    CHECK_FALSE(plain.cause());
    cancel_plain();
    CHECK(plain.cause() == failure(errc::canceled));

    auto [caused, cancel] = with_cancel_cause(background());
    CHECK_FALSE(caused.cause());
    const failure thrown(std::make_exception_ptr(std::runtime_error("the disk is on fire")));
    cancel(thrown);
    CHECK(caused.err() == errc::canceled);
    CHECK(caused.cause() == thrown);
    CHECK(caused.cause().message() == "the disk is on fire");
    CHECK_THROWS_AS(caused.cause().raise(), std::runtime_error);
}

TEST_CASE("context 3.6: cancelling with an empty cause records canceled") {
    auto [ctx, cancel] = with_cancel_cause(background());
    cancel(failure());
    CHECK(ctx.cause() == failure(errc::canceled));
    CHECK(ctx.cause().message() == "canceled");
}

TEST_CASE("context 3.7: error and cause are there when done is ready") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 200; ++round) {
            auto [ctx, cancel] = with_cancel_cause(background());
            sluice::wait_group group;
            group.go([c = ctx]() -> task<> {
                co_await c.done();
                EXPECT(c.err() == errc::canceled);
                EXPECT(c.cause() == why);
            });
            if (round % 2 == 0) co_await sluice::yield();
            cancel(why);
            co_await group.wait();
        }
    });
}

TEST_CASE("context 3.7: a parent has ended before its child, whoever looks") {
    for (int round = 0; round != 300; ++round) {
        auto [parent, cancel] = with_cancel(background());
        auto [child, cancel_child] = with_cancel(parent);
        std::thread other([&cancel] { cancel(); });
        while (!child.err()) std::this_thread::yield();
        CHECK(parent.err() == errc::canceled);
        other.join();
    }
}

TEST_CASE("context 3.7: children have ended when the cancel function returns") {
    auto [parent, cancel] = with_cancel(background());
    std::vector<std::pair<context, sluice::cancel_function>> children;
    for (int i = 0; i != 100; ++i)
        children.push_back(with_cancel(i < 50 ? parent : children[0].first));
    cancel();
    for (const auto& [child, cancel_child] : children) CHECK(child.err() == errc::canceled);
}

TEST_CASE("context 3.8: a context made under a cancelled parent is already cancelled") {
    on_workers([]() -> task<> {
        auto [parent, cancel] = with_cancel_cause(background());
        cancel(why);
        auto [child, cancel_child] = with_cancel(parent);
        auto [timed, cancel_timed] = sluice::with_timeout(parent, 1h);
        std::vector<context> both;
        both.push_back(child);
        both.push_back(timed);
        for (const context& c : both) {
            EXPECT(c.err() == errc::canceled);
            EXPECT(c.cause() == why);
            const bool done = co_await is_done(c);
            EXPECT(done);
        }
    });
}

TEST_CASE("context 3.17: cancels that interlock do not deadlock") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 100; ++round) {
            auto [a, cancel_a] = with_cancel(background());
            auto [b, cancel_b] = with_cancel(background());
            sluice::wait_group group;
            group.add(2);
            auto stop_a = after_func(a, [&group, &cancel = cancel_b] {
                cancel();
                group.done();
            });
            auto stop_b = after_func(b, [&group, &cancel = cancel_a] {
                cancel();
                group.done();
            });
            cancel_a();
            co_await group.wait();
            EXPECT(a.err() == errc::canceled);
            EXPECT(b.err() == errc::canceled);
        }
    });
}

TEST_CASE("context 3.17: simultaneous cancels of parents and children do not deadlock") {
    for (int round = 0; round != 200; ++round) {
        auto [parent, cancel_parent] = with_cancel(background());
        auto [child, cancel_child] = with_cancel(parent);
        std::vector<std::pair<context, sluice::cancel_function>> leaves;
        for (int i = 0; i != 10; ++i) leaves.push_back(with_cancel(child));
        std::atomic<bool> start{false};
        const auto at_start = [&start](auto action) {
            return std::thread([&start, action] {
                while (!start) std::this_thread::yield();
                action();
            });
        };
        std::thread top = at_start([&cancel_parent] { cancel_parent(); });
        std::thread middle = at_start([&cancel_child] { cancel_child(); });
        start = true;
        leaves.clear();  // each cancels, and leaves its parent
        top.join();
        middle.join();
        REQUIRE(child.err() == errc::canceled);
    }
}

TEST_CASE("context: whoever a cancellation wakes may let go of the last handles, also meanwhile") {
    run_on(2, []() -> task<> {
        auto [parent, end] = with_cancel(background());
        for (int round = 0; round != 2'000; ++round) {
            auto [ctx, cancel] = with_cancel(parent);
            auto handle = std::make_unique<sluice::cancel_function>(std::move(cancel));
            const sluice::cancel_function* const its = handle.get();
            sluice::wait_group both;
            both.go(
                [](context watched, std::unique_ptr<sluice::cancel_function> held) -> task<> {
                    co_await watched.done();
                    held.reset();
                },
                std::move(ctx), std::move(handle));
            both.go([its] { (*its)(); });
            co_await both.wait();
        }
        EXPECT(!parent.err());
    });
}

TEST_CASE("context: a chain of 300,000 contexts is cancelled and freed without recursion") {
    auto [root, cancel] = with_cancel(background());
    std::vector<sluice::cancel_function> cancels;
    context last = root;
    for (int i = 0; i != 300'000; ++i) {
        auto made = with_cancel(last);
        last = std::move(made.first);
        cancels.push_back(std::move(made.second));
    }
    cancel();
    CHECK(last.err() == errc::canceled);
    last = background();
    cancels.clear();
}
