#include <sluice/patterns/chrome_trace.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <queue>
#include <string_view>
#include <variant>

#include <sluice/patterns/detail/json_text.hpp>

namespace sluice {

namespace {

using detail::append_json;

/// Deals out the rows to spans that come in the order of their starts.
class rows {
public:
    std::size_t place(const span_record& s) {
        free_ended(s.start);
        const auto parent = where_.find(s.parent);
        const std::size_t row =
            parent != where_.end() && fits(s, open_[parent->second]) ? parent->second : free_row(s);
        open_[row].push_back(&s);
        where_[s.trace.span] = row;
        return row;
    }

private:
    using busy_row = std::pair<wall_time, std::size_t>;  // until when

    template <class T>
    using least_first = std::priority_queue<T, std::vector<T>, std::greater<>>;

    /// Whether s is within its parent, and that is the innermost of the row when s starts.
    static bool fits(const span_record& s, std::vector<const span_record*>& open) {
        while (!open.empty() && open.back()->trace.span != s.parent && open.back()->end <= s.start)
            open.pop_back();
        return !open.empty() && open.back()->trace.span == s.parent && s.end <= open.back()->end;
    }

    void free_ended(wall_time now) {
        while (!busy_.empty() && busy_.top().first <= now) {
            free_.push(busy_.top().second);
            busy_.pop();
        }
    }

    std::size_t free_row(const span_record& s) {
        std::size_t row = open_.size();
        if (free_.empty()) {
            open_.emplace_back();
        } else {
            row = free_.top();
            free_.pop();
            open_[row].clear();
        }
        busy_.emplace(s.end, row);
        return row;
    }

    std::vector<std::vector<const span_record*>> open_;  // of each row, from the outermost
    std::map<span_id, std::size_t> where_;
    least_first<busy_row> busy_;
    least_first<std::size_t> free_;
};

/// By start. Of two that start together, the parent: it ends later, or, the order being that of
/// the ends, comes later.
std::vector<const span_record*> by_start(std::span<const span_record> spans) {
    std::vector<const span_record*> order;
    for (const span_record& s : spans) order.push_back(&s);
    std::ranges::sort(order, [](const span_record* a, const span_record* b) {
        if (a->start != b->start) return a->start < b->start;
        return a->end != b->end ? a->end > b->end : a > b;
    });
    return order;
}

std::string_view name_of(span_kind kind) noexcept {
    switch (kind) {
        case span_kind::server:
            return "server";
        case span_kind::client:
            return "client";
        case span_kind::producer:
            return "producer";
        case span_kind::consumer:
            return "consumer";
        case span_kind::internal:
            break;
    }
    return "internal";
}

void append_microseconds(std::string& to, std::chrono::nanoseconds t) {
    char room[40];
    std::snprintf(room, sizeof room, "%lld.%03lld", static_cast<long long>(t.count() / 1000),
                  static_cast<long long>(t.count() % 1000));
    to += room;
}

void append_attributes(std::string& to, const std::vector<attribute>& attributes) {
    char before = '{';
    for (const attribute& a : attributes) {
        to += before;
        append_json(to, a.key);
        to += ':';
        if (const auto* const text = std::get_if<std::string>(&a.value)) append_json(to, *text);
        if (const auto* const number = std::get_if<std::int64_t>(&a.value))
            to += std::to_string(*number);
        if (const auto* const number = std::get_if<double>(&a.value)) append_json(to, *number);
        if (const auto* const truth = std::get_if<bool>(&a.value)) to += *truth ? "true" : "false";
        before = ',';
    }
    to += attributes.empty() ? "{}" : "}";
}

/// Everything that events have in common, up to their args.
void begin_event(std::string& to, std::string_view name, std::string_view phase,
                 std::chrono::nanoseconds at, std::size_t row) {
    to += "\n{\"name\":";
    append_json(to, name);
    to += R"(,"ph":)";
    append_json(to, phase);
    to += R"(,"pid":1,"tid":)" + std::to_string(row + 1) + R"(,"ts":)";
    append_microseconds(to, at);
}

void append_span(std::string& to, const span_record& s, wall_time zero, std::size_t row) {
    begin_event(to, s.name, "X", s.start - zero, row);
    to += R"(,"dur":)";
    append_microseconds(to, s.end - s.start);
    to += R"(,"cat":)";
    append_json(to, name_of(s.kind));
    to += R"(,"args":{"trace":")" + s.trace.trace.text() + R"(","span":")" + s.trace.span.text();
    if (s.parent) to += R"(","parent":")" + s.parent.text();
    to += '"';
    if (s.status == span_status::ok) to += R"(,"status":"ok")";
    if (s.status == span_status::error) {
        to += R"(,"status":"error","message":)";
        append_json(to, s.message);
    }
    to += R"(,"attributes":)";
    append_attributes(to, s.attributes);
    to += "}},";
    for (const span_event& e : s.events) {
        begin_event(to, e.name, "i", e.at - zero, row);
        to += R"(,"s":"t","args":)";
        append_attributes(to, e.attributes);
        to += "},";
    }
}

}  // namespace

std::string to_chrome_trace(std::span<const span_record> spans) {
    const std::vector<const span_record*> order = by_start(spans);
    const wall_time zero = order.empty() ? wall_time() : order.front()->start;
    rows dealt;
    std::string to = R"({"traceEvents":[)";
    for (const span_record* const s : order) append_span(to, *s, zero, dealt.place(*s));
    if (to.back() == ',') to.pop_back();
    to += "\n],\"otherData\":{\"startUnixNano\":\"" +
          std::to_string(zero.time_since_epoch().count()) + "\"}}\n";
    return to;
}

}  // namespace sluice
