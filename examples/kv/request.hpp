#pragma once

// Incremental parser of Redis requests (RESP2 arrays of bulk strings, and inline commands).
//
// The parser never owns or copies payload: it looks at a buffer whose first byte begins a request
// and answers with views into it. When the request is not all there yet, the caller appends more
// bytes and calls again; parsing goes on where it stopped, so a large value that arrives in a
// thousand pieces is scanned once. Only a buffer that moved to another address is parsed anew,
// which is cheap because payloads are skipped, not read.
//
// Errors are Redis 7.0's, by the byte. As in Redis each of them ends the connection.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kv {

/// Bounds on what a client may make us buffer; the defaults are Redis's.
struct request_limits {
    std::size_t line = 64 * 1024;           ///< an inline command or a length line
    std::int64_t arguments = 0x7fffffff;    ///< in one request
    std::int64_t bulk = 512 * 1024 * 1024;  ///< one argument (proto-max-bulk-len)
    std::size_t buffered = std::size_t{1}
                           << 30;  ///< all of one request (client-query-buffer-limit)
};

class request_parser {
public:
    enum class status : std::uint8_t {
        complete,    ///< args() and consumed() are valid until the next call
        incomplete,  ///< call again with the same bytes and more behind them
        broken,      ///< error() says why; the connection must end after the reply
    };

    explicit request_parser(request_limits limits = {}) : limits_(limits) {}

    /// Parses the request at the start of `input`. An empty line or an empty array is a complete
    /// request without arguments.
    status parse(std::string_view input);

    std::span<const std::string_view> args() const { return args_; }
    /// Bytes of the parsed request.
    std::size_t consumed() const { return at_; }
    /// The error without its leading minus sign and line end.
    const std::string& error() const { return error_; }
    /// After `incomplete`: the size the input must have before there is progress to be made.
    std::size_t wanted() const { return wanted_; }
    /// Forgets everything about the current request.
    void reset();
    /// Gives back memory that one unusually long request took.
    void shrink();

private:
    enum class stage : std::uint8_t { start, count, bulk_length, bulk, done };

    status parse_inline(std::string_view input);
    status parse_array(std::string_view input);
    bool read_short_number(std::string_view input);
    /// Reads the number line at at_ behind its type byte; sets number_.
    status read_number(std::string_view input, const char* too_big, bool& valid);
    status more(std::size_t wanted);
    status fail(std::string reason);

    request_limits limits_;
    std::vector<std::string_view> args_;
    std::string unquoted_;  // the arguments of an inline command that needed unquoting
    std::string error_;
    const char* base_ = nullptr;  // where the input of the last incomplete call began
    std::size_t at_ = 0;          // everything before it is parsed
    std::size_t scanned_ = 0;     // no line end before it
    std::size_t wanted_ = 0;
    std::int64_t left_ = 0;    // arguments still to come
    std::int64_t number_ = 0;  // last count or length read
    stage stage_ = stage::start;
};

/// Splits a line as Redis does for inline commands: blanks between words, "…" with backslash
/// escapes, '…' with \' only. The words land in `words` as views into `storage`. False: unbalanced.
bool split_line(std::string_view line, std::string& storage, std::vector<std::string_view>& words);

/// Strict decimal as Redis wants it: no blanks, no plus sign, no leading zeros, fits into 64 bits.
bool parse_integer(std::string_view text, std::int64_t& value);

}  // namespace kv
