// TCP: streams and listeners.
//
// Reads, writes, accepts and connects are operations: awaited, raced in a select, bounded by
// within(). A read or an accept that loses a race takes nothing: the bytes stay in the socket, the
// connection in the backlog. Results carry the kernel's error codes; an operation on a closed
// stream or listener gives std::errc::bad_file_descriptor.
//
// Streams and listeners are move-only. Letting one go closes it. Any task may use it, on any
// worker; one reader and one writer at a time make sense of a stream. Memory: 256 bytes each;
// no buffer is kept while a read waits.
//
// In a simulation (runtime/simulate.hpp) all of it goes on in memory: options of sockets do nothing
// then, and native_handle() is negative.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string_view>

#include <sluice/io/address.hpp>
#include <sluice/io/detail/tcp_leaves.hpp>

namespace sluice::io {

using read_operation = detail::io_operation<detail::read_leaf>;
using write_operation = detail::io_operation<detail::write_leaf>;
using write_all_operation = detail::io_operation<detail::write_all_leaf, false>;
using readable_operation = detail::io_operation<detail::readable_leaf>;
using accept_operation = detail::io_operation<detail::accept_leaf>;
using connect_operation = detail::io_operation<detail::connect_leaf>;

/// A connection. Small writes go out at once (TCP_NODELAY is set) unless set_nodelay(false).
class tcp_stream {
public:
    /// Owns a connected, non-blocking socket.
    explicit tcp_stream(detail::descriptor_handle socket) noexcept : socket_(std::move(socket)) {}

    /// Operation: waits for bytes and reads what is there, at most the buffer's size. 0: the peer
    /// will send no more.
    read_operation read(std::span<std::byte> buffer) const;
    read_operation read(std::span<char> buffer) const {
        return read(std::as_writable_bytes(buffer));
    }

    /// Operation: waits until a read need not wait (bytes, end or error). Needs no buffer
    /// meanwhile. A hint: another reader may be faster, and right after a read that filled its
    /// buffer it may be wrong.
    readable_operation readable() const;

    /// Operation: waits for room in the socket's buffer and writes what fits, 256 KiB at most and
    /// at least one byte of a non-empty span.
    write_operation write(std::span<const std::byte> bytes) const;
    write_operation write(std::string_view text) const {
        return write(std::as_bytes(std::span(text)));
    }

    /// Operation, but for select: writes everything, in parts of some 256 KiB, between which other
    /// tasks run. When it is bounded by within() and fails, some bytes may have gone.
    write_all_operation write_all(std::span<const std::byte> bytes) const;
    write_all_operation write_all(std::string_view text) const {
        return write_all(std::as_bytes(std::span(text)));
    }

    /// Tells the peer that no more will be written; reading goes on.
    result<> shutdown() const;

    /// Ends the connection in both directions. Waiting operations fail; so do later ones. Any
    /// thread; idempotent.
    void close() noexcept { socket_.close(); }

    result<> set_nodelay(bool on) const;
    result<> set_keepalive(std::chrono::seconds idle) const;
    result<endpoint> local_address() const;
    result<endpoint> remote_address() const;
    int native_handle() const;

private:
    detail::descriptor_handle socket_;
};

struct listen_options {
    int backlog = 4096;  // the kernel caps it at net.core.somaxconn
    /// Several listeners share one port, and the kernel spreads connections over them.
    bool reuse_port = false;
};

class tcp_listener {
public:
    /// Owns a listening, non-blocking socket.
    explicit tcp_listener(detail::descriptor_handle socket) noexcept : socket_(std::move(socket)) {}

    /// Operation: waits for a connection. Out of descriptors or memory it fails
    /// (std::errc::too_many_files_open, …) and the connection stays in the backlog: wait a little
    /// and accept again.
    accept_operation accept() const;

    /// Connections not yet accepted are refused. Waiting accepts fail. Any thread; idempotent.
    void close() noexcept { socket_.close(); }

    result<endpoint> local_address() const;
    int native_handle() const;

private:
    detail::descriptor_handle socket_;
};

/// Listens at an address (endpoint::parse has the forms; port 0: any free one). Addresses in
/// TIME_WAIT are taken over.
result<tcp_listener> listen_tcp(std::string_view address, listen_options options = {});
result<tcp_listener> listen_tcp(const endpoint& address, listen_options options = {});

/// Operation: connects. One that loses a race or fails leaves no socket behind.
connect_operation connect_tcp(std::string_view address);
connect_operation connect_tcp(const endpoint& address);

}  // namespace sluice::io
