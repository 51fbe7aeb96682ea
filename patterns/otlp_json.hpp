// otlp_json: spans as OpenTelemetry's collectors take them, in the JSON form of its protocol
// (OTLP 1, ExportTraceServiceRequest).
//
//     tracer tracing(wall_now, otlp_json("shop", file_sink(stdout)));
//
// When to use: to hand traces to a collector, by a file that it reads (its otlpjsonfile receiver),
// or as the body of a POST to /v1/traces with content type application/json.
// When not: to look at one run on one machine (chrome_trace).
//
// The mapping is protobuf's JSON one, but for ids, which are hexadecimal: keys in camelCase,
// 64-bit numbers as text, enums as numbers, fields with their default value left out.
//
// Cost: some 300 bytes of text a span, built in memory batch by batch.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <sluice/patterns/detail/text_sink.hpp>
#include <sluice/patterns/span_record.hpp>

namespace sluice {

/// One request with these spans, on one line, without its end. `service` is the resource's
/// service.name. What is not valid UTF-8 is replaced by U+FFFD. Any thread.
std::string to_otlp_json(std::string_view service, std::span<const span_record> spans);

/// Exporter for a tracer: each batch becomes one line for the sink, a plain function of a
/// std::string_view that may block, and gives nothing or result<>.
template <detail::text_sink Sink>
class otlp_json {
public:
    otlp_json(std::string service, Sink sink)
        : service_(std::move(service)), sink_(std::move(sink)) {}

    /// The sink's error or exception. No spans: writes nothing.
    result<> operator()(std::span<const span_record> spans) {
        if (spans.empty()) return {};
        return detail::write_text(sink_, to_otlp_json(service_, spans) + '\n');
    }

private:
    std::string service_;
    Sink sink_;
};

}  // namespace sluice
