#include <sluice/io/address.hpp>

#include <cstring>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <net/if.h>

#include "catch.hpp"
#include "loopback.hpp"

using sluice::io::endpoint;

namespace {

bool is_invalid(std::string_view text) {
    const auto parsed = endpoint::parse(text);
    return !parsed && parsed.error() == std::make_error_condition(std::errc::invalid_argument);
}

bool same(const endpoint& a, const endpoint& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

endpoint random_v4(loopback::chooser& c) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = static_cast<in_port_t>(c.next());
    a.sin_addr.s_addr = static_cast<in_addr_t>(c.next());
    return endpoint(reinterpret_cast<const sockaddr*>(&a), sizeof a);
}

endpoint random_v6(loopback::chooser& c) {
    sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_port = static_cast<in_port_t>(c.next());
    // Many zeros, so that "::" comes in every place.
    for (auto& byte : a.sin6_addr.s6_addr) {
        if (c.below(3) == 0) byte = static_cast<std::uint8_t>(c.next());
    }
    if (c.below(4) == 0) a.sin6_scope_id = ::if_nametoindex("lo");
    return endpoint(reinterpret_cast<const sockaddr*>(&a), sizeof a);
}

}  // namespace

TEST_CASE("endpoint: an IPv4 address with a port is parsed") {
    const endpoint e = endpoint::parse("127.0.0.1:80").value();
    CHECK(e.family() == AF_INET);
    CHECK(e.port() == 80);
    CHECK(e.size() == sizeof(sockaddr_in));
    CHECK(reinterpret_cast<const sockaddr_in*>(e.data())->sin_addr.s_addr ==
          htonl(INADDR_LOOPBACK));
    CHECK(e.to_string() == "127.0.0.1:80");
    CHECK(endpoint::parse("255.255.255.255:65535").value().port() == 65535);
    CHECK(endpoint::parse("0.0.0.0:0").value().to_string() == "0.0.0.0:0");
}

TEST_CASE("endpoint: an IPv6 address stands in brackets") {
    const endpoint e = endpoint::parse("[::1]:443").value();
    CHECK(e.family() == AF_INET6);
    CHECK(e.port() == 443);
    CHECK(e.to_string() == "[::1]:443");
    CHECK_FALSE(e.is_any_v6());
    CHECK(endpoint::parse("[2001:DB8:0:0::1]:1").value().to_string() == "[2001:db8::1]:1");
    CHECK(is_invalid("::1:443"));
    CHECK(is_invalid("[::1:443"));
    CHECK(is_invalid("::1]:443"));
}

TEST_CASE("endpoint: a scope is an interface's name or number") {
    const unsigned index = ::if_nametoindex("lo");
    REQUIRE(index != 0);
    const endpoint named = endpoint::parse("[fe80::1%lo]:80").value();
    CHECK(reinterpret_cast<const sockaddr_in6*>(named.data())->sin6_scope_id == index);
    CHECK(named.to_string() == "[fe80::1%lo]:80");
    CHECK(same(endpoint::parse("[fe80::1%" + std::to_string(index) + "]:80").value(), named));
    for (const char* text : {"[fe80::1%nosuch]:80", "[::1%]:80", "[fe80::1%0]:80",
                             "[fe80::1%1x]:80", "[fe80::1%4294967296]:80", "127.0.0.1%lo:80"}) {
        CAPTURE(text);
        CHECK(is_invalid(text));
    }
}

TEST_CASE("endpoint: an empty host and a star mean every address") {
    for (const char* text : {":80", "*:80", "[::]:80"}) {
        CAPTURE(text);
        const endpoint e = endpoint::parse(text).value();
        CHECK(e.is_any_v6());
        CHECK(e.port() == 80);
        CHECK(e.to_string() == "[::]:80");
    }
    CHECK(endpoint::any_v4(80).to_string() == "0.0.0.0:80");
    CHECK_FALSE(endpoint::any_v4(80).is_any_v6());
}

TEST_CASE("endpoint: what is no address with a port is refused") {
    for (const char* text : {"",
                             ":",
                             "80",
                             "127.0.0.1",
                             "127.0.0.1:",
                             "127.0.0.1:65536",
                             "127.0.0.1:-1",
                             "127.0.0.1:+1",
                             "127.0.0.1: 80",
                             "127.0.0.1:80 ",
                             " 127.0.0.1:80",
                             "127.0.0.1:0x50",
                             "127.0.0.1:http",
                             "256.0.0.1:1",
                             "127.1:80",
                             "1.2.3.4.5:80",
                             "localhost:80",
                             "[127.0.0.1]:80",
                             "[]:80",
                             "[*]:80",
                             "[::1]",
                             "[::1]80",
                             "[::1]:",
                             "[:::1]:80",
                             "[::g]:80",
                             "**:80",
                             "127.0.0.1:80:80",
                             "127.0.0.1:99999999999999999999"}) {
        CAPTURE(text);
        CHECK(is_invalid(text));
    }
    CHECK(is_invalid(std::string_view("127.0.0.1\0junk:80", 17)));
    CHECK(is_invalid(std::string_view("127.0.0.1:80\0", 13)));
    CHECK(is_invalid(std::string(100'000, '1') + ":80"));
}

TEST_CASE("endpoint: text and address are each other's image") {
    loopback::chooser c(test_seed());
    for (int i = 0; i != 10'000; ++i) {
        const endpoint e = c.below(2) == 0 ? random_v4(c) : random_v6(c);
        const std::string text = e.to_string();
        const auto back = endpoint::parse(text);
        const bool ok = back && same(*back, e) && back->to_string() == text;
        if (!ok) FAIL_CHECK(text);
    }
}

TEST_CASE("endpoint: random bytes are parsed or refused, never a crash") {
    loopback::chooser c(test_seed());
    constexpr std::string_view letters = "0123456789abcdef:.[]%*lo \0x";
    int refused = 0;
    for (int i = 0; i != 20'000; ++i) {
        std::string text(c.below(24), ' ');
        for (char& letter : text) letter = letters[c.below(letters.size())];
        const auto parsed = endpoint::parse(text);
        if (!parsed) {
            ++refused;
        } else if (!endpoint::parse(parsed->to_string())) {
            FAIL_CHECK(text);
        }
    }
    CHECK(refused > 0);
}
