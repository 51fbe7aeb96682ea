#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <sluice/channels/chan.hpp>
#include <sluice/patterns/trace_span.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support.hpp"
#include "trace_span_steps.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace trace_span_steps;

namespace {}  // namespace

// --- a span
// ---------------------------------------------------------------------------------------

TEST_CASE("trace_span: a span has its name, its kind and its times by the wall clock") {
    const records got = recorded([](context ctx) -> task<> {
        co_await sleep_for(1s);
        auto s = start_span(ctx, "work", span_kind::client);
        co_await sleep_for(2s);
        s.event("half");
        co_await sleep_for(2s);
    });
    REQUIRE(got.size() == 1);
    CHECK(got[0].name == "work");
    CHECK(got[0].kind == span_kind::client);
    CHECK(got[0].trace.valid());
    CHECK(got[0].trace.sampled());
    CHECK(got[0].trace.flags == (trace_context::sampled_flag | trace_context::random_flag));
    CHECK_FALSE(static_cast<bool>(got[0].parent));
    CHECK(got[0].start == noon + 1s);
    CHECK(got[0].end == noon + 5s);
    REQUIRE(got[0].events.size() == 1);
    CHECK(got[0].events[0].name == "half");
    CHECK(got[0].events[0].at == noon + 3s);
    CHECK(got[0].status == span_status::unset);
    CHECK(got[0].message.empty());
}

TEST_CASE("trace_span: its context makes the next one its child") {
    trace_context inside;
    const records got = recorded([&](context ctx) -> task<> {
        auto outer = start_span(ctx, "outer");
        auto inner = start_span(outer.ctx(), "inner");
        auto innermost = start_span(inner.ctx(), "innermost");
        inside = *trace_of(innermost.ctx());
        auto other = start_span(ctx, "another trace");
        co_return;
    });
    REQUIRE(got.size() == 4);  // in the order of their ends
    CHECK(got[0].name == "another trace");
    CHECK(got[1].name == "innermost");
    CHECK(got[2].name == "inner");
    CHECK(got[3].name == "outer");
    CHECK(got[1].parent == got[2].trace.span);
    CHECK(got[2].parent == got[3].trace.span);
    CHECK_FALSE(static_cast<bool>(got[3].parent));
    CHECK(got[1].trace.trace == got[3].trace.trace);
    CHECK(got[0].trace.trace != got[3].trace.trace);
    CHECK_FALSE(static_cast<bool>(got[0].parent));
    CHECK(inside == got[1].trace);
}

TEST_CASE("trace_span: attributes keep their type, and the last value of a key counts") {
    const records got = recorded([](context ctx) -> task<> {
        auto s = start_span(ctx, "s");
        s.set("text", "literal");
        s.set("string", std::string("string"));
        s.set("view", std::string_view("view"));
        s.set("int", -1);
        s.set("size", std::size_t{7});
        s.set("huge", std::numeric_limits<std::uint64_t>::max());
        s.set("least", std::numeric_limits<std::int64_t>::min());
        s.set("double", 0.5);
        s.set("float", 0.25F);
        s.set("bool", true);
        s.set("int", "another type");
        s.set("", "");
        co_return;
    });
    REQUIRE(got.size() == 1);
    const std::vector<attribute> expected = {
        {"text", "literal"},
        {"string", "string"},
        {"view", "view"},
        {"int", "another type"},
        {"size", 7},
        {"huge", std::numeric_limits<std::int64_t>::max()},
        {"least", std::numeric_limits<std::int64_t>::min()},
        {"double", 0.5},
        {"float", 0.25},
        {"bool", true},
        {"", ""},
    };
    CHECK(got[0].attributes == expected);
    CHECK(std::holds_alternative<bool>(got[0].attributes[9].value));
    CHECK(std::holds_alternative<std::string>(got[0].attributes[0].value));
}

TEST_CASE("trace_span: events carry attributes, in their order") {
    const records got = recorded([](context ctx) -> task<> {
        auto s = start_span(ctx, "s");
        s.event("first", {{"n", 1}, {"why", "so"}});
        s.event("second");
        co_return;
    });
    REQUIRE(got.at(0).events.size() == 2);
    CHECK(got[0].events[0].name == "first");
    CHECK(got[0].events[0].attributes == std::vector<attribute>{{"n", 1}, {"why", "so"}});
    CHECK(got[0].events[1].name == "second");
    CHECK(got[0].events[1].attributes.empty());
}

TEST_CASE("trace_span: the status comes from a failure, and the last one counts") {
    const auto ended_with = [](std::vector<failure> all) {
        return recorded([all](context ctx) -> task<> {
                   auto s = start_span(ctx, "s");
                   for (const failure& f : all) s.status(f);
                   co_return;
               })
            .at(0);
    };
    const failure thrown(std::make_exception_ptr(std::runtime_error("it broke")));
    CHECK(ended_with({}).status == span_status::unset);
    CHECK(ended_with({failure()}).status == span_status::ok);
    CHECK(ended_with({failure()}).message.empty());
    CHECK(ended_with({thrown}).status == span_status::error);
    CHECK(ended_with({thrown}).message == "it broke");
    CHECK(ended_with({errc::canceled}).status == span_status::error);
    CHECK(ended_with({errc::canceled}).message == failure(errc::canceled).message());
    CHECK(ended_with({thrown, failure()}).status == span_status::ok);
    CHECK(ended_with({thrown, failure()}).message.empty());
}

TEST_CASE("trace_span: it ends once, and what is done to it afterwards has no effect") {
    const records got = recorded([](context ctx) -> task<> {
        auto s = start_span(ctx, "s");
        EXPECT(s.recording());
        s.set("n", 1);
        s.end();
        EXPECT(!s.recording());
        s.set("n", 2);
        s.event("late");
        s.status(errc::canceled);
        co_await sleep_for(1s);
        s.end();
        auto child = start_span(s.ctx(), "child of one that has ended");
        EXPECT(child.recording());
    });
    REQUIRE(got.size() == 2);
    CHECK(got[0].end == noon);
    CHECK(got[0].attributes == std::vector<attribute>{{"n", 1}});
    CHECK(got[0].events.empty());
    CHECK(got[0].status == span_status::unset);
    CHECK(got[1].parent == got[0].trace.span);
}

TEST_CASE("trace_span: moving hands it on, and assigning ends the one that was there") {
    const records got = recorded([](context ctx) -> task<> {
        auto first = start_span(ctx, "first");
        auto moved = std::move(first);
        EXPECT(moved.recording());
        auto second = start_span(ctx, "second");
        co_await sleep_for(1s);
        moved = std::move(second);
        co_await sleep_for(1s);
    });
    REQUIRE(got.size() == 2);
    CHECK(got[0].name == "first");
    CHECK(got[0].end == noon + 1s);
    CHECK(got[1].name == "second");
    CHECK(got[1].end == noon + 2s);
}

TEST_CASE("trace_span: an exception that passes through ends it") {
    const records got = recorded([](context ctx) -> task<> {
        try {
            auto s = start_span(ctx, "s");
            co_await sleep_for(1s);
            throw std::runtime_error("out of here");
        } catch (const std::runtime_error&) {
        }
    });
    REQUIRE(got.size() == 1);
    CHECK(got[0].end == noon + 1s);
}

TEST_CASE("trace_span: without a tracer it does nothing, and hands the context on as it is") {
    const trace_context remote = trace_context::root(true);
    const context ctx = with_trace(background(), remote);
    auto s = start_span(ctx, "nobody looks");  // on a thread without tasks, too
    CHECK_FALSE(s.recording());
    s.set("n", 1);
    s.event("e");
    s.status(errc::canceled);
    CHECK(*trace_of(s.ctx()) == remote);
    CHECK(s.ctx().node() == ctx.node());
    s.end();
    auto rootless = start_span(background(), "nobody looks");
    CHECK(trace_of(rootless.ctx()) == nullptr);
}

// --- sampling
// -------------------------------------------------------------------------------------

TEST_CASE("trace_span: the parent of a request decides whether it is recorded") {
    const trace_context yes(trace_id::random(), span_id::random(), 1, "vendor=1");
    const trace_context no(trace_id::random(), span_id::random(), 0, "vendor=2");
    std::optional<trace_context> inside_no;
    const records got = recorded(
        [&](context ctx) -> task<> {
            auto taken = start_span(with_trace(ctx, yes), "taken", span_kind::server);
            auto left = start_span(with_trace(ctx, no), "left", span_kind::server);
            EXPECT(!left.recording());
            left.set("n", 1);
            auto below = start_span(left.ctx(), "below");
            EXPECT(!below.recording());
            inside_no = *trace_of(below.ctx());
            co_return;
        },
        {.ratio = 0});  // counts for new traces only
    REQUIRE(got.size() == 1);
    CHECK(got[0].name == "taken");
    CHECK(got[0].parent == yes.span);
    CHECK(got[0].trace.trace == yes.trace);
    CHECK(got[0].trace.span != yes.span);
    CHECK(got[0].trace.flags == 1);
    CHECK(got[0].trace.state == "vendor=1");
    REQUIRE(inside_no);  // what goes out from there says that it is not recorded
    CHECK(inside_no->trace == no.trace);
    CHECK(inside_no->span != no.span);
    CHECK(inside_no->flags == 0);
    CHECK(inside_no->state == "vendor=2");
}

TEST_CASE("trace_span: the ratio decides for traces that begin here, and holds for all below") {
    const auto share = [](double ratio) {
        std::uint64_t traces = 0;
        const records got = recorded(
            [&](context ctx) -> task<> {
                for (int i = 0; i < 4'000; ++i) {
                    auto root = start_span(ctx, "root");
                    auto child = start_span(root.ctx(), "child");
                    EXPECT(root.recording() == child.recording());
                    EXPECT(root.recording() == trace_of(root.ctx())->sampled());
                    traces += root.recording() ? 1 : 0;
                }
                co_return;
            },
            {.ratio = ratio, .queue = 8'000});
        CHECK(got.size() == 2 * traces);
        return traces;
    };
    CHECK(share(0) == 0);
    CHECK(share(1) == 4'000);
    const std::uint64_t quarter = share(0.25);  // 1,000, within 10 sigma of 27
    CHECK(quarter > 730);
    CHECK(quarter < 1'270);
}

TEST_CASE("trace_span: options out of their range are refused") {
    simulated(
        []() -> task<> {
            for (const tracer_options bad :
                 {tracer_options{-0.1, 1}, tracer_options{1.1, 1},
                  tracer_options{std::numeric_limits<double>::quiet_NaN(), 1},
                  tracer_options{1, 0}}) {
                bool refused = false;
                try {
                    tracer t(noon, collector(), bad);
                } catch (const std::invalid_argument&) {
                    refused = true;
                }
                EXPECT(refused);
            }
            co_return;
        },
        1);
    CHECK_THROWS_AS(tracer(noon, collector()), std::logic_error);  // no task to start one from
}

// --- the tracer
// -----------------------------------------------------------------------------------

TEST_CASE("trace_span: a full queue drops what ends, and counts it") {
    collector to;
    simulated(
        [&]() -> task<> {
            to = collector();
            tracer t(noon, to, {.queue = 2});
            const context ctx = with_tracer(background(), t);
            for (int i = 0; i < 5; ++i) start_span(ctx, "s" + std::to_string(i)).end();
            expect_stats(t, 0, 3, 0);  // its task has had no turn
            co_await close(t);
            expect_stats(t, 2, 3, 0);
            EXPECT(to.all().size() == 2);
            EXPECT(to.all().at(0).name == "s0");
            EXPECT(to.all().at(1).name == "s1");
            EXPECT(to.ends() == 1);
        },
        100);
}

TEST_CASE("trace_span: a slow exporter holds nobody up") {
    simulated(
        []() -> task<> {
            std::uint64_t taken = 0;
            auto slow = [&taken](std::span<const span_record> spans) -> task<> {
                co_await sleep_for(1h);
                taken += spans.size();
            };
            tracer t(noon, slow, {.queue = 10});
            const context ctx = with_tracer(background(), t);
            const auto began = now();
            for (int i = 0; i < 1'000; ++i) {
                start_span(ctx, "s").end();
                co_await yield();
            }
            EXPECT(now() == began);
            co_await close(t);
            const tracer_stats s = t.stats();
            EXPECT(s.exported == taken);
            EXPECT(s.exported >= 10);
            EXPECT(s.exported + s.dropped == 1'000);
        },
        100);
}

TEST_CASE("trace_span: close waits for what has ended, and may be called again") {
    simulated(
        []() -> task<> {
            const collector to;
            tracer t(noon, to);
            const context ctx = with_tracer(background(), t);
            auto late = start_span(ctx, "late");
            for (int i = 0; i < 1'200; ++i) start_span(ctx, "s").end();
            co_await close(t);
            EXPECT(to.all().size() == 1'200);
            EXPECT(to.batches() == 3);  // of 512 at most
            EXPECT(to.ends() == 1);
            late.end();
            start_span(ctx, "too late").end();
            expect_stats(t, 1'200, 2, 0);
            co_await close(t);
            EXPECT(to.ends() == 1);
        },
        20);
}

TEST_CASE("trace_span: a tracer that is let go exports what has ended, and spans outlive it") {
    collector to;
    simulated([&]() -> task<> {
        to = collector();
        context ctx;
        {
            tracer t(noon, to);
            ctx = with_tracer(background(), t);
            start_span(ctx, "in time").end();
        }
        start_span(ctx, "too late").end();
        co_return;
    });
    CHECK(to.all().size() == 1);
    CHECK(to.named("in time").end == noon);
    CHECK(to.ends() == 1);
}

namespace {

/// A close with an exporter that fails for the first batch, and then no more.
template <class Exporter>
task<failure> close_with(Exporter exporter) {
    tracer t(noon, std::move(exporter));
    const context ctx = with_tracer(background(), t);
    start_span(ctx, "lost").end();
    co_await sleep_for(1s);
    start_span(ctx, "kept").end();
    failure why;
    try {
        const auto how = co_await t.close();
        if (!how) why = how.error();
    } catch (...) {
        why = std::current_exception();
    }
    expect_stats(t, 1, 0, 1);
    co_return why;
}

bool is_lost(std::span<const span_record> spans) {
    return !spans.empty() && spans[0].name == "lost";
}

}  // namespace

TEST_CASE("trace_span: a failure of the exporter is counted, kept for close, and ends nothing") {
    simulated([]() -> task<> {
        const std::error_code full = std::make_error_code(std::errc::no_space_on_device);
        const failure code = co_await close_with([=](std::span<const span_record> s) -> result<> {
            if (is_lost(s)) return fail(full);
            return {};
        });
        EXPECT(code == failure(full));
        const failure thrown = co_await close_with([](std::span<const span_record> s) {
            if (is_lost(s)) throw std::runtime_error("no disk");
        });
        EXPECT(thrown.message() == "no disk");
        auto coroutine = [=](std::span<const span_record> s) -> task<result<>> {
            co_await sleep_for(1ms);
            if (is_lost(s)) co_return fail(full);
            co_return result<>();
        };
        const failure late_code = co_await close_with(coroutine);
        EXPECT(late_code == failure(full));
        auto throwing = [](std::span<const span_record> s) -> task<> {
            co_await sleep_for(1ms);
            if (is_lost(s)) throw std::runtime_error("no network");
        };
        const failure late_thrown = co_await close_with(throwing);
        EXPECT(late_thrown.message() == "no network");
    });
}

TEST_CASE("trace_span: a failure at the end alone reaches close too") {
    simulated([]() -> task<> {
        tracer t(noon, [](std::span<const span_record> spans) -> result<> {
            if (spans.empty()) return fail(std::make_error_code(std::errc::io_error));
            return {};
        });
        start_span(with_tracer(background(), t), "s").end();
        const auto how = co_await t.close();
        EXPECT(!how && how.error() == std::errc::io_error);
        expect_stats(t, 1, 0, 0);
    });
}

TEST_CASE("trace_span: an exporter that can only be moved, and one that starts spans itself") {
    simulated([]() -> task<> {
        std::uint64_t seen = 0;
        {
            tracer t(noon,
                     [only = std::make_unique<int>(1), &seen](std::span<const span_record> s) {
                         seen += s.size() * static_cast<std::uint64_t>(*only);
                     });
            start_span(with_tracer(background(), t), "s").end();
            co_await close(t);
        }
        EXPECT(seen == 1);
        context traced;
        int calls = 0;
        tracer t(noon, [&](std::span<const span_record> s) {
            if (!s.empty() && ++calls < 4) start_span(traced, "export").end();
        });
        traced = with_tracer(background(), t);
        start_span(traced, "s").end();
        co_await sleep_for(1s);
        co_await close(t);
        EXPECT(calls == 4);
        traced = {};
    });
}

TEST_CASE("trace_span: the nearest tracer has the spans") {
    simulated([]() -> task<> {
        const collector outer_to;
        const collector inner_to;
        tracer outer(noon, outer_to);
        tracer inner(noon, inner_to);
        const context ctx = with_tracer(background(), outer);
        auto above = start_span(ctx, "above");
        start_span(with_tracer(above.ctx(), inner), "below").end();
        above.end();
        co_await close(outer);
        co_await close(inner);
        EXPECT(outer_to.all().size() == 1);
        EXPECT(inner_to.all().size() == 1);
        EXPECT(inner_to.named("below").parent == outer_to.named("above").trace.span);
    });
}

// --- many tasks
// -----------------------------------------------------------------------------------
