// span_record: what is known of one span of a trace once it has ended. Spans (trace_span) make
// them, exporters (otlp_json, chrome_trace, or a function of yours) turn them into something else.
//
// A plain value; times are of the wall clock, as the tracer maps them.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/patterns/trace_context.hpp>

namespace sluice {

using wall_time = std::chrono::sys_time<std::chrono::nanoseconds>;

/// Which side of a call a span is; the numbers are OpenTelemetry's.
enum class span_kind : std::uint8_t { internal = 1, server, client, producer, consumer };

/// The numbers are OpenTelemetry's.
enum class span_status : std::uint8_t { unset, ok, error };

using attribute_value = std::variant<std::string, std::int64_t, double, bool>;

/// What an attribute's value can be made of: a number, a truth or text, but no single character.
template <class V>
concept attribute_like =
    std::same_as<V, bool> || std::floating_point<V> ||
    (std::integral<V> && !std::same_as<V, char> && !std::same_as<V, wchar_t> &&
     !std::same_as<V, char8_t> && !std::same_as<V, char16_t> && !std::same_as<V, char32_t>) ||
    std::convertible_to<const V&, std::string_view>;

/// A named value of a span or an event.
struct attribute {
    /// Text, a number or a truth. An unsigned number too large for 64 bits with a sign becomes the
    /// largest of those.
    template <attribute_like V>
    attribute(std::string_view k, const V& v) : key(k), value(make(v)) {}

    friend bool operator==(const attribute&, const attribute&) = default;

    std::string key;
    attribute_value value;

private:
    template <class V>
    static attribute_value make(const V& v) {
        if constexpr (std::same_as<V, bool>) {
            return v;
        } else if constexpr (std::integral<V>) {
            constexpr auto most = std::numeric_limits<std::int64_t>::max();
            return std::cmp_greater(v, most) ? most : static_cast<std::int64_t>(v);
        } else if constexpr (std::floating_point<V>) {
            return static_cast<double>(v);
        } else {
            return std::string(static_cast<std::string_view>(v));
        }
    }
};

/// Something that happened at one moment of a span.
struct span_event {
    std::string name;
    wall_time at;
    std::vector<attribute> attributes;
};

struct span_record {
    trace_context trace;  // its own ids, with the flags and the state of the trace
    span_id parent;       // all zero: it has none, the trace began here
    std::string name;
    span_kind kind = span_kind::internal;
    wall_time start;
    wall_time end;
    std::vector<attribute> attributes;  // no key twice
    std::vector<span_event> events;
    span_status status = span_status::unset;
    std::string message;  // of an error
};

}  // namespace sluice
