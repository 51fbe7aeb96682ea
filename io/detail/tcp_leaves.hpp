// The system calls behind the operations of tcp.hpp.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include <sluice/io/address.hpp>
#include <sluice/io/detail/io_operation.hpp>

namespace sluice::io {
class tcp_stream;
}

namespace sluice::io::detail {

class simulated_stream;

class read_leaf final : public io_leaf {
public:
    using result_type = result<std::size_t>;
    read_leaf(descriptor* d, std::span<std::byte> buffer) noexcept
        : io_leaf(d, side::read, "read of a socket"), buffer_(buffer) {}
    result_type take() const noexcept;

private:
    int attempt() noexcept override;
    int watch() noexcept override { return of().watch_stream(); }
    std::span<std::byte> buffer_;
    std::size_t count_ = 0;
};

class readable_leaf final : public io_leaf {
public:
    using result_type = result<>;
    explicit readable_leaf(descriptor* d) noexcept
        : io_leaf(d, side::read, "bytes to read from a socket") {}
    result_type take() const noexcept;

private:
    int attempt() noexcept override;
    int watch() noexcept override { return of().watch_stream(); }
};

class write_leaf final : public io_leaf {
public:
    using result_type = result<std::size_t>;
    write_leaf(descriptor* d, std::span<const std::byte> bytes) noexcept
        : io_leaf(d, side::write, "write to a socket"), bytes_(bytes) {}
    result_type take() const noexcept;

private:
    int attempt() noexcept override;
    std::span<const std::byte> bytes_;
    std::size_t count_ = 0;
};

class write_all_leaf final : public io_leaf {
public:
    using result_type = result<>;
    write_all_leaf(descriptor* d, std::span<const std::byte> bytes) noexcept
        : io_leaf(d, side::write, "write to a socket"), bytes_(bytes) {}
    result_type take() const noexcept;

private:
    int attempt() noexcept override;
    std::span<const std::byte> bytes_;  // what is left
};

class accept_leaf final : public io_leaf {
public:
    using result_type = result<tcp_stream>;
    explicit accept_leaf(descriptor* d) noexcept : io_leaf(d, side::read, "accept on a listener") {}
    accept_leaf(accept_leaf&&) noexcept = default;
    ~accept_leaf();
    result_type take();

private:
    int attempt() noexcept override;
    int accepted_ = -1;
    simulated_stream* simulated_ = nullptr;  // in its place
};

class connect_leaf final : public io_leaf {
public:
    using result_type = result<tcp_stream>;
    /// `failure` stands in for a socket that could not be made.
    connect_leaf(descriptor_handle socket, std::optional<endpoint> to,
                 std::error_code failure) noexcept
        : io_leaf(socket.get(), side::write, "connect of a socket"),
          socket_(std::move(socket)),
          to_(to),
          failure_(failure) {}
    connect_leaf(connect_leaf&&) noexcept = default;
    result_type take();

private:
    int attempt() noexcept override;
    descriptor_handle socket_;
    std::optional<endpoint> to_;
    std::error_code failure_;
    bool begun_ = false;
};

/// A non-blocking socket for that address, ready to connect; its descriptor's number, or -errno.
int open_socket(int family) noexcept;

}  // namespace sluice::io::detail
