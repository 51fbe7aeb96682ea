#include "reply.hpp"

#include <charconv>

namespace kv {

namespace {

constexpr std::size_t most_digits = 20;  // with the sign

}  // namespace

void reply::prefixed(char type, std::int64_t value) {
    char line[1 + most_digits + 2];
    line[0] = type;
    char* at = std::to_chars(line + 1, line + 1 + most_digits, value).ptr;
    *at++ = '\r';
    *at++ = '\n';
    buffer_.append(line, static_cast<std::size_t>(at - line));
}

void reply::status(std::string_view line) {
    buffer_.push_back('+');
    buffer_.append(line).append("\r\n");
}

void reply::error(std::string_view text) {
    buffer_.push_back('-');
    text = text.substr(0, text.find_last_not_of("\r\n") + 1);
    for (const char c : text) buffer_.push_back(c == '\r' || c == '\n' ? ' ' : c);
    buffer_.append("\r\n");
}

void reply::bulk(std::string_view value) {
    prefixed('$', static_cast<std::int64_t>(value.size()));
    buffer_.append(value).append("\r\n");
}

void reply::shrink() {
    constexpr std::size_t usual_bytes = 64 * 1024;
    if (buffer_.capacity() > usual_bytes) std::string().swap(buffer_);
    buffer_.clear();
}

}  // namespace kv
