#include <sluice/patterns/trace_context.hpp>

#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;

namespace {

const std::string trace_text = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string span_text = "00f067aa0ba902b7";
const std::string sample = "00-" + trace_text + "-" + span_text + "-01";

std::string state_of(const std::string& tracestate) {
    return parse_traceparent(sample, tracestate).value().state;
}

/// n members k0=v,k1=v,…
std::string members(int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += (i == 0 ? "k" : ",k") + std::to_string(i) + "=v";
    return text;
}

}  // namespace

TEST_CASE("trace_context: a valid header is parsed, and formatted as it came") {
    const auto trace = parse_traceparent(sample);
    REQUIRE(trace);
    CHECK(trace->trace.text() == trace_text);
    CHECK(trace->span.text() == span_text);
    CHECK(trace->flags == 1);
    CHECK(trace->sampled());
    CHECK(trace->valid());
    CHECK(trace->state.empty());
    CHECK(trace->trace.bytes()[0] == 0x4b);
    CHECK(trace->span.bytes()[7] == 0xb7);
    CHECK(format_traceparent(*trace) == sample);
}

TEST_CASE("trace_context: the two known flags are kept, all others are dropped") {
    const auto flags = [](const std::string& two) {
        return parse_traceparent("00-" + trace_text + "-" + span_text + "-" + two).value().flags;
    };
    CHECK(flags("00") == 0);
    CHECK(flags("01") == trace_context::sampled_flag);
    CHECK(flags("02") == trace_context::random_flag);
    CHECK(flags("03") == 3);
    CHECK(flags("04") == 0);
    CHECK(flags("ff") == 3);
    CHECK_FALSE(parse_traceparent("00-" + trace_text + "-" + span_text + "-02")->sampled());
}

TEST_CASE("trace_context: a header of version 00 that is malformed is none") {
    const std::string rest = trace_text + "-" + span_text + "-01";
    const std::vector<std::string> bad = {
        "",
        "00",
        "00-" + trace_text + "-" + span_text,           // no flags
        "00-" + trace_text + "-" + span_text + "-1",    // half of them
        "00-" + trace_text + "-" + span_text + "-0x",   // not hexadecimal
        "00-" + trace_text + "-" + span_text + "-0A",   // upper case
        "00-" + trace_text + "-" + span_text + "-011",  // too long
        sample + "-",                                   // version 00 has no more
        sample + "-more",                               //
        sample + " ",                                   // not even a space
        " " + sample,                                   //
        "0-" + rest,                                    //
        "000-" + rest,                                  //
        "0g-" + rest,                                   //
        "00_" + rest,                                   // another separator, at each place
        "00-" + trace_text + "_" + span_text + "-01",   //
        "00-" + trace_text + "-" + span_text + "_01",   //
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span_text + "-01",
        "00-" + trace_text + "-00F067AA0BA902B7-01",
        "00-" + std::string(32, '0') + "-" + span_text + "-01",
        "00-" + trace_text + "-" + std::string(16, '0') + "-01",
        "00-" + trace_text.substr(1) + "-" + span_text + "-01",
        "00-" + trace_text + "-" + span_text.substr(1) + "-001",
        "00-" + trace_text + "0-" + span_text.substr(1) + "-01",
        "00-" + trace_text.substr(1) + std::string(1, '\0') + "-" + span_text + "-01",
    };
    for (const std::string& header : bad) {
        CAPTURE(header);
        CHECK_FALSE(parse_traceparent(header).has_value());
    }
}

TEST_CASE("trace_context: of a later version what is known is taken, if a dash ends it") {
    const std::string rest = trace_text + "-" + span_text + "-01";
    for (const std::string& good : {"01-" + rest, "fe-" + rest, "cc-" + rest + "-",
                                    "cc-" + rest +
                                        "-what"
                                        "-ever"}) {
        CAPTURE(good);
        const auto trace = parse_traceparent(good);
        REQUIRE(trace);
        CHECK(format_traceparent(*trace) == sample);  // goes on as version 00
    }
    for (const std::string& bad : {"ff-" + rest, "ff-" + rest + "-x", "01-" + rest + "x",
                                   "01-" + rest + ".x", "01-" + rest.substr(1), "FE-" + rest}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_traceparent(bad).has_value());
    }
}

TEST_CASE("trace_context: a tracestate is kept in its order, without spaces and empty members") {
    CHECK(state_of("").empty());
    CHECK(state_of("rojo=00f067aa0ba902b7") == "rojo=00f067aa0ba902b7");
    CHECK(state_of("rojo=1,congo=2") == "rojo=1,congo=2");
    CHECK(state_of(" rojo=1 ,\t congo=2\t") == "rojo=1,congo=2");
    CHECK(state_of(",,rojo=1,, ,congo=2,") == "rojo=1,congo=2");
    CHECK(state_of(" , ").empty());
    CHECK(state_of("a= b c") == "a= b c");  // spaces within a value are its own
    CHECK(state_of("tenant@system=1") == "tenant@system=1");
    CHECK(state_of("0a_-*/@z=!~") == "0a_-*/@z=!~");
    CHECK(state_of(members(32)) == members(32));
    const std::string longest = std::string(256, 'k') + "=" + std::string(256, 'v');
    CHECK(state_of(longest) == longest);
}

TEST_CASE("trace_context: a tracestate that breaks a rule is dropped whole, the trace stays") {
    const std::vector<std::string> bad = {
        "rojo",
        "=1",
        "rojo=",
        "rojo= ",
        "rojo=1=2",
        "Rojo=1",
        "_rojo=1",
        "ro jo=1",
        "rojo =1",
        "rojo=1,congo",
        "rojo=1,rojo=2",
        "rojo=\x7f",
        "rojo=\xc3\xa9",
        "rojo=a\tb",
        members(33),
        std::string(257, 'k') + "=v",
        "k=" + std::string(257, 'v'),
    };
    for (const std::string& tracestate : bad) {
        CAPTURE(tracestate);
        const auto trace = parse_traceparent(sample, tracestate);
        REQUIRE(trace);
        CHECK(trace->state.empty());
        CHECK(format_traceparent(*trace) == sample);
    }
}

TEST_CASE("trace_context: ids are parsed and written as lower-case text") {
    CHECK(span_id::parse(span_text)->text() == span_text);
    CHECK(trace_id::parse(trace_text)->text() == trace_text);
    CHECK_FALSE(span_id::parse(trace_text).has_value());
    CHECK_FALSE(span_id::parse("").has_value());
    CHECK_FALSE(span_id::parse("00F067AA0BA902B7").has_value());
    CHECK_FALSE(span_id::parse(std::string(16, '0')).has_value());
    CHECK_FALSE(static_cast<bool>(span_id()));
    CHECK(span_id().text() == std::string(16, '0'));
    CHECK(span_id({0, 0, 0, 0, 0, 0, 0, 1}).text() == "0000000000000001");
    CHECK(span_id({0, 0, 0, 0, 0, 0, 0, 1}) < span_id({0, 0, 0, 0, 0, 0, 1, 0}));
}

TEST_CASE("trace_context: a root has new ids, a child another span of the same trace") {
    const trace_context root = trace_context::root(true);
    CHECK(root.valid());
    CHECK(root.flags == (trace_context::sampled_flag | trace_context::random_flag));
    CHECK(trace_context::root(false).flags == trace_context::random_flag);
    CHECK(trace_context::root(true).trace != root.trace);

    const trace_context parent(root.trace, root.span, 0, "a=1");
    const trace_context child = parent.child();
    CHECK(child.valid());
    CHECK(child.trace == parent.trace);
    CHECK(child.span != parent.span);
    CHECK(child.flags == 0);
    CHECK(child.state == "a=1");
    CHECK(parse_traceparent(format_traceparent(root)) == root);
}

TEST_CASE("trace_context: what has no ids is not sent and not put into a context") {
    const trace_context none;
    CHECK_FALSE(none.valid());
    CHECK_THROWS_AS(format_traceparent(none), std::invalid_argument);
    CHECK_THROWS_AS(with_trace(background(), none), std::invalid_argument);
    const trace_context half(trace_id::random(), span_id(), 1);
    CHECK_THROWS_AS(format_traceparent(half), std::invalid_argument);
    CHECK_THROWS_AS(with_trace(background(), half), std::invalid_argument);
}

TEST_CASE("trace_context: a context has the trace of its nearest ancestor, and no other") {
    CHECK(trace_of(background()) == nullptr);
    const trace_context outer = trace_context::root(true);
    const trace_context inner = outer.child();
    const context with_outer = with_trace(background(), outer);
    const auto [cancellable, cancel] = with_cancel(with_outer);
    const context with_inner = with_trace(cancellable, inner);
    REQUIRE(trace_of(with_outer) != nullptr);
    CHECK(*trace_of(with_outer) == outer);
    CHECK(*trace_of(cancellable) == outer);
    CHECK(*trace_of(with_inner) == inner);
    CHECK(*trace_of(without_cancel(with_inner)) == inner);
    cancel();
    CHECK(with_inner.err() == errc::canceled);
    CHECK(*trace_of(with_inner) == inner);  // an ended context still has it
}

namespace {

/// Three levels of tasks that are given the context see the trace of whoever started them.
task<> descend(context ctx, int levels, chan<trace_context> seen) {
    const trace_context here = *trace_of(ctx);
    co_await seen.send(here);
    if (levels == 0) co_return;
    const context below = with_trace(ctx, here.child());
    wait_group children;
    children.go(descend, below, levels - 1, seen);
    children.go(descend, below, levels - 1, seen);
    co_await children.wait();
}

task<> inherited() {
    auto seen = make_chan<trace_context>(15);
    const trace_context root = trace_context::root(true);
    co_await descend(with_trace(background(), root), 3, seen);
    seen.close();
    std::set<span_id> spans;
    int count = 0;
    while (auto one = co_await seen.recv()) {
        EXPECT(one->trace == root.trace);
        EXPECT(one->flags == root.flags);
        spans.insert(one->span);
        ++count;
    }
    EXPECT(count == 15);
    EXPECT(spans.size() == 8);  // the root's, and one for each pair of siblings
}

task<> inherited_until_cancelled(context ctx) {
    const trace_context root = trace_context::root(true);
    auto words = make_chan<trace_context>();
    const context traced = with_trace(ctx, root);
    wait_group tasks;
    tasks.go(
        [](context in, chan<trace_context> to) -> task<> {
            static_cast<void>(co_await within(in, to.send(*trace_of(in))));
        },
        traced, words);
    const auto got = co_await within(traced, words.recv());
    if (got) {
        EXPECT(got->value() == root);
    } else {
        EXPECT(got.error() == errc::canceled);
    }
    EXPECT(*trace_of(traced) == root);
    co_await tasks.wait();
}

}  // namespace

TEST_CASE("trace_context: tasks that are given the context inherit the trace") {
    simulated(inherited, 1'000);
}

TEST_CASE("trace_context: tasks on real workers inherit the trace") {
    on_real_workers(inherited);
}

TEST_CASE("trace_context: a cancelled context still says which trace it was") {
    simulated_cancelled(inherited_until_cancelled);
}

TEST_CASE("trace_context: a simulation draws its ids from the seed") {
    const auto ids = [](std::uint64_t seed) {
        return simulate({.seed = seed},
                        []() -> task<trace_context> { co_return trace_context::root(true); });
    };
    CHECK(ids(1) == ids(1));
    CHECK(ids(1).trace != ids(2).trace);
}
