// trace_span: the times, names and outcomes of the steps that a request takes.
//
//     tracer tracing(std::chrono::system_clock::now(), otlp_json("shop", file_sink(stdout)));
//     context traced = with_tracer(ctx, tracing);        // once, near the start of the program
//     …
//     auto span = start_span(traced, "checkout", span_kind::server);   // it ends with its scope
//     span.set("items", 3);
//     co_await charge(span.ctx());                       // spans started there are its children
//     …
//     co_await tracing.close();                          // all that have ended are exported
//
// When to use: to see where the time of a request goes, over all its tasks and over processes.
// When not: for totals and rates (count them), or inside loops that take less than a microsecond.
//
// How it works
//   start_span() takes its parent from the context: a span of this process, or what with_trace()
//   put there, which came with a request; else it begins a new trace. A span's own context hands
//   all this on, so that a function needs its context and nothing else. Without a tracer in the
//   context a span does nothing.
//   A span that ends goes into a queue, without waiting. One task takes out what is there, some
//   hundreds at once, and calls the exporter with it.
// Invariants
//   A trace is recorded as a whole or not at all: a parent's sampled flag decides, the tracer's
//   ratio where there is no parent. Children of a span that is not recorded are not recorded, and
//   requests that go out from there say so.
//   Each recorded span is counted once, as exported, dropped or failed. A full queue drops: tracing
//   never makes the program wait, and its memory is bounded.
//   Exports do not overlap, and keep no worker busy: an exporter that is a plain function runs as
//   blocking() does.
//
// Rejected: a process-wide tracer. Two runtimes in one process, and each test, want their own.
//
// Cost: a recorded span is two allocations and what its name and attributes take (about 250 bytes),
// and a lock when it ends. One that is not recorded costs its context, one pooled allocation. The
// queue takes 8 bytes a span.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/patterns/span_record.hpp>
#include <sluice/patterns/trace_context.hpp>
#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

struct tracer_options {
    /// The share of the traces that begin here to record, from 0 to 1. Chosen by the trace's id.
    double ratio = 1;
    /// Spans that may wait for the exporter, at least 1.
    std::size_t queue = 2048;
};

/// What has become of the recorded spans.
struct tracer_stats {
    std::uint64_t exported = 0;  // the exporter took them
    std::uint64_t dropped = 0;   // the queue was full, the tracer closed, or memory scarce
    std::uint64_t failed = 0;    // the exporter failed with them
};

namespace detail {

/// What a tracer, its task, its spans and their contexts share.
class span_queue {
public:
    span_queue(std::chrono::system_clock::time_point wall_now, const tracer_options& o);

    wall_time now() const noexcept;
    bool samples(const trace_id& id) const noexcept;

    /// Never waits.
    void push(std::unique_ptr<span_record> ended) noexcept;
    /// Waits for spans and takes some; none: closed, and all are taken.
    task<std::vector<span_record>> pop();
    void close();

    void exported(std::size_t spans, const failure& why);
    /// The exporter's first failure: an exception is thrown.
    result<> outcome() const;
    tracer_stats stats() const;

private:
    void drop() noexcept;

    const std::chrono::nanoseconds wall_offset_;  // from sluice::now()
    const double ratio_;
    const chan<std::unique_ptr<span_record>> ended_;

    mutable std::mutex mutex_;
    // Under mutex_.
    tracer_stats stats_;
    failure failure_;
    bool closed_ = false;
};

template <class Exporter>
using export_result = std::invoke_result_t<Exporter&, std::span<const span_record>>;

/// A plain exporter runs on a thread of its own. It and the batch are then the call's, which a
/// shutdown of the runtime does not end.
template <class Exporter>
task<outcome<result<>>> export_batch(std::shared_ptr<Exporter> exporter,
                                     std::vector<span_record> batch) {
    if constexpr (is_task<export_result<Exporter>>) {
        auto how = co_await attempt(*exporter, std::span<const span_record>(batch));
        co_return how;
    } else {
        auto call = [exporter, spans = std::move(batch)]() -> result<> {
            if constexpr (std::is_void_v<export_result<Exporter>>) {
                std::invoke(*exporter, std::span<const span_record>(spans));
                return {};
            } else {
                return std::invoke(*exporter, std::span<const span_record>(spans));
            }
        };
        try {
            result<> how = co_await blocking(std::move(call));
            co_return how;
        } catch (...) {
            co_return outcome<result<>>(std::current_exception());
        }
    }
}

/// `finished` is called when this ends, whichever way.
template <class Exporter>
task<> export_spans([[maybe_unused]] cancel_function finished, std::shared_ptr<span_queue> queue,
                    std::shared_ptr<Exporter> exporter) {
    bool more = true;
    while (more) {
        std::vector<span_record> batch = co_await queue->pop();
        const std::size_t spans = batch.size();
        more = spans > 0;
        auto how = co_await export_batch(exporter, std::move(batch));
        queue->exported(spans, how.why());
    }
}

class [[nodiscard]] tracer_close_operation : public sole_operation<tracer_close_operation> {
public:
    using result_type = result<>;
    tracer_close_operation(canceller* finished, const span_queue& q) noexcept
        : leaf_(finished), queue_(&q) {}
    tracer_close_operation(tracer_close_operation&&) noexcept = default;

    done_leaf& the_leaf() noexcept { return leaf_; }
    result<> take(std::size_t) const { return queue_->outcome(); }

private:
    done_leaf leaf_;
    const span_queue* queue_;
};

}  // namespace detail

/// What spans that have ended are given to: a function, plain or a coroutine, that gives nothing or
/// result<>.
template <class F>
concept span_exporter =
    std::invocable<F&, std::span<const span_record>> &&
    std::same_as<detail::call_result<F&, std::span<const span_record>>, result<>>;

/// Gathers the spans of the contexts that have it, and exports them. Letting it go closes it, and
/// waits for nothing: its task exports what is there and ends.
class tracer {
public:
    /// wall_now: what the wall clock shows at this moment; spans are dated from it by the steady
    /// clock, so that no correction of the wall clock bends them. Calls the exporter with one batch
    /// after the other, and with none at the end; a plain function on a thread of the blocking
    /// pool. Throws std::invalid_argument for options out of their range, std::logic_error on a
    /// thread that runs no tasks.
    template <span_exporter Exporter>
    tracer(std::chrono::system_clock::time_point wall_now, Exporter exporter, tracer_options o = {})
        : tracer(std::make_shared<detail::span_queue>(wall_now, o), with_cancel(background()),
                 std::make_shared<Exporter>(std::move(exporter))) {}
    tracer(const tracer&) = delete;
    tracer& operator=(const tracer&) = delete;
    ~tracer() { queue_->close(); }

    /// Operation: waits until the exporter has had all spans that ended before this call, and its
    /// call without any; gives its first failure, an exception by throwing. Spans that end later
    /// are dropped. Losing a race leaves the tracer closed, and its task to go on. May be called
    /// again. Any thread; must not outlive the tracer.
    auto close() {
        queue_->close();
        return detail::tracer_close_operation(finished_.nearest(), *queue_);
    }

    /// A snapshot. Any thread.
    tracer_stats stats() const { return queue_->stats(); }

private:
    friend context with_tracer(const context& parent, const tracer& t);

    template <class Exporter>
    tracer(std::shared_ptr<detail::span_queue> queue, std::pair<context, cancel_function> finished,
           std::shared_ptr<Exporter> exporter)
        : queue_(std::move(queue)), finished_(std::move(finished.first)) {
        go(detail::export_spans<Exporter>, std::move(finished.second), queue_, std::move(exporter));
    }

    const std::shared_ptr<detail::span_queue> queue_;
    const context finished_;  // ends when the task has
};

/// Spans started under it go to that tracer, also when it has been let go. Any thread.
context with_tracer(const context& parent, const tracer& t);

/// A step of the work for a request, from start_span() until end() or until it is let go.
/// Move-only. For one task at a time. What is done to it after its end, or when it is not recorded,
/// has no effect.
class [[nodiscard]] trace_span {
public:
    trace_span(trace_span&&) noexcept = default;
    trace_span& operator=(trace_span&& other) noexcept {
        end();
        ctx_ = std::move(other.ctx_);
        queue_ = std::move(other.queue_);
        record_ = std::move(other.record_);
        return *this;
    }
    ~trace_span() { end(); }

    /// The context for the work that belongs to it.
    context ctx() const noexcept { return ctx_; }

    /// Whether it is recorded, and has not ended: worth working for an attribute.
    bool recording() const noexcept { return record_ != nullptr; }

    /// The attribute has this value from now on.
    template <attribute_like V>
    void set(std::string_view key, const V& value) {
        if (recording()) set(attribute(key, value));
    }

    /// Something that happens now.
    void event(std::string_view name, std::vector<attribute> attributes = {});

    /// How the work went: with that failure, or well if there is none. The last call counts.
    void status(const failure& why);

    /// Ends it now; waits for nothing.
    void end() noexcept;

private:
    friend trace_span start_span(const context& parent, std::string_view name, span_kind kind);

    explicit trace_span(context ctx) noexcept : ctx_(std::move(ctx)) {}
    void set(attribute a);

    context ctx_;
    // Both null if it is not recorded; record_ also once it has ended.
    std::shared_ptr<detail::span_queue> queue_;
    std::unique_ptr<span_record> record_;
};

/// Starts a span below the one of `parent`, or of a new trace. If no tracer is there the span's
/// context is `parent`. Any thread.
trace_span start_span(const context& parent, std::string_view name,
                      span_kind kind = span_kind::internal);

}  // namespace sluice
