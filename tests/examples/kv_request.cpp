#include "kv/request.hpp"

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

using kv::request_limits;
using kv::request_parser;
using status = kv::request_parser::status;
using words = std::vector<std::string>;

namespace {

words to_words(std::span<const std::string_view> args) {
    return words(args.begin(), args.end());
}

words parsed(std::string_view input) {
    request_parser parser;
    const status end = parser.parse(input);
    REQUIRE(end == status::complete);
    REQUIRE(parser.consumed() == input.size());
    return to_words(parser.args());
}

std::string error_of(std::string_view input, request_limits limits = {}) {
    request_parser parser(limits);
    const status end = parser.parse(input);
    REQUIRE(end == status::broken);
    return parser.error();
}

std::string array_of(const words& args) {
    std::string request = "*" + std::to_string(args.size()) + "\r\n";
    for (const auto& each : args) {
        request += "$" + std::to_string(each.size()) + "\r\n" + each + "\r\n";
    }
    return request;
}

}  // namespace

TEST_CASE("kv request: an array of bulk strings") {
    CHECK(parsed("*1\r\n$4\r\nPING\r\n") == words{"PING"});
    CHECK(parsed("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n") == words{"SET", "a", ""});
    const words binary = {std::string("\0\r\n$1\xff", 6), "*3"};
    CHECK(parsed(array_of(binary)) == binary);
}

TEST_CASE("kv request: inline commands and their quotes") {
    CHECK(parsed("PING\r\n") == words{"PING"});
    CHECK(parsed("PING\n") == words{"PING"});
    CHECK(parsed("  set  a\t b \r\n") == words{"set", "a", "b"});
    CHECK(parsed("echo \"a b\"\r\n") == words{"echo", "a b"});
    CHECK(parsed("echo \"\\x41\\n\\\"\\\\\\q\"\r\n") == words{"echo", "A\n\"\\q"});
    CHECK(parsed("echo 'a\\'b\\n'\r\n") == words{"echo", "a'b\\n"});
    CHECK(parsed("echo \"\" ''\r\n") == words{"echo", "", ""});
    CHECK(parsed("echo a\"b c\"\r\n") == words{"echo", "ab c"});
    CHECK(parsed("echo \v\fa\vb\f\r\n") == words{"echo", "a\vb\f"});
}

TEST_CASE("kv request: nothing asked is a request without arguments") {
    CHECK(parsed("\r\n").empty());
    CHECK(parsed("\n").empty());
    CHECK(parsed("*0\r\n").empty());
    CHECK(parsed("*-1\r\n").empty());
}

TEST_CASE("kv request: errors are Redis's") {
    const std::string start = "ERR Protocol error: ";
    CHECK(error_of("*x\r\n") == start + "invalid multibulk length");
    CHECK(error_of("*\r\n") == start + "invalid multibulk length");
    CHECK(error_of("*2147483648\r\n") == start + "invalid multibulk length");
    CHECK(error_of("*99999999999999999999\r\n") == start + "invalid multibulk length");
    CHECK(error_of("*1\r\n+PING\r\n") == start + "expected '$', got '+'");
    CHECK(error_of("*1\r\n\r\n") == start + "expected '$', got ' '");
    CHECK(error_of("*1\r\n$-1\r\n") == start + "invalid bulk length");
    CHECK(error_of("*1\r\n$\r\n") == start + "invalid bulk length");
    CHECK(error_of("*1\r\n$01\r\n") == start + "invalid bulk length");
    CHECK(error_of("*1\r\n$536870913\r\n") == start + "invalid bulk length");
    CHECK(error_of("echo \"a\r\n") == start + "unbalanced quotes in request");
    CHECK(error_of("echo 'a'b\r\n") == start + "unbalanced quotes in request");
    CHECK(error_of(std::string(65537, 'a')) == start + "too big inline request");
    CHECK(error_of("*" + std::string(65537, '1')) == start + "too big mbulk count string");
    CHECK(error_of("*1\r\n$" + std::string(65537, '1')) == start + "too big bulk count string");
}

TEST_CASE("kv request: a line with a NUL in it never ends") {
    using namespace std::string_literals;
    for (const std::string& start : {"PING\0\r\n"s, "*1\0\r\n"s, "*1\r\n$4\0\r\nPING\r\n"s}) {
        request_parser parser;
        CHECK(parser.parse(start) == status::incomplete);
        CHECK(parser.parse(start + std::string(65537, 'a')) == status::broken);
    }
}

TEST_CASE("kv request: the limits are the caller's") {
    request_limits limits;
    limits.bulk = 4;
    limits.arguments = 2;
    CHECK(error_of("*1\r\n$5\r\n", limits) == "ERR Protocol error: invalid bulk length");
    CHECK(error_of("*3\r\n", limits) == "ERR Protocol error: invalid multibulk length");
}

TEST_CASE("kv request: split at every byte, it is the same request") {
    const std::string requests[] = {
        array_of({"SET", "some key", "some value\r\n", ""}),
        "  set 'a b' \"c\\x41\"\r\n",
        "*0\r\n",
        "\r\n",
    };
    for (const std::string& whole : requests) {
        const words expected = parsed(whole);
        for (std::size_t cut = 1; cut < whole.size(); ++cut) {
            for (std::size_t second = cut; second < whole.size(); ++second) {
                request_parser parser;
                const std::string_view all = whole;
                REQUIRE(parser.parse(all.substr(0, cut)) == status::incomplete);
                CHECK(parser.wanted() > cut);
                CHECK(parser.wanted() <= whole.size());
                REQUIRE(parser.parse(all.substr(0, second)) == status::incomplete);
                REQUIRE(parser.parse(all) == status::complete);
                REQUIRE(to_words(parser.args()) == expected);
                REQUIRE(parser.consumed() == whole.size());
            }
        }
    }
}

TEST_CASE("kv request: byte by byte, with the buffer moving each time") {
    const std::string whole = array_of({"MSET", "a", "1", "b", std::string(100, 'x')});
    request_parser parser;
    std::vector<std::unique_ptr<std::string>> buffers;  // all alive, so that no address comes again
    for (std::size_t size = 1; size <= whole.size(); ++size) {
        buffers.push_back(std::make_unique<std::string>(whole.substr(0, size)));
        const status end = parser.parse(*buffers.back());
        REQUIRE(end == (size == whole.size() ? status::complete : status::incomplete));
    }
    CHECK(array_of(to_words(parser.args())) == whole);
    CHECK(parser.args()[0].data() > buffers.back()->data());
}

TEST_CASE("kv request: a pipeline is parsed one after another") {
    const std::string pipeline = array_of({"SET", "a", "1"}) + "PING\r\n" + array_of({"GET", "a"});
    std::string_view left = pipeline;
    std::vector<words> all;
    request_parser parser;
    while (!left.empty()) {
        REQUIRE(parser.parse(left) == status::complete);
        all.push_back(to_words(parser.args()));
        left.remove_prefix(parser.consumed());
    }
    CHECK(all == std::vector<words>{{"SET", "a", "1"}, {"PING"}, {"GET", "a"}});
}

TEST_CASE("kv request: a long value says how much it wants") {
    request_parser parser;
    const std::string start = "*2\r\n$3\r\nGET\r\n$1000000\r\nabc";
    REQUIRE(parser.parse(start) == status::incomplete);
    CHECK(parser.wanted() == start.size() - 3 + 1000000 + 2);
}

TEST_CASE("kv request: garbage never crashes and never stands still") {
    std::mt19937 chance(7);
    const std::string_view alphabet = "*$+0123456789-\r\n\"'\\x aP";
    for (int round = 0; round < 20'000; ++round) {
        std::string input(chance() % 40, ' ');
        for (char& c : input) c = alphabet[chance() % alphabet.size()];
        request_parser parser;
        std::string_view left = input;
        while (!left.empty()) {
            const status end = parser.parse(left);
            if (end == status::incomplete) CHECK(parser.wanted() > left.size());
            if (end != status::complete) break;
            REQUIRE(parser.consumed() > 0);
            REQUIRE(parser.consumed() <= left.size());
            left.remove_prefix(parser.consumed());
        }
    }
}

TEST_CASE("kv request: integers are strict") {
    std::int64_t number = 0;
    CHECK((kv::parse_integer("0", number) && number == 0));
    CHECK((kv::parse_integer("-1", number) && number == -1));
    CHECK((kv::parse_integer("9223372036854775807", number) && number == INT64_MAX));
    CHECK((kv::parse_integer("-9223372036854775808", number) && number == INT64_MIN));
    for (const char* bad :
         {"", "-", "+1", " 1", "1 ", "01", "-0", "1.0", "x", "9223372036854775808"}) {
        CHECK_FALSE(kv::parse_integer(bad, number));
    }
}
