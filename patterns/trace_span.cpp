#include <sluice/patterns/trace_span.hpp>

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>
#include <stdexcept>

#include <sluice/runtime/sleep.hpp>

namespace sluice {

namespace {

constexpr std::size_t most_in_a_batch = 512;

const context_key<std::shared_ptr<detail::span_queue>> tracer_key("tracer");

std::ptrdiff_t checked_capacity(const tracer_options& o) {
    if (o.queue == 0) throw std::invalid_argument("tracer: a queue without room");
    if (!(o.ratio >= 0 && o.ratio <= 1))
        throw std::invalid_argument("tracer: ratio is not in 0 to 1");
    return static_cast<std::ptrdiff_t>(o.queue);
}

}  // namespace

namespace detail {

span_queue::span_queue(std::chrono::system_clock::time_point wall_now, const tracer_options& o)
    : wall_offset_(wall_now.time_since_epoch() - sluice::now().time_since_epoch()),
      ratio_(o.ratio),
      ended_(make_chan<std::unique_ptr<span_record>>(checked_capacity(o))) {}

wall_time span_queue::now() const noexcept {
    return wall_time(sluice::now().time_since_epoch() + wall_offset_);
}

// By the last 7 bytes, which are random: other processes that do the same choose the same traces.
bool span_queue::samples(const trace_id& id) const noexcept {
    std::uint64_t chance = 0;
    for (std::size_t i = 9; i < id.bytes().size(); ++i) chance = chance << 8 | id.bytes()[i];
    return static_cast<double>(chance) < std::ldexp(ratio_, 56);
}

void span_queue::push(std::unique_ptr<span_record> ended) noexcept {
    bool taken = false;
    try {
        taken = ended_.try_send(std::move(ended));
    } catch (const channel_closed&) {
        // Dropped, as the stats say.
    }
    if (!taken) drop();
}

void span_queue::drop() noexcept {
    const std::lock_guard guard(mutex_);
    ++stats_.dropped;
}

task<std::vector<span_record>> span_queue::pop() {
    std::vector<span_record> batch;
    auto next = co_await ended_.recv();
    while (next) {
        try {
            batch.push_back(std::move(**next));
        } catch (const std::bad_alloc&) {
            drop();
        }
        next = batch.size() < most_in_a_batch ? ended_.try_recv() : std::nullopt;
        if (!next && batch.empty()) next = co_await ended_.recv();  // all were dropped
    }
    co_return batch;
}

void span_queue::close() {
    {
        const std::lock_guard guard(mutex_);
        if (std::exchange(closed_, true)) return;
    }
    ended_.close();
}

void span_queue::exported(std::size_t spans, const failure& why) {
    const std::lock_guard guard(mutex_);
    (why ? stats_.failed : stats_.exported) += spans;
    if (why && !failure_) failure_ = why;
}

result<> span_queue::outcome() const {
    const std::lock_guard guard(mutex_);
    if (failure_.exception()) std::rethrow_exception(failure_.exception());
    if (failure_) return fail(failure_.code());
    return {};
}

tracer_stats span_queue::stats() const {
    const std::lock_guard guard(mutex_);
    return stats_;
}

}  // namespace detail

context with_tracer(const context& parent, const tracer& t) {
    return with_value(parent, tracer_key, t.queue_);
}

void trace_span::event(std::string_view name, std::vector<attribute> attributes) {
    if (!recording()) return;
    record_->events.push_back({std::string(name), queue_->now(), std::move(attributes)});
}

void trace_span::status(const failure& why) {
    if (!recording()) return;
    record_->status = why ? span_status::error : span_status::ok;
    record_->message = why ? why.message() : std::string();
}

void trace_span::end() noexcept {
    if (!recording()) return;
    record_->end = queue_->now();
    queue_->push(std::move(record_));
}

void trace_span::set(attribute a) {
    auto& all = record_->attributes;
    const auto there = std::ranges::find(all, a.key, &attribute::key);
    if (there == all.end()) {
        all.push_back(std::move(a));
    } else {
        there->value = std::move(a.value);
    }
}

trace_span start_span(const context& parent, std::string_view name, span_kind kind) {
    const auto* const queue = parent.value(tracer_key);
    if (queue == nullptr) return trace_span(parent);
    const trace_context* const above = trace_of(parent);
    trace_context trace = above != nullptr ? above->child() : trace_context::root(false);
    if (above == nullptr && (*queue)->samples(trace.trace))
        trace.flags |= trace_context::sampled_flag;

    trace_span started(with_trace(parent, trace));
    if (!trace.sampled()) return started;
    started.queue_ = *queue;
    started.record_ = std::make_unique<span_record>();
    span_record& record = *started.record_;
    record.trace = std::move(trace);
    if (above != nullptr) record.parent = above->span;
    record.name = name;
    record.kind = kind;
    record.start = (*queue)->now();
    return started;
}

}  // namespace sluice
