#include "kv/glob.hpp"

#include <string>

#include "catch.hpp"

using kv::glob_match;

TEST_CASE("kv glob: stars, question marks and literals") {
    CHECK(glob_match("", ""));
    CHECK_FALSE(glob_match("", "a"));
    CHECK(glob_match("*", ""));
    CHECK(glob_match("*", "anything"));
    CHECK(glob_match("a*c", "abbbc"));
    CHECK_FALSE(glob_match("a*c", "abbb"));
    CHECK(glob_match("*b*d*", "abcde"));
    CHECK(glob_match("a?c", "abc"));
    CHECK_FALSE(glob_match("a?c", "ac"));
    CHECK(glob_match("abc**", "abc"));
    CHECK_FALSE(glob_match("**", ""));
}

TEST_CASE("kv glob: sets and ranges") {
    CHECK(glob_match("h[ae]llo", "hello"));
    CHECK_FALSE(glob_match("h[ae]llo", "hillo"));
    CHECK(glob_match("h[^e]llo", "hallo"));
    CHECK_FALSE(glob_match("h[^e]llo", "hello"));
    CHECK(glob_match("h[a-c]llo", "hbllo"));
    CHECK(glob_match("h[c-a]llo", "hbllo"));
    CHECK(glob_match("[\\]]", "]"));
    CHECK(glob_match("[abc", "c"));
    CHECK_FALSE(glob_match("[]", "]"));
}

TEST_CASE("kv glob: escapes and case") {
    CHECK(glob_match("a\\*b", "a*b"));
    CHECK_FALSE(glob_match("a\\*b", "axb"));
    CHECK(glob_match("a\\", "a\\"));
    CHECK_FALSE(glob_match("ABC", "abc"));
    CHECK(glob_match("ABC", "abc", true));
    CHECK(glob_match("[A-C]*", "bxx", true));
}

TEST_CASE("kv glob: many stars cost no more than a few") {
    std::string pattern;
    for (int i = 0; i < 100; ++i) pattern += "a*";
    pattern += "b";
    CHECK_FALSE(glob_match(pattern, std::string(5'000, 'a')));
}
