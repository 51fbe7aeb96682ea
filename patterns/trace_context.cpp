#include <sluice/patterns/trace_context.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sluice/runtime/random.hpp>

namespace sluice {

namespace {

constexpr std::string_view digits = "0123456789abcdef";

// The header of version 00: "00-" trace "-" span "-" flags.
constexpr std::size_t trace_at = 3;
constexpr std::size_t span_at = 36;
constexpr std::size_t flags_at = 53;
constexpr std::size_t header_length = 55;

const context_key<trace_context> trace_key("trace");

/// Both ends lower-case digits; nothing for anything else.
std::optional<std::uint8_t> parse_byte(std::string_view two) noexcept {
    const std::size_t high = digits.find(two[0]);
    const std::size_t low = digits.find(two[1]);
    if (high == digits.npos || low == digits.npos) return std::nullopt;
    return static_cast<std::uint8_t>(high << 4 | low);
}

void append_byte(std::string& to, std::uint8_t byte) {
    to += digits[byte >> 4];
    to += digits[byte & 15];
}

bool is_lower_or_digit(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_key(std::string_view key) noexcept {
    return !key.empty() && key.size() <= 256 && is_lower_or_digit(key[0]) &&
           std::ranges::all_of(key, [](char c) {
               return is_lower_or_digit(c) ||
                      std::string_view("_-*/@").find(c) != std::string::npos;
           });
}

bool is_value(std::string_view value) noexcept {
    return !value.empty() && value.size() <= 256 && value.back() != ' ' &&
           std::ranges::all_of(
               value, [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

std::string_view trimmed(std::string_view text) noexcept {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The members of a tracestate, joined again; empty if it breaks a rule.
std::string checked_state(std::string_view text) {
    constexpr std::size_t most_members = 32;
    std::vector<std::string_view> keys;
    std::string joined;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find(',', at), text.size());
        const std::string_view member = trimmed(text.substr(at, end - at));
        at = end + 1;
        if (member.empty()) continue;
        const std::size_t equals = member.find('=');
        if (equals == member.npos || keys.size() == most_members) return {};
        const std::string_view key = member.substr(0, equals);
        if (!is_key(key) || !is_value(member.substr(equals + 1))) return {};
        if (std::ranges::find(keys, key) != keys.end()) return {};
        keys.push_back(key);
        if (!joined.empty()) joined += ',';
        joined += member;
    }
    return joined;
}

void require_valid(const trace_context& trace) {
    if (!trace.valid())
        throw std::invalid_argument("a trace_context without a trace id or a span id");
}

}  // namespace

template <std::size_t Bytes>
detail::hex_id<Bytes> detail::hex_id<Bytes>::random() noexcept {
    hex_id id;
    while (!id) {
        for (std::size_t i = 0; i < Bytes; i += 8) {
            const std::uint64_t bits = random_bits();
            for (std::size_t k = 0; k < 8; ++k)
                id.bytes_[i + k] = static_cast<std::uint8_t>(bits >> (8 * k));
        }
    }
    return id;
}

template <std::size_t Bytes>
std::optional<detail::hex_id<Bytes>> detail::hex_id<Bytes>::parse(std::string_view text) noexcept {
    if (text.size() != 2 * Bytes) return std::nullopt;
    hex_id id;
    for (std::size_t i = 0; i < Bytes; ++i) {
        const auto byte = parse_byte(text.substr(2 * i, 2));
        if (!byte) return std::nullopt;
        id.bytes_[i] = *byte;
    }
    return id ? std::optional(id) : std::nullopt;
}

template <std::size_t Bytes>
std::string detail::hex_id<Bytes>::text() const {
    std::string to;
    to.reserve(2 * Bytes);
    for (const std::uint8_t byte : bytes_) append_byte(to, byte);
    return to;
}

template class detail::hex_id<16>;
template class detail::hex_id<8>;

trace_context trace_context::root(bool sampled) {
    return {trace_id::random(), span_id::random(),
            static_cast<std::uint8_t>(random_flag | (sampled ? sampled_flag : 0))};
}

trace_context trace_context::child() const {
    return {trace, span_id::random(), flags, state};
}

std::optional<trace_context> parse_traceparent(std::string_view header,
                                               std::string_view tracestate) {
    if (header.size() < header_length) return std::nullopt;
    const auto version = parse_byte(header.substr(0, 2));
    const auto trace = trace_id::parse(header.substr(trace_at, 32));
    const auto span = span_id::parse(header.substr(span_at, 16));
    const auto flags = parse_byte(header.substr(flags_at, 2));
    if (!version || !trace || !span || !flags || *version == 0xff) return std::nullopt;
    if (header[trace_at - 1] != '-' || header[span_at - 1] != '-' || header[flags_at - 1] != '-')
        return std::nullopt;
    // A later version may have more to say, behind another dash.
    if (header.size() > header_length && (*version == 0 || header[header_length] != '-'))
        return std::nullopt;
    constexpr std::uint8_t known = trace_context::sampled_flag | trace_context::random_flag;
    return trace_context(*trace, *span, static_cast<std::uint8_t>(*flags & known),
                         checked_state(tracestate));
}

std::string format_traceparent(const trace_context& trace) {
    require_valid(trace);
    std::string header;
    header.reserve(header_length);
    header += "00-";
    header += trace.trace.text();
    header += '-';
    header += trace.span.text();
    header += '-';
    append_byte(header, trace.flags);
    return header;
}

context with_trace(const context& parent, trace_context trace) {
    require_valid(trace);
    return with_value(parent, trace_key, std::move(trace));
}

const trace_context* trace_of(const context& ctx) noexcept {
    return ctx.value(trace_key);
}

}  // namespace sluice
