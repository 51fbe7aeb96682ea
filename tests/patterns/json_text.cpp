#include <sluice/patterns/detail/json_text.hpp>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/runtime/random.hpp>

#include "support.hpp"

using namespace sluice;

namespace {

std::string json(std::string_view text) {
    std::string to = "before ";
    detail::append_json(to, text);
    return to.substr(7);
}

std::string json(double number) {
    std::string to;
    detail::append_json(to, number);
    return to;
}

const std::string replaced = "\xef\xbf\xbd";

std::string quoted(const std::string& text) {
    return '"' + text + '"';
}

}  // namespace

TEST_CASE("json_text: a text is put in quotes, and what JSON reserves is escaped") {
    CHECK(json("") == R"("")");
    CHECK(json("plain / text") == R"("plain / text")");
    CHECK(json(R"(a"b\c)") == R"("a\"b\\c")");
    CHECK(json("a\nb\rc\td") == R"("a\nb\rc\td")");
    CHECK(json(std::string_view("\0\x01\x1f\x7f", 4)) == "\"\\u0000\\u0001\\u001f\x7f\"");
    CHECK(json("\b\f") == R"("\u0008\u000c")");
}

TEST_CASE("json_text: valid UTF-8 is kept, to its limits") {
    for (const std::string text :
         {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
          "\xf0\x90\x80\x80", "\xf3\xbf\xbf\xbf", "\xf4\x8f\xbf\xbf", "a\xc3\xa9z"}) {
        CHECK(json(text) == quoted(text));
    }
}

TEST_CASE("json_text: what is not UTF-8 is replaced, part by part") {
    const std::string r = replaced;
    CHECK(json("\x80") == quoted(r));
    CHECK(json("\xff\xfe") == quoted(r + r));
    CHECK(json("\xc0\xaf") == quoted(r + r));  // too long a form of '/'
    CHECK(json("\xc1\xbf") == quoted(r + r));
    CHECK(json("\xe0\x9f\xbf") == quoted(r + r + r));          // too long
    CHECK(json("\xf0\x8f\xbf\xbf") == quoted(r + r + r + r));  // too long
    CHECK(json("\xed\xa0\x80") == quoted(r + r + r));          // half of a surrogate pair
    CHECK(json("\xf4\x90\x80\x80") == quoted(r + r + r + r));  // beyond U+10FFFF
    CHECK(json("\xf5\x80\x80\x80") == quoted(r + r + r + r));
    CHECK(json("\xc3") == quoted(r));  // cut off, at each length
    CHECK(json("\xe2\x82") == quoted(r));
    CHECK(json("\xf0\x9f\x98") == quoted(r));
    CHECK(json("\xe2\x82z") == quoted(r + "z"));
    CHECK(json("\xf0\x9f\xc3\xa9") == quoted(r + "\xc3\xa9"));
    CHECK(json("\xe2\"") == quoted(r + "\\\""));
}

TEST_CASE("json_text: any bytes at all become valid text without controls") {
    for (int round = 0; round < 2'000; ++round) {
        std::string bytes;
        for (std::uint64_t n = random_bits() % 12; n > 0; --n)
            bytes += static_cast<char>(random_bits() & 0xff);
        const std::string once = json(bytes);
        for (const char c : once) REQUIRE(static_cast<unsigned char>(c) >= 0x20);
        const std::string inner = once.substr(1, once.size() - 2);
        if (inner.find('\\') == std::string::npos) REQUIRE(json(inner) == once);
    }
}

TEST_CASE("json_text: a number reads back the same; what is none is in quotes") {
    CHECK(json(0.5) == "0.5");
    CHECK(json(-0.0) == "-0");
    CHECK(json(3.0) == "3");
    CHECK(json(1e300) == "1e+300");
    for (const double d :
         {0.1, 1.0 / 3, 1e-300, 123456789.123, std::numeric_limits<double>::max(),
          std::numeric_limits<double>::lowest(), std::numeric_limits<double>::denorm_min()}) {
        CHECK(std::strtod(json(d).c_str(), nullptr) == d);
    }
    CHECK(json(std::nan("")) == "\"NaN\"");
    CHECK(json(std::numeric_limits<double>::infinity()) == "\"Infinity\"");
    CHECK(json(-std::numeric_limits<double>::infinity()) == "\"-Infinity\"");
}
