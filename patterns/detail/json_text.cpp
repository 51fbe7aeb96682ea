#include <sluice/patterns/detail/json_text.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace sluice::detail {

namespace {

/// How a text goes on: with so many bytes that are a character, or that are none.
struct utf8_step {
    std::size_t bytes;
    bool valid;
};

/// How many bytes follow this one, and between what the first of them lies; the others lie between
/// 0x80 and 0xbf. Unicode, table 3-7.
struct utf8_lead {
    std::size_t following;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
};

/// Of a byte that begins no sequence: nothing follows it.
utf8_lead lead_of(unsigned char c) noexcept {
    if (c >= 0xc2 && c <= 0xdf) return {1};
    if (c == 0xe0) return {2, 0xa0, 0xbf};
    if (c == 0xed) return {2, 0x80, 0x9f};
    if (c >= 0xe1 && c <= 0xef) return {2};
    if (c == 0xf0) return {3, 0x90, 0xbf};
    if (c == 0xf4) return {3, 0x80, 0x8f};
    if (c >= 0xf1 && c <= 0xf3) return {3};
    return {0};
}

utf8_step next_step(std::string_view text) noexcept {
    const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    if (byte(0) < 0x80) return {1, true};
    utf8_lead lead = lead_of(byte(0));
    if (lead.following == 0) return {1, false};
    for (std::size_t i = 1; i <= lead.following; ++i) {
        if (i == text.size() || byte(i) < lead.low || byte(i) > lead.high) return {i, false};
        lead.low = 0x80;
        lead.high = 0xbf;
    }
    return {lead.following + 1, true};
}

void append_ascii(std::string& to, char c) {
    constexpr std::string_view digits = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        to += '\\';
        to += c;
    } else if (c == '\n') {
        to += "\\n";
    } else if (c == '\r') {
        to += "\\r";
    } else if (c == '\t') {
        to += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
        to += "\\u00";
        to += digits[static_cast<std::size_t>(c >> 4)];
        to += digits[static_cast<std::size_t>(c & 15)];
    } else {
        to += c;
    }
}

}  // namespace

void append_json(std::string& to, std::string_view text) {
    to += '"';
    while (!text.empty()) {
        const utf8_step step = next_step(text);
        if (!step.valid) {
            to += "\xef\xbf\xbd";
        } else if (step.bytes == 1) {
            append_ascii(to, text[0]);
        } else {
            to += text.substr(0, step.bytes);
        }
        text.remove_prefix(step.bytes);
    }
    to += '"';
}

void append_json(std::string& to, double number) {
    if (std::isnan(number)) {
        to += "\"NaN\"";
    } else if (std::isinf(number)) {
        to += number > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    } else {
        std::array<char, 32> room;
        const auto end = std::to_chars(room.data(), room.data() + room.size(), number).ptr;
        to.append(room.data(), end);
    }
}

}  // namespace sluice::detail
