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

namespace {

/// Spans like a tree of tasks: `width` children for each, `levels` below.
task<> grow(context ctx, int levels, int width) {
    auto span = start_span(ctx, "level " + std::to_string(levels));
    span.set("levels", levels);
    co_await yield();
    wait_group children;
    if (levels > 0) {
        for (int i = 0; i < width; ++i) children.go(grow, span.ctx(), levels - 1, width);
    }
    co_await children.wait();
    span.status({});
}

void expect_whole(const records& all) {
    std::map<span_id, const span_record*> known;
    for (const span_record& r : all) known[r.trace.span] = &r;
    EXPECT(known.size() == all.size());
    for (const span_record& r : all) {
        EXPECT(r.start <= r.end);
        if (!r.parent) continue;
        EXPECT(known.contains(r.parent));
        const span_record& above = *known[r.parent];
        EXPECT(above.trace.trace == r.trace.trace);
        EXPECT(above.start <= r.start && r.end <= above.end);
        EXPECT(std::get<std::int64_t>(above.attributes.at(0).value) ==
               std::get<std::int64_t>(r.attributes.at(0).value) + 1);
    }
}

task<> forest() {
    const collector to;
    tracer t(noon, to);
    const context ctx = with_tracer(background(), t);
    wait_group requests;
    for (int i = 0; i < 3; ++i) requests.go(grow, ctx, 2, 3);
    co_await requests.wait();
    co_await close(t);
    EXPECT(to.all().size() == 3 * 13);
    EXPECT(to.ends() == 1);
    expect_stats(t, 3 * 13, 0, 0);
    expect_whole(to.all());
}

/// More spans than the queue holds, from all sides, while another task closes.
task<> crowded() {
    const collector to;
    tracer t(noon, to, {.queue = 4});
    const context ctx = with_tracer(background(), t);
    wait_group tasks;
    for (int i = 0; i < 4; ++i) {
        tasks.go(
            [](context in) -> task<> {
                for (int k = 0; k < 25; ++k) {
                    start_span(in, "s").end();
                    co_await yield();
                }
            },
            ctx);
    }
    tasks.go(
        [](tracer* closing) -> task<> {
            for (int k = 0; k < 15; ++k) co_await yield();
            co_await close(*closing);
        },
        &t);
    co_await tasks.wait();
    co_await close(t);
    const tracer_stats s = t.stats();
    EXPECT(s.exported == to.all().size());
    EXPECT(s.exported + s.dropped == 100);
    EXPECT(s.failed == 0);
}

/// Requests that are cut short: their spans say so and none is lost, whatever becomes of a close
/// that is cancelled.
task<> cancelled_requests(context ctx) {
    const collector to;
    tracer t(noon, to);
    const context traced = with_tracer(ctx, t);
    wait_group requests;
    int finished = 0;
    for (int i = 0; i < 3; ++i) {
        requests.go(
            [](context in, int* not_cut) -> task<> {
                auto request = start_span(in, "request");
                auto step = start_span(request.ctx(), "step");
                const auto slept = co_await within(step.ctx(), sleep_for(1s));
                step.status(slept ? failure() : failure(slept.error()));
                if (slept) ++*not_cut;
            },
            traced, &finished);
    }
    co_await requests.wait();
    const auto closed = co_await within(ctx, t.close());
    EXPECT(closed || closed.error() == errc::canceled);
    co_await close(t);
    expect_stats(t, 6, 0, 0);
    EXPECT(to.all().size() == 6);
    EXPECT(to.ends() == 1);
    for (const span_record& r : to.all()) {
        if (r.name == "request") continue;
        EXPECT(r.status == span_status::ok || r.status == span_status::error);
        EXPECT(r.status == span_status::error || r.end == noon + 1s);
        if (r.status == span_status::ok) --finished;
    }
    EXPECT(finished == 0);
}

}  // namespace

TEST_CASE("trace_span: a tree of tasks becomes a tree of spans") {
    simulated(forest, 1'000);
}

TEST_CASE("trace_span: a tree of tasks on real workers becomes a tree of spans") {
    on_real_workers(forest);
}

TEST_CASE("trace_span: each recorded span is counted once, whoever closes meanwhile") {
    simulated(crowded, 1'000);
}

TEST_CASE("trace_span: each recorded span is counted once, on real workers") {
    on_real_workers(crowded);
}

TEST_CASE("trace_span: cancelled requests end their spans, and a cancelled close loses none") {
    simulated_cancelled(cancelled_requests);
}
