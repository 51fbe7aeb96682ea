#include "request.hpp"

#include <algorithm>
#include <charconv>

namespace kv {

namespace {

// To Redis, which uses strchr, the input ends at its first NUL: a line with one never ends, and
// grows until it is too long.
std::size_t find_end(std::string_view input, char line_end, std::size_t from) {
    const auto stops = [&](char c) { return c == line_end || c == '\0'; };
    return static_cast<std::size_t>(std::find_if(input.begin() + from, input.end(), stops) -
                                    input.begin());
}

bool ends_line(std::string_view input, std::size_t at) {
    return at != input.size() && input[at] != '\0';
}

// A reply is one line.
char printable(char c) {
    return c == '\r' || c == '\n' ? ' ' : c;
}

}  // namespace

bool parse_integer(std::string_view text, std::int64_t& value) {
    if (text.empty()) return false;
    const std::size_t digits = text[0] == '-';
    if (text.size() == digits) return false;
    if (text[digits] == '0' && text.size() > 1) return false;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
}

void request_parser::reset() {
    args_.clear();
    at_ = scanned_ = wanted_ = 0;
    base_ = nullptr;
    stage_ = stage::start;
}

void request_parser::shrink() {
    constexpr std::size_t usual_arguments = 256;
    constexpr std::size_t usual_bytes = 4096;
    reset();
    if (args_.capacity() > usual_arguments) args_ = std::vector<std::string_view>();
    if (unquoted_.capacity() > usual_bytes) std::string().swap(unquoted_);
}

request_parser::status request_parser::more(std::size_t wanted) {
    wanted_ = wanted;
    return status::incomplete;
}

request_parser::status request_parser::fail(std::string reason) {
    error_ = "ERR Protocol error: " + std::move(reason);
    stage_ = stage::done;
    return status::broken;
}

request_parser::status request_parser::parse(std::string_view input) {
    if (stage_ == stage::done || input.data() != base_) reset();
    base_ = input.data();
    if (input.empty()) return more(1);
    return input[0] == '*' ? parse_array(input) : parse_inline(input);
}

request_parser::status request_parser::parse_inline(std::string_view input) {
    const std::size_t newline = find_end(input, '\n', scanned_);
    if (!ends_line(input, newline)) {
        if (input.size() > limits_.line) return fail("too big inline request");
        scanned_ = newline;
        return more(input.size() + 1);
    }
    std::string_view line = input.substr(0, newline);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!split_line(line, unquoted_, args_)) return fail("unbalanced quotes in request");
    at_ = newline + 1;
    stage_ = stage::done;
    return status::complete;
}

// Nearly every length has a few digits and is there whole: one pass, no search for the line's end.
bool request_parser::read_short_number(std::string_view input) {
    constexpr std::size_t most_digits = 9;
    const std::size_t first = at_ + 1;
    std::size_t at = first;
    std::int64_t value = 0;
    for (; at < input.size() && at < first + most_digits; ++at) {
        const unsigned digit = static_cast<unsigned char>(input[at]) - unsigned{'0'};
        if (digit > 9) break;
        value = value * 10 + digit;
    }
    if (at == first || at + 1 >= input.size() || input[at] != '\r') return false;
    if (input[first] == '0' && at > first + 1) return false;
    number_ = value;
    at_ = at + 2;
    return true;
}

// Like Redis it looks for the carriage return only and takes the byte behind it on trust.
request_parser::status request_parser::read_number(std::string_view input, const char* too_big,
                                                   bool& valid) {
    valid = true;
    if (read_short_number(input)) return status::complete;
    const std::size_t end = find_end(input, '\r', std::max(at_, scanned_));
    if (!ends_line(input, end)) {
        if (input.size() - at_ > limits_.line) return fail(too_big);
        scanned_ = end;
        return more(input.size() + 1);
    }
    if (end + 2 > input.size()) {
        scanned_ = end;
        return more(end + 2);
    }
    valid = parse_integer(input.substr(at_ + 1, end - std::min(end, at_ + 1)), number_);
    at_ = end + 2;
    return status::complete;
}

request_parser::status request_parser::parse_array(std::string_view input) {
    bool valid = false;
    if (stage_ == stage::start) {
        const status line = read_number(input, "too big mbulk count string", valid);
        if (line != status::complete) return line;
        if (!valid || number_ > limits_.arguments) return fail("invalid multibulk length");
        left_ = number_;
        stage_ = stage::bulk_length;
    }
    while (left_ > 0) {
        if (stage_ == stage::bulk_length) {
            if (at_ == input.size()) return more(at_ + 1);
            const char type = input[at_];
            const status line = read_number(input, "too big bulk count string", valid);
            if (line != status::complete) return line;
            if (type != '$')
                return fail(std::string("expected '$', got '") + printable(type) + "'");
            if (!valid || number_ < 0 || number_ > limits_.bulk) return fail("invalid bulk length");
            stage_ = stage::bulk;
        }
        const std::size_t size = static_cast<std::size_t>(number_);
        if (input.size() - at_ < size + 2) return more(at_ + size + 2);
        args_.push_back(input.substr(at_, size));
        at_ += size + 2;
        --left_;
        stage_ = stage::bulk_length;
    }
    stage_ = stage::done;
    return status::complete;
}

}  // namespace kv
