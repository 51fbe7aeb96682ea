#include <sluice/patterns/trace_log.hpp>

#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include <spdlog/sinks/ostream_sink.h>

#include <sluice/patterns/trace_span.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const trace_context place =
    parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").value();
const std::string ids = "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7 ";

/// A logger that writes level and message, a line each.
class lines {
public:
    lines() { logger_->set_pattern("%l %v"); }

    const std::shared_ptr<spdlog::logger>& logger() const { return logger_; }
    std::string take() {
        std::string all = text_.str();
        text_.str({});
        return all;
    }

private:
    std::ostringstream text_;
    std::shared_ptr<spdlog::logger> logger_ = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
};

struct unformattable {};

}  // namespace

template <>
struct spdlog::fmt_lib::formatter<unformattable> {
    constexpr auto parse(format_parse_context& c) { return c.begin(); }
    template <class Context>
    auto format(const unformattable&, Context& c) const -> decltype(c.out()) {
        throw std::runtime_error("not this one");
    }
};

TEST_CASE("trace_log: a line has the ids of its context before the message") {
    lines out;
    const trace_log log(out.logger(), with_trace(background(), place));
    log.info("charged {} cents for {}", 250, "tea");
    CHECK(out.take() == "info " + ids + "charged 250 cents for tea\n");
    const trace_log copy = log;
    copy.warn("nothing to format, {{}} kept");
    CHECK(out.take() == "warning " + ids + "nothing to format, {} kept\n");
}

TEST_CASE("trace_log: the ids are those of the span whose context it has") {
    simulated([]() -> task<> {
        lines out;
        trace_context seen;
        tracer t(std::chrono::system_clock::time_point(), [](std::span<const span_record>) {});
        {
            auto span = start_span(with_tracer(background(), t), "s");
            seen = *trace_of(span.ctx());
            trace_log(out.logger(), span.ctx()).info("here");
        }
        EXPECT(out.take() ==
               "info trace_id=" + seen.trace.text() + " span_id=" + seen.span.text() + " here\n");
        co_return;
    });
}

TEST_CASE("trace_log: without a trace a line is as it would be") {
    lines out;
    trace_log(out.logger(), background()).error("{} failed", "it");
    CHECK(out.take() == "error it failed\n");
}

TEST_CASE("trace_log: the logger's level holds, and what is below it formats nothing") {
    lines out;
    out.logger()->set_level(spdlog::level::warn);
    const trace_log log(out.logger(), with_trace(background(), place));
    log.debug("no");
    log.info("{}", unformattable());
    CHECK(out.take().empty());
    log.error("yes");
    log.log(spdlog::level::critical, "{}", "too");
    CHECK(out.take() == "error " + ids + "yes\ncritical " + ids + "too\n");
    out.logger()->set_level(spdlog::level::trace);
    log.debug("now");
    CHECK(out.take() == "debug " + ids + "now\n");
}

TEST_CASE("trace_log: what a formatter throws is thrown, and braces in the values stay") {
    lines out;
    const trace_log log(out.logger(), with_trace(background(), place));
    CHECK_THROWS_AS(log.info("{}", unformattable()), std::runtime_error);
    CHECK(out.take().empty());
    log.info("{}", "{} {0} {x}");
    CHECK(out.take() == "info " + ids + "{} {0} {x}\n");
}

namespace {

/// Each task's lines have its own ids, wherever it goes on after a wait.
task<> logging_tasks(context ctx) {
    lines out;
    std::multiset<std::string> expected;
    wait_group tasks;
    for (int i = 0; i < 4; ++i) {
        const trace_context here = trace_context::root(true);
        const std::string line = "info trace_id=" + here.trace.text() +
                                 " span_id=" + here.span.text() + " task " + std::to_string(i);
        expected.insert(line + " begins");
        expected.insert(line + " ends");
        tasks.go(
            [](context in, std::shared_ptr<spdlog::logger> to, int number) -> task<> {
                const trace_log log(std::move(to), in);
                log.info("task {} begins", number);
                static_cast<void>(co_await within(in, sleep_for(1ms)));
                log.info("task {} ends", number);
            },
            with_trace(ctx, here), out.logger(), i);
    }
    co_await tasks.wait();
    std::istringstream text(out.take());
    std::multiset<std::string> got;
    for (std::string line; std::getline(text, line);) got.insert(line);
    EXPECT(got == expected);
}

task<> undisturbed() {
    co_await logging_tasks(background());
}

}  // namespace

TEST_CASE("trace_log: the lines of tasks carry their own ids") {
    simulated(undisturbed, 1'000);
}

TEST_CASE("trace_log: the lines of tasks carry their own ids, on real workers") {
    on_real_workers(undisturbed);
}

TEST_CASE("trace_log: the lines of cancelled tasks carry their own ids") {
    simulated_cancelled(logging_tasks);
}
