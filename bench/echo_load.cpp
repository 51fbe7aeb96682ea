// Loads a TCP echo server on 127.0.0.1 and prints "name value unit" lines.
//
//     echo_load PORT CONNECTIONS [SECONDS [WARM_UP_SECONDS]]
//
// One thread, closed loop: each connection has one message of 64 bytes under way and sends the
// next when the reply has come, byte for byte. Built to cost little beside the system calls that
// a request needs, so that the server is what is measured: "load_cpu" tells how busy this side was.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <system_error>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr std::size_t message_size = 64;
constexpr auto longest_silence = std::chrono::seconds(10);

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// Counts latencies by the microsecond; what is longer than the last bucket falls into it.
class histogram {
public:
    void add(clock_type::duration latency) {
        const auto slot = std::chrono::duration_cast<microseconds>(latency).count();
        ++counts_[std::min<std::size_t>(slot, counts_.size() - 1)];
        ++total_;
    }

    std::uint64_t total() const { return total_; }

    std::size_t percentile(double share) const {
        auto left = static_cast<std::uint64_t>(share * static_cast<double>(total_));
        std::size_t slot = 0;
        while (slot + 1 < counts_.size() && counts_[slot] <= left) left -= counts_[slot++];
        return slot;
    }

private:
    std::vector<std::uint32_t> counts_ = std::vector<std::uint32_t>(1'000'000);
    std::uint64_t total_ = 0;
};

class connection {
public:
    connection(std::uint16_t port, std::uint32_t id)
        : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        for (std::size_t i = 0; i < message_size; ++i) message_[i] = static_cast<char>(id * 31 + i);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int on = 1;
        if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
            fail("connect");
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }

    int fd() const { return fd_; }

    void send_next(clock_type::time_point now) {
        ++sequence_;
        std::memcpy(message_.data(), &sequence_, sizeof sequence_);
        received_ = 0;
        sent_ = now;
        if (send(fd_, message_.data(), message_size, MSG_NOSIGNAL) != message_size) fail("send");
    }

    /// Takes in what has arrived; true when the reply is complete and right.
    bool receive() {
        const auto got =
            recv(fd_, reply_.data() + received_, message_size + 1 - received_, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return false;
        if (got <= 0) fail("receive");
        received_ += static_cast<std::size_t>(got);
        if (received_ < message_size) return false;
        if (received_ > message_size ||
            std::memcmp(reply_.data(), message_.data(), message_size) != 0) {
            errno = EBADMSG;
            fail("reply");
        }
        return true;
    }

    clock_type::time_point sent() const { return sent_; }

private:
    int fd_;
    std::uint32_t sequence_ = 0;
    std::size_t received_ = 0;
    clock_type::time_point sent_;
    std::array<char, message_size> message_;
    std::array<char, message_size + 1> reply_;
};

clock_type::duration cpu_time() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto whole = std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    return whole + microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

std::vector<connection> connect_all(int poll, std::uint16_t port, std::uint32_t count) {
    std::vector<connection> connections;
    connections.reserve(count);
    for (std::uint32_t id = 0; id < count; ++id) {
        auto& added = connections.emplace_back(port, id);
        epoll_event interest{.events = EPOLLIN | EPOLLET, .data = {.ptr = &added}};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, added.fd(), &interest) < 0) fail("epoll_ctl");
    }
    return connections;
}

/// Exchanges messages until `end` and calls on_reply(latency) for each reply.
template <class OnReply>
void exchange_until(clock_type::time_point end, int poll, OnReply on_reply) {
    std::array<epoll_event, 512> events;
    for (auto now = clock_type::now(); now < end;) {
        const int timeout = std::chrono::milliseconds(longest_silence).count();
        const int count = epoll_wait(poll, events.data(), events.size(), timeout);
        if (count == 0) errno = ETIMEDOUT;
        if (count <= 0) fail("epoll_wait");
        for (int i = 0; i < count; ++i) {
            auto& ready = *static_cast<connection*>(events[i].data.ptr);
            if (!ready.receive()) continue;
            now = clock_type::now();
            on_reply(now - ready.sent());
            ready.send_next(now);
        }
    }
}

void load(std::uint16_t port, std::uint32_t count, clock_type::duration length,
          clock_type::duration warm_up) {
    const int poll = epoll_create1(EPOLL_CLOEXEC);
    auto connections = connect_all(poll, port, count);
    for (auto& each : connections) each.send_next(clock_type::now());
    exchange_until(clock_type::now() + warm_up, poll, [](auto) {});

    histogram latencies;
    const auto cpu_before = cpu_time();
    const auto start = clock_type::now();
    exchange_until(start + length, poll, [&](auto latency) { latencies.add(latency); });
    const std::chrono::duration<double> elapsed = clock_type::now() - start;
    const std::chrono::duration<double> cpu = cpu_time() - cpu_before;

    std::printf("requests %.0f /s\n", static_cast<double>(latencies.total()) / elapsed.count());
    std::printf("p50 %zu us\n", latencies.percentile(0.50));
    std::printf("p99 %zu us\n", latencies.percentile(0.99));
    std::printf("load_cpu %.0f %%\n", 100 * cpu / elapsed);
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 3)
        return std::fprintf(stderr, "usage: %s PORT CONNECTIONS [SECONDS [WARM_UP]]\n", argv[0]), 2;
    const auto seconds = [&](int i, double otherwise) {
        const std::chrono::duration<double> given(argc > i ? std::atof(argv[i]) : otherwise);
        return std::chrono::duration_cast<clock_type::duration>(given);
    };
    load(static_cast<std::uint16_t>(std::atoi(argv[1])),
         static_cast<std::uint32_t>(std::atoi(argv[2])), seconds(3, 3), seconds(4, 0.5));
} catch (const std::exception& error) {
    std::fprintf(stderr, "echo_load: %s\n", error.what());
    return 1;
}
