// What the tests of sockets share: each driver with one and two workers, connected pairs, seeded
// choices, and bytes that tell their place in a stream.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/io/address.hpp>
#include <sluice/io/tcp.hpp>
#include <sluice/runtime/driver.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/within.hpp>

#include "runtime/child.hpp"
#include "support.hpp"

namespace loopback {

using namespace std::chrono_literals;
using sluice::io::tcp_listener;
using sluice::io::tcp_stream;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

/// That many rounds of a random test; a tenth of them where a sanitizer makes each ten times
/// slower.
constexpr int rounds(int most) {
    return sanitized ? most / 10 : most;
}

inline bool uring_is_allowed() {
    try {
        sluice::detail::choose_driver(sluice::driver_kind::uring);
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}

/// The drivers to test: the one SLUICE_DRIVER names, else both.
inline std::vector<sluice::driver_kind> drivers() {
    const char* const text = std::getenv("SLUICE_DRIVER");
    const std::string_view named = text == nullptr ? "" : text;
    std::vector<sluice::driver_kind> chosen;
    if (named != "epoll") {
        if (uring_is_allowed()) {
            chosen.push_back(sluice::driver_kind::uring);
        } else {
            WARN("skipped: needs io_uring");
        }
    }
    if (named != "uring") chosen.push_back(sluice::driver_kind::epoll);
    return chosen;
}

/// fn(options) for each driver with one and with two workers; reports what was expected in vain.
inline void for_each_setup(const std::function<void(const sluice::options&)>& fn) {
    for (const sluice::driver_kind driver : drivers()) {
        for (const unsigned workers : {1u, 2u}) {
            const char* const driver_name =
                driver == sluice::driver_kind::uring ? "io_uring" : "epoll";
            CAPTURE(driver_name, workers);
            sluice::options o;
            o.workers = workers;
            o.driver = driver;
            run_and_report([&] { fn(o); });
        }
    }
}

/// The coroutine function as main task in each setup.
template <class F, class... Args>
void everywhere(F fn, Args... args) {
    for_each_setup([&](sluice::options o) { sluice::run(o, fn, args...); });
}

/// A port of this host at which nobody listens. It is taken, so that no connection to it can be
/// given this very port as its own, and meet itself.
class deserted_port {
public:
    deserted_port() {
        const auto any = sluice::io::endpoint::parse("127.0.0.1:0").value();
        if (::bind(socket_, any.data(), any.size()) != 0)
            throw std::system_error(errno, std::generic_category(), "bind");
    }
    deserted_port(const deserted_port&) = delete;
    deserted_port& operator=(const deserted_port&) = delete;
    ~deserted_port() { ::close(socket_); }

    sluice::io::endpoint address() const {
        sockaddr_storage room{};
        auto* const at = reinterpret_cast<sockaddr*>(&room);
        socklen_t size = sizeof(room);
        ::getsockname(socket_, at, &size);
        return {at, size};
    }

private:
    const int socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
};

/// The body in a process of its own; what it expects in vain fails the test.
inline void in_child(const std::function<void()>& body,
                     const std::vector<std::string>& settings = {}) {
    const child_end end = run_child(
        [&body] {
            try {
                body();
            } catch (const std::exception& e) {
                std::fprintf(stderr, "thrown: %s\n", e.what());
                std::_Exit(1);
            }
            const std::vector<std::string> failed = take_failed_expectations();
            for (const std::string& text : failed) std::fprintf(stderr, "%s\n", text.c_str());
            if (!failed.empty()) std::_Exit(1);
        },
        settings);
    CAPTURE(end.in_time, end.status, end.errors);
    CHECK(end.exited());
}

/// Both ends of a connection.
struct pair {
    pair(tcp_stream c, tcp_stream s) : client(std::move(c)), server(std::move(s)) {}
    tcp_stream client;
    tcp_stream server;
};

inline tcp_listener listener(std::string_view address = "127.0.0.1:0") {
    return sluice::io::listen_tcp(address).value();
}

/// A connection through a listener at which nobody else connects or accepts now.
inline sluice::task<pair> connect_to(const tcp_listener& l) {
    const sluice::io::endpoint to = l.local_address().value();
    auto client = co_await sluice::io::connect_tcp(to);
    auto server = co_await l.accept();
    co_return pair(std::move(client).value(), std::move(server).value());
}

inline sluice::task<pair> connected() {
    const tcp_listener l = listener();
    pair both = co_await connect_to(l);
    co_return both;
}

/// Reads until the end or an error, or the buffer is full; the number of bytes.
inline sluice::task<std::size_t> read_full(const tcp_stream& from, std::span<std::byte> buffer) {
    std::size_t got = 0;
    while (got != buffer.size()) {
        const auto n = co_await from.read(buffer.subspan(got));
        if (!n || *n == 0) break;
        got += *n;
    }
    co_return got;
}

/// Closing it then resets the connection, and leaves no port in TIME_WAIT.
inline void close_resets(const tcp_stream& s) {
    const linger now{1, 0};
    EXPECT(::setsockopt(s.native_handle(), SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
}

/// Seeded choices.
class chooser {
public:
    explicit chooser(std::uint64_t seed) noexcept : random_(seed) {}
    std::uint32_t below(std::uint32_t bound) noexcept { return random_.below(bound); }
    std::uint64_t next() noexcept { return random_.next(); }

private:
    sluice::detail::random_source random_;
};

inline sluice::task<> yield_times(std::uint32_t n) {
    for (; n != 0; --n) co_await sluice::yield();
}

/// A stream of bytes without a short period: any loss, repetition or exchange shows.
class pattern {
public:
    static constexpr std::size_t period = 1'000'003;

    explicit pattern(std::uint64_t seed) : table_(period + longest) {
        chooser c(seed);
        for (std::size_t i = 0; i != period; ++i) table_[i] = static_cast<std::byte>(c.next());
        std::copy_n(table_.begin(), longest, table_.begin() + period);
    }

    static constexpr std::size_t longest = 65'536;

    /// The bytes at `offset`, at most `longest`.
    std::span<const std::byte> at(std::size_t offset, std::size_t size) const {
        return std::span(table_).subspan(offset % period, size);
    }
    bool matches(std::size_t offset, std::span<const std::byte> bytes) const {
        return std::memcmp(at(offset, bytes.size()).data(), bytes.data(), bytes.size()) == 0;
    }

private:
    std::vector<std::byte> table_;
};

inline std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
}

/// Whether the number of open descriptors comes down to `most`: workers close some a little later.
inline sluice::task<bool> descriptors_settle(std::ptrdiff_t most) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (open_descriptors() > most) {
        if (std::chrono::steady_clock::now() > end) co_return false;
        co_await sluice::yield();
    }
    co_return true;
}

/// Whether that many descriptors may be open at once; raises the soft limit if need be.
inline bool descriptors_suffice(rlim_t needed) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= needed) return true;
    if (limit.rlim_max < needed) return false;
    limit.rlim_cur = needed;
    return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/// Takes every descriptor the process may have, and gives them back.
class famine {
public:
    famine() {
        ::getrlimit(RLIMIT_NOFILE, &former_);
        rlimit low = former_;
        low.rlim_cur = std::min<rlim_t>(former_.rlim_cur, 256);
        ::setrlimit(RLIMIT_NOFILE, &low);
        for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken_.push_back(fd);
    }
    famine(const famine&) = delete;
    famine& operator=(const famine&) = delete;
    ~famine() {
        while (!taken_.empty()) spare_one();
        ::setrlimit(RLIMIT_NOFILE, &former_);
    }
    void spare_one() {
        ::close(taken_.back());
        taken_.pop_back();
    }

private:
    rlimit former_{};
    std::vector<int> taken_;
};

inline bool is(const std::error_code& e, std::errc expected) {
    return e == std::make_error_condition(expected);
}

/// There is an error, and it is that one.
template <class T>
bool failed_with(const sluice::result<T>& r, std::errc expected) {
    return !r && is(r.error(), expected);
}
template <class T>
bool failed_with(const sluice::result<T>& r, sluice::errc expected) {
    return !r && r.error() == expected;
}

}  // namespace loopback
