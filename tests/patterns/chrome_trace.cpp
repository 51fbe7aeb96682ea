#include <sluice/patterns/chrome_trace.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sluice/patterns/trace_span.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const trace_id trace = trace_id::parse("4bf92f3577b34da6a3ce929d0e0e4736").value();
const wall_time zero{std::chrono::nanoseconds(1'544'712'660'000'000'000)};

span_id id(int number) {
    return span_id({0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(number >> 8),
                    static_cast<std::uint8_t>(number & 255)});
}

/// Number 0 stands for no parent.
span_record span(int number, int parent, std::chrono::nanoseconds start,
                 std::chrono::nanoseconds end) {
    span_record s;
    s.trace = trace_context(trace, id(number), 1);
    s.parent = id(parent);
    s.name = "s" + std::to_string(number);
    s.start = zero + start;
    s.end = zero + end;
    return s;
}

/// The row of each span, by its number.
std::map<int, int> rows_of(std::string_view document) {
    std::map<int, int> rows;
    std::istringstream lines{std::string(document)};
    for (std::string line; std::getline(lines, line);) {
        if (line.find(R"("ph":"X")") == std::string::npos) continue;
        const auto number_after = [&](std::string_view what) {
            return std::atoi(line.c_str() + line.find(what) + what.size());
        };
        rows[number_after(R"("name":"s)")] = number_after(R"("tid":)");
    }
    return rows;
}

std::map<int, int> rows_of(const std::vector<span_record>& spans) {
    return rows_of(to_chrome_trace(spans));
}

}  // namespace

TEST_CASE("chrome_trace: a document has its events, from the earliest start on") {
    std::vector<span_record> spans = {span(2, 1, 1'500ns, 2'503ns), span(1, 0, 0ns, 5us)};
    spans[0].kind = span_kind::client;
    spans[0].attributes = {{"text", "\"x\""}, {"n", -1}, {"d", 0.5}, {"b", false}};
    spans[0].status = span_status::error;
    spans[0].message = "gone\n";
    spans[1].events = {{"bang", zero + 4us, {{"n", 1}}}, {"plain", zero + 4'001ns, {}}};
    spans[1].status = span_status::ok;
    CHECK(to_chrome_trace(spans) ==
          R"({"traceEvents":[
{"name":"s1","ph":"X","pid":1,"tid":1,"ts":0.000,"dur":5.000,"cat":"internal","args":{"trace":"4bf92f3577b34da6a3ce929d0e0e4736","span":"0000000000000001","status":"ok","attributes":{}}},
{"name":"bang","ph":"i","pid":1,"tid":1,"ts":4.000,"s":"t","args":{"n":1}},
{"name":"plain","ph":"i","pid":1,"tid":1,"ts":4.001,"s":"t","args":{}},
{"name":"s2","ph":"X","pid":1,"tid":1,"ts":1.500,"dur":1.003,"cat":"client","args":{"trace":"4bf92f3577b34da6a3ce929d0e0e4736","span":"0000000000000002","parent":"0000000000000001","status":"error","message":"gone\n","attributes":{"text":"\"x\"","n":-1,"d":0.5,"b":false}}}
],"otherData":{"startUnixNano":"1544712660000000000"}}
)");
}

TEST_CASE("chrome_trace: no spans are a document without events") {
    CHECK(to_chrome_trace({}) ==
          "{\"traceEvents\":[\n],\"otherData\":{\"startUnixNano\":\"0\"}}\n");
}

TEST_CASE("chrome_trace: children in sequence stand below their parent, on its row") {
    const auto rows = rows_of(
        {span(2, 1, 0us, 4us), span(3, 1, 4us, 6us), span(4, 1, 6us, 10us), span(1, 0, 0us, 10us)});
    CHECK(rows == std::map<int, int>{{1, 1}, {2, 1}, {3, 1}, {4, 1}});
}

TEST_CASE("chrome_trace: children that overlap stand on rows of their own, which are used again") {
    const auto rows = rows_of({span(2, 1, 1us, 5us), span(3, 1, 2us, 6us), span(4, 1, 3us, 4us),
                               span(5, 1, 7us, 9us), span(1, 0, 0us, 10us), span(6, 0, 6us, 7us)});
    CHECK(rows == std::map<int, int>{{1, 1}, {2, 1}, {3, 2}, {4, 3}, {5, 1}, {6, 2}});
}

TEST_CASE("chrome_trace: a child that outlives its parent leaves its row, and a stranger too") {
    CHECK(rows_of({span(1, 0, 0us, 4us), span(2, 1, 1us, 5us)}) ==
          std::map<int, int>{{1, 1}, {2, 2}});
    CHECK(rows_of({span(2, 0, 1us, 3us), span(1, 0, 0us, 4us)}) ==
          std::map<int, int>{{1, 1}, {2, 2}});
    CHECK(rows_of({span(2, 9, 1us, 3us), span(1, 0, 0us, 4us)}) ==  // its parent is not there
          std::map<int, int>{{1, 1}, {2, 2}});
}

TEST_CASE("chrome_trace: spans that take no time have a row as well") {
    CHECK(rows_of({span(3, 2, 1us, 1us), span(2, 1, 1us, 1us), span(1, 0, 1us, 1us)}) ==
          std::map<int, int>{{1, 1}, {2, 1}, {3, 1}});
    CHECK(rows_of({span(1, 0, 1us, 1us), span(2, 0, 1us, 1us)}).size() == 2);
}

TEST_CASE("chrome_trace: on a row spans nest in their parents or do not overlap, whatever comes") {
    for (int round = 0; round < 300; ++round) {
        std::vector<span_record> spans;
        const int n = 1 + static_cast<int>(random_bits() % 30);
        for (int i = 1; i <= n; ++i) {
            const auto start = std::chrono::nanoseconds(random_bits() % 40);
            spans.push_back(span(i, static_cast<int>(random_bits() % static_cast<unsigned>(i)),
                                 start, start + std::chrono::nanoseconds(random_bits() % 20)));
        }
        std::ranges::sort(spans, std::less<>(), &span_record::end);
        const auto rows = rows_of(spans);
        REQUIRE(rows.size() == static_cast<std::size_t>(n));
        // Two on one row that overlap: one is within the other, and descends from it.
        std::map<span_id, span_id> above;
        for (const span_record& s : spans) above[s.trace.span] = s.parent;
        for (const span_record& a : spans) {
            for (const span_record& b : spans) {
                const int row_a = rows.at(a.trace.span.bytes()[7]);
                const int row_b = rows.at(b.trace.span.bytes()[7]);
                if (&a == &b || row_a != row_b || a.end <= b.start || b.end <= a.start) continue;
                const auto descends = [&](span_id from, span_id to) {
                    while (from && from != to) from = above.at(from);
                    return from == to;
                };
                const bool a_holds_b =
                    a.start <= b.start && b.end <= a.end && descends(b.trace.span, a.trace.span);
                const bool b_holds_a =
                    b.start <= a.start && a.end <= b.end && descends(a.trace.span, b.trace.span);
                REQUIRE((a_holds_b || b_holds_a));
            }
        }
    }
}

TEST_CASE("chrome_trace: the exporter writes one document, at the end") {
    std::vector<std::string> written;
    chrome_trace exporter([&](std::string_view text) { written.emplace_back(text); });
    const std::vector<span_record> spans = {span(2, 1, 1us, 2us), span(1, 0, 0us, 4us)};
    CHECK(exporter({spans.data(), 1}).has_value());
    CHECK(exporter({spans.data() + 1, 1}).has_value());
    CHECK(written.empty());
    CHECK(exporter({}).has_value());
    REQUIRE(written.size() == 1);
    CHECK(written[0] == to_chrome_trace(spans));
    CHECK(exporter({}).has_value());  // another one, of nothing
    REQUIRE(written.size() == 2);
    CHECK(written[1] == to_chrome_trace({}));
}

TEST_CASE("chrome_trace: what the sink says is handed on, an error or an exception") {
    chrome_trace failing([](std::string_view) -> result<> {
        return fail(std::make_error_code(std::errc::no_space_on_device));
    });
    const auto how = failing({});
    REQUIRE_FALSE(how.has_value());
    CHECK(how.error() == std::errc::no_space_on_device);
    chrome_trace throwing([](std::string_view) { throw std::runtime_error("no"); });
    CHECK_THROWS_AS(static_cast<void>(throwing({})), std::runtime_error);
}

namespace {

/// Requests of overlapping steps, cut short or not: one document with all of them.
task<> traced_steps(context ctx) {
    auto text = std::make_shared<std::string>();
    tracer t(std::chrono::system_clock::time_point(1h),
             chrome_trace([text](std::string_view document) { *text += document; }));
    auto request = start_span(with_tracer(ctx, t), "s0");
    wait_group steps;
    for (int i = 1; i <= 3; ++i) {
        steps.go(
            [](context in, int number) -> task<> {
                auto step = start_span(in, "s" + std::to_string(number));
                const auto slept = co_await within(in, sleep_for(number * 1ms));
                step.status(slept ? failure() : failure(slept.error()));
            },
            request.ctx(), i);
    }
    co_await steps.wait();
    request.end();
    EXPECT(text->empty());
    const auto how = co_await t.close();
    EXPECT(how.has_value());
    const auto rows = rows_of(*text);
    EXPECT(rows.size() == 4);
    EXPECT(text->ends_with("}}\n"));
}

task<> undisturbed() {
    co_await traced_steps(background());
}

}  // namespace

TEST_CASE("chrome_trace: a tracer's spans become one document") {
    simulated(undisturbed, 1'000);
}

TEST_CASE("chrome_trace: a tracer's spans become one document, on real workers") {
    on_real_workers(undisturbed);
}

TEST_CASE("chrome_trace: spans of cancelled requests are in the document too") {
    simulated_cancelled(traced_steps);
}
