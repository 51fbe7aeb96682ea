#include <sluice/patterns/otlp_json.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <stdlib.h>
#include <unistd.h>

#include <sluice/patterns/trace_span.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const trace_id trace = trace_id::parse("4bf92f3577b34da6a3ce929d0e0e4736").value();
const span_id parent = span_id::parse("00f067aa0ba902b7").value();
const span_id child = span_id::parse("00000000000000a1").value();
const wall_time start{std::chrono::nanoseconds(1'544'712'660'000'000'001)};

const std::string before_spans =
    R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},)"
    R"("scopeSpans":[{"scope":{"name":"sluice"},"spans":[)";
const std::string after_spans = "]}]}]}";

span_record least() {
    span_record s;
    s.trace = trace_context(trace, parent, 0);
    s.name = "a";
    s.start = start;
    s.end = start + 5ns;
    return s;
}

const std::string least_text =
    R"({"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","flags":0,)"
    R"("name":"a","kind":1,)"
    R"("startTimeUnixNano":"1544712660000000001","endTimeUnixNano":"1544712660000000006"})";

/// What Python's decoder makes of it: the expression is of `d`, the decoded document.
std::string decoded(const std::string& json, const std::string& expression) {
    char path[] = "/tmp/sluice_json_XXXXXX";
    const int fd = ::mkstemp(path);
    if (fd < 0 || ::write(fd, json.data(), json.size()) != static_cast<ssize_t>(json.size()))
        throw std::runtime_error("no temporary file");
    ::close(fd);
    const std::string command = std::string("python3 -c 'import json; d = json.load(open(\"") +
                                path + "\", encoding=\"utf-8\")); print(ascii(" + expression +
                                "), end=\"\")'";
    std::string answer;
    std::FILE* const python = ::popen(command.c_str(), "r");
    for (int c; (c = std::fgetc(python)) != EOF;) answer += static_cast<char>(c);
    ::pclose(python);
    std::remove(path);
    return answer;
}

}  // namespace

TEST_CASE("otlp_json: a request names the service and has the spans in their order") {
    const std::vector<span_record> two = {least(), least()};
    CHECK(to_otlp_json("shop", two) == before_spans + least_text + "," + least_text + after_spans);
    CHECK(to_otlp_json("shop", {two.data(), 1}) == before_spans + least_text + after_spans);
}

TEST_CASE("otlp_json: every field of a span has its place") {
    span_record s = least();
    s.trace = trace_context(trace, child, 3, "rojo=1,congo=2");
    s.parent = parent;
    s.kind = span_kind::consumer;
    s.attributes = {{"text", "x"},
                    {"int", std::numeric_limits<std::int64_t>::min()},
                    {"double", 0.5},
                    {"bool", true},
                    {"not", false}};
    s.events = {{"retry", start + 1ns, {{"n", 2}}}, {"plain", start + 2ns, {}}};
    s.status = span_status::error;
    s.message = "gone";
    CHECK(to_otlp_json("shop", {&s, 1}) ==
          before_spans +
              R"({"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00000000000000a1",)"
              R"("traceState":"rojo=1,congo=2","parentSpanId":"00f067aa0ba902b7","flags":3,)"
              R"("name":"a","kind":5,"startTimeUnixNano":"1544712660000000001",)"
              R"("endTimeUnixNano":"1544712660000000006","attributes":[)"
              R"({"key":"text","value":{"stringValue":"x"}},)"
              R"({"key":"int","value":{"intValue":"-9223372036854775808"}},)"
              R"({"key":"double","value":{"doubleValue":0.5}},)"
              R"({"key":"bool","value":{"boolValue":true}},)"
              R"({"key":"not","value":{"boolValue":false}}],"events":[)"
              R"({"timeUnixNano":"1544712660000000002","name":"retry",)"
              R"("attributes":[{"key":"n","value":{"intValue":"2"}}]},)"
              R"({"timeUnixNano":"1544712660000000003","name":"plain"}],)"
              R"("status":{"message":"gone","code":2}})" +
              after_spans);
}

TEST_CASE("otlp_json: a status is left out unless it is set") {
    span_record s = least();
    CHECK(to_otlp_json("shop", {&s, 1}).find("status") == std::string::npos);
    s.status = span_status::ok;
    CHECK(to_otlp_json("shop", {&s, 1}).find(R"("status":{"code":1}})") != std::string::npos);
}

TEST_CASE("otlp_json: an independent decoder reads what was meant") {
    span_record s = least();
    s.name = "quote\" back\\ nul" + std::string(1, '\0') + " tab\t \xe2\x82\xac \xff";
    s.attributes = {
        {"k\n", std::nan("")}, {"inf", -std::numeric_limits<double>::infinity()}, {"tenth", 0.1}};
    const std::string json = to_otlp_json("\xf0\x9f\x98", {&s, 1});
    const std::string span = R"(d["resourceSpans"][0]["scopeSpans"][0]["spans"][0])";
    CHECK(decoded(json, span + R"(["name"])") == R"('quote" back\\ nul\x00 tab\t \u20ac \ufffd')");
    CHECK(decoded(json, "[[a[\"key\"], a[\"value\"]] for a in " + span + "[\"attributes\"]]") ==
          R"([['k\n', {'doubleValue': 'NaN'}], ['inf', {'doubleValue': '-Infinity'}], )"
          R"(['tenth', {'doubleValue': 0.1}]])");
    CHECK(decoded(json, R"(d["resourceSpans"][0]["resource"]["attributes"][0]["value"])") ==
          R"({'stringValue': '\ufffd'})");
}

TEST_CASE("otlp_json: the exporter writes a line for each batch, and none for the end") {
    std::vector<std::string> lines;
    otlp_json exporter("shop", [&](std::string_view text) { lines.emplace_back(text); });
    const span_record s = least();
    CHECK(exporter({&s, 1}).has_value());
    CHECK(exporter({}).has_value());
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] == before_spans + least_text + after_spans + "\n");
}

TEST_CASE("otlp_json: what the sink says is handed on, an error or an exception") {
    const span_record s = least();
    otlp_json failing("shop", [](std::string_view) -> result<> {
        return fail(std::make_error_code(std::errc::no_space_on_device));
    });
    const auto how = failing({&s, 1});
    REQUIRE_FALSE(how.has_value());
    CHECK(how.error() == std::errc::no_space_on_device);
    otlp_json throwing("shop", [](std::string_view) { throw std::runtime_error("no"); });
    CHECK_THROWS_AS(static_cast<void>(throwing({&s, 1})), std::runtime_error);
    int written = 0;
    otlp_json moved("shop", [only = std::make_unique<int>(1), &written](std::string_view) {
        written += *only;
    });
    CHECK(moved({&s, 1}).has_value());
    CHECK(written == 1);
}

namespace {

std::size_t count(const std::string& text, std::string_view part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        ++found;
    return found;
}

/// Whatever happens to the requests, each line is a whole request, and each span in one of them.
task<> traced_requests(context ctx) {
    auto text = std::make_shared<std::string>();
    tracer t(std::chrono::system_clock::time_point(1h),
             otlp_json("shop", [text](std::string_view line) { *text += line; }));
    const context traced = with_tracer(ctx, t);
    wait_group requests;
    for (int i = 0; i < 3; ++i) {
        requests.go(
            [](context in) -> task<> {
                auto span = start_span(in, "request");
                const auto slept = co_await within(span.ctx(), sleep_for(1ms));
                span.status(slept ? failure() : failure(slept.error()));
            },
            traced);
    }
    co_await requests.wait();
    const auto how = co_await t.close();
    EXPECT(how.has_value());
    EXPECT(count(*text, R"("spanId":)") == 3);
    EXPECT(count(*text, "\n") == count(*text, R"({"resourceSpans":)"));
    EXPECT(count(*text, R"("code":1})") + count(*text, R"("code":2})") == 3);
    EXPECT(text->ends_with("]}]}]}\n"));
}

task<> undisturbed() {
    co_await traced_requests(background());
}

}  // namespace

TEST_CASE("otlp_json: a tracer's spans become its lines") {
    simulated(undisturbed, 1'000);
}

TEST_CASE("otlp_json: a tracer's spans become its lines, on real workers") {
    on_real_workers(undisturbed);
}

TEST_CASE("otlp_json: spans of cancelled requests become its lines too") {
    simulated_cancelled(traced_requests);
}
