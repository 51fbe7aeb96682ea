// chrome_trace: spans for a look at one run, in the trace event format of chrome://tracing and
// ui.perfetto.dev.
//
//     tracer tracing(wall_now, chrome_trace(file_sink(file)));
//
// When to use: to see on a time line what a test, a benchmark or a tool did.
// When not: in a service that runs for days: the document is written at the end, from memory
// (otlp_json).
//
// Each span is a complete event ("X"), each of its events an instant one ("i"). A row of the viewer
// shows events that nest and nothing else, but spans are of tasks, and overlap. So rows are dealt
// out, as the "thread" ids: a span is below its parent where it fits into it and the row is free of
// its siblings, and on another row otherwise.
//
// Rejected: a row for each worker thread. A span begins on one and ends on another.
//
// Cost: a record of about 250 bytes and its texts for each span until the end; n spans are laid out
// in n log n steps.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <sluice/patterns/detail/text_sink.hpp>
#include <sluice/patterns/span_record.hpp>

namespace sluice {

/// A document of all these spans. Times are microseconds since the earliest start, which is under
/// otherData.startUnixNano. What is not valid UTF-8 is replaced by U+FFFD. Any thread.
std::string to_chrome_trace(std::span<const span_record> spans);

/// Exporter for a tracer: collects the spans, and when the tracer is closed writes one document to
/// the sink, a plain function of a std::string_view that may block, and gives nothing or result<>.
template <detail::text_sink Sink>
class chrome_trace {
public:
    explicit chrome_trace(Sink sink) : sink_(std::move(sink)) {}

    /// The sink's error or exception. No spans: writes the document, and begins another one.
    result<> operator()(std::span<const span_record> spans) {
        if (spans.empty())
            return detail::write_text(sink_, to_chrome_trace(std::exchange(all_, {})));
        all_.insert(all_.end(), spans.begin(), spans.end());
        return {};
    }

private:
    Sink sink_;
    std::vector<span_record> all_;
};

}  // namespace sluice
