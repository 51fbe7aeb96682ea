#include <sluice/patterns/otlp_json.hpp>

#include <cstdint>
#include <variant>
#include <vector>

#include <sluice/patterns/detail/json_text.hpp>

namespace sluice {

namespace {

using detail::append_json;

/// A key, with the comma that parts it from what is before it.
void key(std::string& to, std::string_view name) {
    if (to.back() != '{') to += ',';
    append_json(to, name);
    to += ':';
}

void field(std::string& to, std::string_view name, std::string_view text) {
    key(to, name);
    append_json(to, text);
}

void field(std::string& to, std::string_view name, wall_time t) {
    field(to, name, std::to_string(t.time_since_epoch().count()));
}

template <class Enum>
void number_field(std::string& to, std::string_view name, Enum value) {
    key(to, name);
    to += std::to_string(static_cast<int>(value));
}

struct value_writer {
    std::string& to;

    void operator()(const std::string& text) const { field(to, "stringValue", text); }
    void operator()(std::int64_t number) const { field(to, "intValue", std::to_string(number)); }
    void operator()(double number) const {
        key(to, "doubleValue");
        append_json(to, number);
    }
    void operator()(bool truth) const {
        key(to, "boolValue");
        to += truth ? "true" : "false";
    }
};

void append(std::string& to, const attribute& a) {
    to += '{';
    field(to, "key", a.key);
    key(to, "value");
    to += '{';
    std::visit(value_writer{to}, a.value);
    to += "}}";
}

void append(std::string& to, const span_event& e);
void append(std::string& to, const span_record& s);

template <class T>
void list(std::string& to, std::string_view name, const T& items) {
    if (items.empty()) return;
    key(to, name);
    char before = '[';
    for (const auto& item : items) {
        to += before;
        append(to, item);
        before = ',';
    }
    to += ']';
}

void append(std::string& to, const span_event& e) {
    to += '{';
    field(to, "timeUnixNano", e.at);
    field(to, "name", e.name);
    list(to, "attributes", e.attributes);
    to += '}';
}

void append(std::string& to, const span_record& s) {
    to += '{';
    field(to, "traceId", s.trace.trace.text());
    field(to, "spanId", s.trace.span.text());
    if (!s.trace.state.empty()) field(to, "traceState", s.trace.state);
    if (s.parent) field(to, "parentSpanId", s.parent.text());
    number_field(to, "flags", s.trace.flags);
    field(to, "name", s.name);
    number_field(to, "kind", s.kind);
    field(to, "startTimeUnixNano", s.start);
    field(to, "endTimeUnixNano", s.end);
    list(to, "attributes", s.attributes);
    list(to, "events", s.events);
    if (s.status != span_status::unset) {
        key(to, "status");
        to += '{';
        if (!s.message.empty()) field(to, "message", s.message);
        number_field(to, "code", s.status);
        to += '}';
    }
    to += '}';
}

}  // namespace

std::string to_otlp_json(std::string_view service, std::span<const span_record> spans) {
    constexpr std::size_t usual_span = 400;
    std::string to;
    to.reserve(spans.size() * usual_span + 200);
    to += R"({"resourceSpans":[{"resource":{"attributes":[)";
    append(to, attribute("service.name", service));
    to += R"(]},"scopeSpans":[{"scope":{"name":"sluice"})";
    list(to, "spans", spans);
    to += "}]}]}";
    return to;
}

}  // namespace sluice
