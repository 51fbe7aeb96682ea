// trace_context: which distributed trace a piece of work belongs to; W3C Trace Context, level 2.
//
//     auto from = parse_traceparent(request.header("traceparent"), request.header("tracestate"));
//     context in = from ? with_trace(ctx, *from) : ctx;       // every task given `in` has it
//     if (auto* here = trace_of(in)) out.header("traceparent", format_traceparent(*here));
//
// When to use: to pass the identity of a trace from one process to the next, and through a context
// to all that works for one request. trace_span builds on it and gives the work times and names.
// When not: for data that the program itself needs. Headers are lost, and anyone may send any.
//
// A header that breaks the rules counts as none at all: the standard says to begin a new trace
// then. A bad tracestate takes nothing with it but itself.
//
// Rejected: a thread-local current trace. A task moves between threads, and a thread between tasks.
//
// Cost: 64 bytes; a tracestate longer than 15 characters is on the heap. Parsing allocates nothing
// else. trace_of() walks up the context's ancestors, as every context::value() does.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <sluice/runtime/context.hpp>

namespace sluice {

namespace detail {

/// Bytes that are written as lower-case hexadecimal text. All zero stands for none.
template <std::size_t Bytes>
class hex_id {
public:
    hex_id() noexcept = default;
    explicit hex_id(const std::array<std::uint8_t, Bytes>& bytes) noexcept : bytes_(bytes) {}

    /// A new one, never all zero. From sluice::random_bits(): unique, but no secret.
    static hex_id random() noexcept;

    /// Nothing for another length, another character (upper case is one) or all zero.
    static std::optional<hex_id> parse(std::string_view text) noexcept;

    /// False if it is all zero.
    explicit operator bool() const noexcept { return *this != hex_id(); }
    const std::array<std::uint8_t, Bytes>& bytes() const noexcept { return bytes_; }

    /// 2 * Bytes characters.
    std::string text() const;

    friend auto operator<=>(const hex_id&, const hex_id&) noexcept = default;

private:
    std::array<std::uint8_t, Bytes> bytes_{};
};

extern template class hex_id<16>;
extern template class hex_id<8>;

}  // namespace detail

using trace_id = detail::hex_id<16>;
using span_id = detail::hex_id<8>;

/// One place in a trace: the span that is current there. A plain value.
struct trace_context {
    /// Flags that the standard knows; parsing drops all others, as it asks for.
    static constexpr std::uint8_t sampled_flag = 1;  // the caller may have recorded its span
    static constexpr std::uint8_t random_flag = 2;   // the last 7 bytes of the trace id are random

    trace_context() noexcept {}
    trace_context(trace_id t, span_id s, std::uint8_t f, std::string vendor_state = {}) noexcept
        : trace(t), span(s), flags(f), state(std::move(vendor_state)) {}

    /// A new trace of its own, with random ids.
    static trace_context root(bool sampled);

    /// Another span of the same trace, with the same flags and state.
    trace_context child() const;

    /// Both ids are there.
    bool valid() const noexcept { return trace && span; }
    bool sampled() const noexcept { return (flags & sampled_flag) != 0; }

    friend bool operator==(const trace_context&, const trace_context&) noexcept = default;

    trace_id trace;
    span_id span;
    std::uint8_t flags = 0;
    std::string state;  // the tracestate header to send along; empty: send none
};

/// What a request's headers say, without spaces around them; nothing if `traceparent` is not valid.
/// Takes version 00 in full, and of a later one the part that it has in common with 00. Several
/// tracestate headers are to be joined by commas. The state is kept in the caller's order, without
/// its empty members; it is dropped whole if it has more than 32 members, a key twice, or a key or
/// value that is malformed or longer than 256 characters. Any thread.
std::optional<trace_context> parse_traceparent(std::string_view traceparent,
                                               std::string_view tracestate = {});

/// The header to send, in version 00. Throws std::invalid_argument if an id is missing.
std::string format_traceparent(const trace_context& trace);

/// The parent in that trace. Throws std::invalid_argument if an id is missing. Any thread.
context with_trace(const context& parent, trace_context trace);

/// The trace that the nearest ancestor was given; null if none was. It lives as long as `ctx`. Any
/// thread.
const trace_context* trace_of(const context& ctx) noexcept;

}  // namespace sluice
