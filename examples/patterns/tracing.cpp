// Where does the time of an order go? Its steps are spans. With --otlp the program writes what a
// collector takes, otherwise a line for each span, in the order in which they ended.
#include <sluice/sluice.hpp>

#include <sluice/patterns/file_sink.hpp>
#include <sluice/patterns/otlp_json.hpp>
#include <sluice/patterns/trace_context.hpp>
#include <sluice/patterns/trace_span.hpp>
using namespace std::chrono_literals;

sluice::task<> ask_for_price(sluice::context ctx, std::string item) {
    auto span = sluice::start_span(ctx, "price of " + item, sluice::span_kind::client);
    const std::string header = sluice::format_traceparent(*sluice::trace_of(span.ctx()));
    span.set("header.bytes", header.size());  // what the other service would be sent
    co_await sluice::sleep_for(item == "tea" ? 1ms : 200ms);
}

sluice::task<> order(sluice::context ctx, std::optional<sluice::trace_context> from) {
    if (from) ctx = sluice::with_trace(ctx, *from);  // the caller's trace goes on here
    auto span = sluice::start_span(ctx, "order", sluice::span_kind::server);
    span.set("items", 2);
    sluice::wait_group prices;
    prices.go(ask_for_price, span.ctx(), "tea");
    prices.go(ask_for_price, span.ctx(), "milk");
    co_await prices.wait();

    auto paying = sluice::start_span(span.ctx(), "pay");
    const auto paid = co_await within(1ms, sluice::sleep_for(1h));
    if (!paid) paying.status(paid.error());
}

void print(std::span<const sluice::span_record> spans) {
    for (const auto& s : spans) {
        const bool failed = s.status == sluice::span_status::error;
        const std::string outcome = failed ? ": " + s.message : "";
        std::printf("%s%s%s\n", s.parent ? "  " : "", s.name.c_str(), outcome.c_str());
    }
}

template <class Exporter>
sluice::task<> program(Exporter exporter) {
    sluice::tracer tracing(std::chrono::system_clock::now(), exporter);
    const auto ctx = with_tracer(sluice::background(), tracing);
    co_await order(ctx, sluice::parse_traceparent("not from a traced caller"));
    const auto exported = co_await tracing.close();
    exported.value();  // throws what the exporter failed with
}

int main(int argc, char** argv) {
    if (argc > 1 && argv[1] == std::string("--otlp")) {
        const sluice::otlp_json json("shop", sluice::file_sink(stdout));
        return sluice::run(program<decltype(json)>, json);
    }
    // In virtual time, so that the output is the same on any machine.
    return sluice::simulate({}, program<decltype(&print)>, &print);
}

// Output:
//   price of tea
//   price of milk
//   pay: deadline exceeded
// order
