#include <sluice/io/address.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>
#include <net/if.h>

namespace sluice::io {

namespace {

bool parse_port(std::string_view text, std::uint16_t& port) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc{} && end == text.data() + text.size();
}

// An interface's name or number; 0: neither.
std::uint32_t parse_scope(const std::string& text) {
    if (const unsigned index = ::if_nametoindex(text.c_str())) return index;
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

}  // namespace

endpoint endpoint::any_v4(std::uint16_t port) noexcept {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(port);
    return endpoint(reinterpret_cast<const sockaddr*>(&any), sizeof any);
}

bool endpoint::is_any_v6() const noexcept {
    return family() == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr);
}

endpoint::endpoint(const sockaddr* address, socklen_t size) noexcept
    : size_(std::min<socklen_t>(size, sizeof storage_)) {
    std::memcpy(&storage_, address, size_);
}

result<endpoint> endpoint::parse(std::string_view text) {
    const auto invalid = fail(std::make_error_code(std::errc::invalid_argument));
    const std::size_t colon = text.rfind(':');
    std::uint16_t port = 0;
    if (text.find('\0') != std::string_view::npos) return invalid;
    if (colon == std::string_view::npos || !parse_port(text.substr(colon + 1), port))
        return invalid;
    std::string host(text.substr(0, colon));
    const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);

    endpoint e;
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    if (!bracketed && ::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
        std::memcpy(&e.storage_, &v4, sizeof v4);
        e.size_ = sizeof v4;
        return e;
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    if (bracketed) {
        if (const std::size_t percent = host.find('%'); percent != std::string::npos) {
            v6.sin6_scope_id = parse_scope(host.substr(percent + 1));
            if (v6.sin6_scope_id == 0) return invalid;
            host.resize(percent);
        }
        if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return invalid;
    } else if (!host.empty() && host != "*") {
        return invalid;
    }
    std::memcpy(&e.storage_, &v6, sizeof v6);
    e.size_ = sizeof v6;
    return e;
}

std::uint16_t endpoint::port() const noexcept {
    // sin_port and sin6_port stand at the same place.
    return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
}

std::string endpoint::to_string() const {
    char text[INET6_ADDRSTRLEN] = "?";
    if (storage_.ss_family == AF_INET) {
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, text,
                    sizeof text);
        return std::string(text) + ":" + std::to_string(port());
    }
    const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(&storage_);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    std::string scope;
    if (v6.sin6_scope_id != 0) {
        char name[IF_NAMESIZE];
        const char* const known = ::if_indextoname(v6.sin6_scope_id, name);
        scope = "%" + (known != nullptr ? std::string(known) : std::to_string(v6.sin6_scope_id));
    }
    return "[" + std::string(text) + scope + "]:" + std::to_string(port());
}

}  // namespace sluice::io
