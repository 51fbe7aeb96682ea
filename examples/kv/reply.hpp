#pragma once

// Writer of RESP2 replies: appends to one buffer, which the connection sends when a batch of
// requests is done.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace kv {

class reply {
public:
    void ok() { buffer_.append("+OK\r\n"); }
    void status(std::string_view line);
    /// The text begins with its code, such as ERR. Line ends in it become blanks, those behind it
    /// go.
    void error(std::string_view text);
    void integer(std::int64_t value) { prefixed(':', value); }
    void bulk(std::string_view value);
    void null() { buffer_.append("$-1\r\n"); }
    void null_array() { buffer_.append("*-1\r\n"); }
    /// The elements follow as replies of their own.
    void array(std::size_t size) { prefixed('*', static_cast<std::int64_t>(size)); }
    /// Bytes that are replies already.
    void raw(std::string_view bytes) { buffer_.append(bytes); }

    std::string_view bytes() const { return buffer_; }
    bool empty() const { return buffer_.empty(); }
    void clear() { buffer_.clear(); }
    /// Gives back memory that one unusually long reply took.
    void shrink();

private:
    void prefixed(char type, std::int64_t value);

    std::string buffer_;
};

}  // namespace kv
