#include <sluice/io/tcp.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <stdexcept>

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/io/detail/simulated_tcp.hpp>

namespace sluice::io {

namespace {

std::error_code last_error() noexcept {
    return {errno, std::generic_category()};
}

detail::descriptor* checked(const detail::descriptor_handle& h) {
    if (h.get() == nullptr)
        throw std::logic_error("sluice: a socket was used after it had been moved from");
    return h.get();
}

// The call with the descriptor's number, which cannot be closed, and so not reused, meanwhile; in a
// simulation the other call, which gives 0 or -errno, with the socket in memory.
template <class Call, class InMemory>
result<> with_open(const detail::descriptor_handle& h, Call call, InMemory in_memory) {
    detail::descriptor& d = *checked(h);
    const std::lock_guard guard(d.gate());
    if (d.closed()) return fail(std::make_error_code(std::errc::bad_file_descriptor));
    if (detail::simulated_socket* const s = d.simulated()) {
        const int error = -in_memory(*s);
        if (error == 0) return {};
        return fail(std::error_code(error, std::generic_category()));
    }
    if (call(d.fd()) == 0) return {};
    return fail(last_error());
}

// A socket in memory has no options.
result<> set_option(const detail::descriptor_handle& h, int level, int name, int value) {
    return with_open(
        h, [=](int fd) { return ::setsockopt(fd, level, name, &value, sizeof value); },
        [](detail::simulated_socket&) { return 0; });
}

template <class Call, class InMemory>
result<endpoint> address_of(const detail::descriptor_handle& h, Call call, InMemory in_memory) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    auto* const address = reinterpret_cast<sockaddr*>(&storage);
    const auto done = with_open(
        h, [&](int fd) { return call(fd, address, &size); },
        [&](detail::simulated_socket& s) {
            const result<endpoint> e = (s.*in_memory)();
            if (!e) return -e.error().value();
            size = e->size();
            std::memcpy(address, e->data(), size);
            return 0;
        });
    if (!done) return fail(done.error());
    return endpoint(address, size);
}

}  // namespace

namespace detail {

namespace {

// Repeats a system call that a signal interrupted; its result, or -errno with EWOULDBLOCK made
// EAGAIN.
template <class Call>
ssize_t uninterrupted(Call call) noexcept {
    for (;;) {
        const ssize_t n = call();
        if (n >= 0) return n;
        if (errno != EINTR) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
}

simulated_stream& stream_of(simulated_socket& s) noexcept {
    return static_cast<simulated_stream&>(s);
}

// While it is written the gate is held: a peer that reads as fast as this host copies would see to
// it that neither a call nor an attempt of many ends.
constexpr std::size_t most_at_once = 256 * 1024;

ssize_t send_some(descriptor& to, std::span<const std::byte> bytes) noexcept {
    if (simulated_socket* const s = to.simulated()) return stream_of(*s).send(bytes);
    const std::size_t size = std::min(bytes.size(), most_at_once);
    const ssize_t n =
        uninterrupted([&] { return ::send(to.fd(), bytes.data(), size, MSG_NOSIGNAL); });
    return n == -EPIPE ? -to.broken_pipe() : n;
}

}  // namespace

int open_socket(int family) noexcept {
    const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int read_leaf::attempt() noexcept {
    if (of().receives()) {
        const ssize_t taken = of().take_received(buffer_);
        if (taken < 0) return static_cast<int>(-taken);
        count_ = static_cast<std::size_t>(taken);
        return 0;
    }
    simulated_socket* const simulated = of().simulated();
    const ssize_t n =
        simulated != nullptr
            ? stream_of(*simulated).receive(buffer_)
            : uninterrupted([this] { return ::recv(fd(), buffer_.data(), buffer_.size(), 0); });
    if (n < 0) return static_cast<int>(-n);
    count_ = static_cast<std::size_t>(n);
    // Less than was asked for: the socket is empty now, and the next read need not find that out by
    // a call.
    if (simulated == nullptr && count_ != 0 && count_ < buffer_.size()) {
        of().drained();
    } else {
        of().not_drained();
    }
    return 0;
}

read_leaf::result_type read_leaf::take() const noexcept {
    if (error()) return fail(error());
    return count_;
}

int readable_leaf::attempt() noexcept {
    if (simulated_socket* const s = of().simulated()) return stream_of(*s).readable() ? 0 : EAGAIN;
    if (of().has_received()) return 0;
    if (of().receives()) return EAGAIN;
    if (of().had_edge(side::read)) return 0;
    char byte = 0;
    const ssize_t n = uninterrupted([&] { return ::recv(fd(), &byte, 1, MSG_PEEK); });
    return n == -EAGAIN ? EAGAIN : 0;  // an error is for the read to tell
}

readable_leaf::result_type readable_leaf::take() const noexcept {
    if (error()) return fail(error());
    return {};
}

int write_leaf::attempt() noexcept {
    const ssize_t n = send_some(of(), bytes_);
    if (n < 0) return static_cast<int>(-n);
    count_ = static_cast<std::size_t>(n);
    return 0;
}

write_leaf::result_type write_leaf::take() const noexcept {
    if (error()) return fail(error());
    return count_;
}

int write_all_leaf::attempt() noexcept {
    for (std::size_t sent = 0; !bytes_.empty();) {
        if (sent >= most_at_once && of().serve_writers_later()) return EAGAIN;
        const ssize_t n = send_some(of(), bytes_);
        if (n < 0) return static_cast<int>(-n);
        sent += static_cast<std::size_t>(n);
        bytes_ = bytes_.subspan(static_cast<std::size_t>(n));
    }
    return 0;
}

write_all_leaf::result_type write_all_leaf::take() const noexcept {
    if (error()) return fail(error());
    return {};
}

accept_leaf::~accept_leaf() {
    if (accepted_ >= 0) ::close(accepted_);
    if (simulated_ != nullptr) simulated_->close();
}

int accept_leaf::attempt() noexcept {
    if (simulated_socket* const s = of().simulated()) {
        simulated_ = static_cast<simulated_listener*>(s)->accept();
        return simulated_ != nullptr ? 0 : EAGAIN;
    }
    for (;;) {
        const ssize_t n = uninterrupted([this]() -> ssize_t {
            return ::accept4(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        });
        if (n == -ECONNABORTED || n == -EPROTO) continue;  // that peer has gone already
        if (n < 0) return static_cast<int>(-n);
        accepted_ = static_cast<int>(n);
        const int on = 1;
        ::setsockopt(accepted_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return 0;
    }
}

accept_leaf::result_type accept_leaf::take() {
    if (error()) return fail(error());
    if (simulated_ != nullptr)
        return tcp_stream(descriptor_handle(*std::exchange(simulated_, nullptr)));
    return tcp_stream(descriptor_handle(std::exchange(accepted_, -1)));
}

int connect_leaf::attempt() noexcept {
    if (failure_) return 0;
    if (simulated_socket* const s = of().simulated()) return -stream_of(*s).connect();
    if (!std::exchange(begun_, true)) {
        const ssize_t n = uninterrupted(
            [this]() -> ssize_t { return ::connect(fd(), to_->data(), to_->size()); });
        if (n == -EINPROGRESS) return EAGAIN;
        return n == -EAGAIN ? EADDRNOTAVAIL : static_cast<int>(-n);
    }
    pollfd p{fd(), POLLOUT, 0};
    if (uninterrupted([&p]() -> ssize_t { return ::poll(&p, 1, 0); }) == 0) return EAGAIN;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

connect_leaf::result_type connect_leaf::take() {
    if (failure_) return fail(failure_);
    if (error()) return fail(error());
    if (of().simulated() == nullptr) {
        const int on = 1;
        ::setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return tcp_stream(std::move(socket_));
}

}  // namespace detail

read_operation tcp_stream::read(std::span<std::byte> buffer) const {
    return read_operation(std::in_place, checked(socket_), buffer);
}

readable_operation tcp_stream::readable() const {
    return readable_operation(std::in_place, checked(socket_));
}

write_operation tcp_stream::write(std::span<const std::byte> bytes) const {
    return write_operation(std::in_place, checked(socket_), bytes);
}

write_all_operation tcp_stream::write_all(std::span<const std::byte> bytes) const {
    return write_all_operation(std::in_place, checked(socket_), bytes);
}

result<> tcp_stream::shutdown() const {
    return with_open(
        socket_, [](int fd) { return ::shutdown(fd, SHUT_WR); },
        [](detail::simulated_socket& s) { return detail::stream_of(s).shutdown(); });
}

result<> tcp_stream::set_nodelay(bool on) const {
    return set_option(socket_, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
}

result<> tcp_stream::set_keepalive(std::chrono::seconds idle) const {
    auto on = set_option(socket_, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (!on) return on;
    return set_option(socket_, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(idle.count()));
}

result<endpoint> tcp_stream::local_address() const {
    return address_of(socket_, ::getsockname, &detail::simulated_socket::local_address);
}

result<endpoint> tcp_stream::remote_address() const {
    return address_of(socket_, ::getpeername, &detail::simulated_socket::remote_address);
}

int tcp_stream::native_handle() const {
    return checked(socket_)->fd();
}

accept_operation tcp_listener::accept() const {
    return accept_operation(std::in_place, checked(socket_));
}

result<endpoint> tcp_listener::local_address() const {
    return address_of(socket_, ::getsockname, &detail::simulated_socket::local_address);
}

int tcp_listener::native_handle() const {
    return checked(socket_)->fd();
}

result<tcp_listener> listen_tcp(std::string_view address, listen_options options) {
    auto parsed = endpoint::parse(address);
    if (!parsed) return fail(parsed.error());
    return listen_tcp(*parsed, options);
}

result<tcp_listener> listen_tcp(const endpoint& address, listen_options options) {
    if (auto* const network = detail::simulated_tcp::here()) {
        const auto made = network->listen(address, options.backlog, options.reuse_port);
        if (!made) return fail(made.error());
        return tcp_listener(detail::descriptor_handle(**made));
    }
    const int fd = detail::open_socket(address.family());
    if (fd == -EAFNOSUPPORT && address.is_any_v6())
        return listen_tcp(endpoint::any_v4(address.port()), options);
    if (fd < 0) return fail(std::error_code(-fd, std::generic_category()));
    detail::descriptor_handle socket(fd);
    auto done = set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (done && address.is_any_v6()) done = set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (done && options.reuse_port) done = set_option(socket, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!done) return fail(done.error());
    if (::bind(fd, address.data(), address.size()) != 0 || ::listen(fd, options.backlog) != 0) {
        return fail(last_error());
    }
    return tcp_listener(std::move(socket));
}

connect_operation connect_tcp(std::string_view address) {
    auto parsed = endpoint::parse(address);
    if (parsed) return connect_tcp(*parsed);
    return connect_operation(std::in_place, detail::descriptor_handle(-1), std::nullopt,
                             parsed.error());
}

connect_operation connect_tcp(const endpoint& address) {
    if (auto* const network = detail::simulated_tcp::here()) {
        return connect_operation(std::in_place, detail::descriptor_handle(network->stream(address)),
                                 address, std::error_code());
    }
    const int fd = detail::open_socket(address.family());
    if (fd < 0) {
        return connect_operation(std::in_place, detail::descriptor_handle(-1), address,
                                 std::error_code(-fd, std::generic_category()));
    }
    return connect_operation(std::in_place, detail::descriptor_handle(fd), address,
                             std::error_code());
}

}  // namespace sluice::io
