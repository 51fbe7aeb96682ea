// An IP address with a port.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <netinet/in.h>
#include <sys/socket.h>

#include <sluice/runtime/result.hpp>

namespace sluice::io {

/// IPv4 or IPv6.
class endpoint {
public:
    /// "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80"; ":80" and "*:80" mean every address, IPv6
    /// and IPv4. Names are not resolved. Fails with std::errc::invalid_argument.
    static result<endpoint> parse(std::string_view text);

    /// Every IPv4 address.
    static endpoint any_v4(std::uint16_t port) noexcept;

    /// From what the kernel gives.
    endpoint(const sockaddr* address, socklen_t size) noexcept;

    std::string to_string() const;
    std::uint16_t port() const noexcept;

    const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t size() const noexcept { return size_; }
    int family() const noexcept { return storage_.ss_family; }
    bool is_any_v6() const noexcept;

private:
    endpoint() noexcept = default;

    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

}  // namespace sluice::io
