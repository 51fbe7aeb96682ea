#include <sluice/runtime/context.hpp>

#include <chrono>
#include <utility>
#include <vector>

#include <sluice/runtime/detail/context_core.hpp>
#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::errc;
using sluice::failure;
using sluice::task;

namespace {

const failure why(std::make_error_code(std::errc::io_error));
const failure other(std::make_error_code(std::errc::no_such_process));

/// Blocks that two pools may hold for each other before they send them home: 64 each, and as many
/// again that wait there. A leak would show as thousands.
constexpr std::size_t on_their_way = 256;

std::size_t blocks_carved() {
    std::size_t count = 0;
    sluice::detail::frame_pool::for_each_block(
        [&count](sluice::detail::block_header&) { ++count; });
    return count;
}

}  // namespace

TEST_CASE(
    "context: one whose time comes before it has its place below its parent leaves it again") {
    using sluice::detail::canceller;
    using sluice::detail::context_node;
    const auto make = [](context_node* parent) {
        auto* const c = sluice::detail::make_pooled<canceller>(parent, context_node::no_deadline);
        c->unref();  // no cancel function has one
        return c;
    };
    canceller* const parent = make(nullptr);
    parent->ref();
    canceller* const child = make(parent);
    child->cancel(errc::deadline_exceeded, {});
    child->attach();
    CHECK_FALSE(child->linked());
    child->unref();
    parent->cancel(errc::canceled, {});
    parent->unref();
}

TEST_CASE("context: a deadline ends it, and is told to those below") {
    on_real_workers([]() -> task<> {
        const auto before = context::clock::now();
        auto [ctx, cancel] = sluice::with_timeout(background(), 2ms);
        auto [child, cancel_child] = sluice::with_cancel(ctx);
        EXPECT(ctx.deadline().has_value());
        EXPECT(*ctx.deadline() >= before + 2ms);
        EXPECT(child.deadline() == ctx.deadline());
        EXPECT(!ctx.err());
        co_await child.done();
        EXPECT(context::clock::now() >= *ctx.deadline());
        EXPECT(ctx.err() == errc::deadline_exceeded);
        EXPECT(child.err() == errc::deadline_exceeded);
        EXPECT(child.cause() == failure(errc::deadline_exceeded));
    });
}

TEST_CASE(
    "context 3.9: a deadline under a strictly earlier one is a plain cancel, and its cause is "
    "dropped") {
    on_real_workers([]() -> task<> {
        auto [parent, cancel_parent] = sluice::with_timeout_cause(background(), 2ms, why);
        const auto later = *parent.deadline() + 1ns;
        auto [child, cancel] = sluice::with_deadline_cause(parent, later, other);
        EXPECT(child.deadline() == parent.deadline());
        co_await child.done();
        EXPECT(child.err() == errc::deadline_exceeded);
        EXPECT(child.cause() == why);
    });
}

TEST_CASE("context 3.9: an earlier deadline under a later one holds") {
    on_real_workers([]() -> task<> {
        auto [parent, cancel_parent] = sluice::with_timeout_cause(background(), 1h, why);
        auto [child, cancel] = sluice::with_timeout_cause(parent, 1ms, other);
        EXPECT(*child.deadline() < *parent.deadline());
        co_await child.done();
        EXPECT(child.cause() == other);
        EXPECT(!parent.err());
    });
}

TEST_CASE("context 3.10: a deadline in the past gives an expired context with its cause") {
    on_real_workers([]() -> task<> {
        std::vector<std::pair<context, sluice::cancel_function>> all;
        all.push_back(sluice::with_timeout_cause(background(), 0s, why));
        all.push_back(sluice::with_timeout_cause(background(), -1h, why));
        all.push_back(
            sluice::with_timeout_cause(background(), std::chrono::nanoseconds::min(), why));
        all.push_back(sluice::with_deadline_cause(background(), context::clock::now(), why));
        all.push_back(
            sluice::with_deadline_cause(background(), context::clock::time_point::min(), why));
        for (const auto& [ctx, cancel] : all) {
            EXPECT(ctx.err() == errc::deadline_exceeded);
            EXPECT(ctx.cause() == why);
            const auto got = co_await select(ctx.done(), sluice::otherwise);
            EXPECT(got.index() == 0);
        }
        auto [plain, cancel_plain] = sluice::with_timeout(background(), 0s);
        EXPECT(plain.err() == errc::deadline_exceeded);
        EXPECT(plain.cause() == failure(errc::deadline_exceeded));
    });
}

TEST_CASE("context: a timeout without end does not overflow") {
    on_real_workers([]() -> task<> {
        auto [ctx, cancel] = sluice::with_timeout(background(), std::chrono::nanoseconds::max());
        auto [longer, stop] = sluice::with_timeout(background(), std::chrono::hours::max());
        auto [latest, halt] =
            sluice::with_deadline(background(), std::chrono::steady_clock::time_point::max());
        co_await sluice::yield();
        EXPECT(!ctx.err());
        EXPECT(!longer.err());
        EXPECT(!latest.err());
        EXPECT(ctx.deadline() && longer.deadline() && latest.deadline());
        cancel();
        EXPECT(ctx.err() == errc::canceled);
        auto [past, drop] = sluice::with_timeout(background(), std::chrono::hours::min());
        EXPECT(past.err() == errc::deadline_exceeded);
        auto [soon, end] = sluice::with_timeout(background(), 0.001s);
        co_await soon.done();
        EXPECT(soon.err() == errc::deadline_exceeded);
        const auto moved = std::move(end);
        end();  // NOLINT(bugprone-use-after-move): it does nothing
    });
}

TEST_CASE("context 3.11: cancelling a context with a deadline does not set its cause") {
    on_real_workers([]() -> task<> {
        auto [ctx, cancel] = sluice::with_timeout_cause(background(), 1h, why);
        cancel();
        EXPECT(ctx.err() == errc::canceled);
        EXPECT(ctx.cause() == failure(errc::canceled));

        auto [at, cancel_at] =
            sluice::with_deadline_cause(background(), context::clock::now() + 1h, why);
        cancel_at();
        EXPECT(at.cause() == failure(errc::canceled));

        auto [expires, cancel_expired] = sluice::with_timeout_cause(background(), 1ms, why);
        co_await expires.done();
        EXPECT(expires.cause() == why);
        co_return;
    });
}

TEST_CASE("context 3.16: cancelled children leave a parent that lives long, which does not grow") {
    on_real_workers([]() -> task<> {
        auto [parent, cancel_parent] = sluice::with_cancel(background());
        const auto visit = [&parent] {
            auto [child, cancel] = sluice::with_cancel(parent);
            auto [timed, cancel_timed] = sluice::with_timeout(child, 1h);
            auto stop = after_func(timed, [] {});
            stop();
            cancel();
        };
        for (int i = 0; i != 1'000; ++i) visit();
        const std::size_t before = blocks_carved();
        for (int i = 0; i != 20'000; ++i) visit();
        EXPECT(blocks_carved() <= before + on_their_way);
        EXPECT(!parent.err());
        co_return;
    });
}

TEST_CASE("context 3.16: children that expired leave a parent that lives long") {
    on_real_workers([]() -> task<> {
        auto [parent, cancel_parent] = sluice::with_cancel(background());
        std::size_t before = 0;
        for (int i = 0; i != 2'000; ++i) {
            if (i == 200) before = blocks_carved();
            auto [timed, cancel] = sluice::with_timeout(parent, 1us);
            co_await timed.done();
        }
        EXPECT(blocks_carved() <= before + on_their_way);
    });
}

TEST_CASE(
    "context: new ones, with values and functions after them, take the memory of earlier ones") {
    run_on(1, []() -> task<> {
        const sluice::context_key<int> key;
        std::size_t before = 0;
        for (int i = 0; i != 1'000; ++i) {
            if (i == 100) before = blocks_carved();
            auto [ctx, cancel] = sluice::with_cancel(background());
            const context valued = with_value(ctx, key, i);
            auto [timed, cancel_timed] = sluice::with_timeout(valued, 1h);
            const auto stop = after_func(timed, [] { EXPECT(false); });
            EXPECT(stop());
            const auto runs = after_func(timed, [] {});
            cancel();
            co_await timed.done();
            co_await sluice::yield();  // the function has run
        }
        EXPECT(blocks_carved() == before);
    });
}

TEST_CASE("context 3.16: cancelling stops the timer") {
    for (const unsigned workers : {1u, 2u}) {
        const auto begin = std::chrono::steady_clock::now();
        const auto stuck = []() -> task<> {
            auto [ctx, cancel] = sluice::with_timeout(background(), 1h);
            auto [parent, cancel_parent] = sluice::with_cancel(background());
            auto [below, cancel_below] = sluice::with_timeout(parent, 1h);
            cancel();
            cancel_parent();
            co_await background().done();
        };
        // A timer that is left would put off the report of the deadlock for an hour.
        CHECK_THROWS_AS(sluice::run(sluice::options{.workers = workers}, stuck), sluice::deadlock);
        CHECK(std::chrono::steady_clock::now() - begin < 10min);
    }
}

TEST_CASE("context: one with a deadline may outlive its runtime") {
    context ctx;
    {
        sluice::runtime rt(sluice::options{.workers = 1});
        auto made = rt.block_on([]() -> task<std::pair<context, sluice::cancel_function>> {
            co_return sluice::with_timeout(background(), 1h);
        });
        ctx = made.first;
        rt.shutdown(0s);
        CHECK_FALSE(ctx.err());
        made.second();
    }
    CHECK(ctx.err() == errc::canceled);
}
