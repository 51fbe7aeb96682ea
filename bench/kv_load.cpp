#include "kv_load.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace kv_load {

namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr unsigned key_count = 10'000;
constexpr std::size_t value_size = 64;
constexpr auto longest_silence = 5s;

[[noreturn]] void fail(std::string what) {
    throw std::runtime_error(std::move(what));
}

[[noreturn]] void fail_with_errno(const char* what) {
    fail(std::string(what) + ": " + std::strerror(errno));
}

class descriptor {
public:
    explicit descriptor(int fd) : fd_(fd) {}
    ~descriptor() { ::close(fd_); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int get() const { return fd_; }

private:
    int fd_;
};

std::string bulk(std::string_view text) {
    return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

// All requests, ready to send, so that making them costs the measurement nothing.
class requests {
public:
    requests() {
        const std::string data(value_size, 'v');
        value_reply_ = bulk(data);
        for (unsigned i = 0; i < key_count; ++i) {
            const std::string key = bulk("key:" + std::to_string(100'000 + i));
            sets_.push_back("*3\r\n" + bulk("SET") + key + value_reply_);
            gets_.push_back("*2\r\n" + bulk("GET") + key);
        }
    }

    std::string_view at(std::uint64_t number) const {
        const auto& kind = is_get(number) ? gets_ : sets_;
        return kind[number / 2 * 7919 % key_count];
    }

    // Whether the reply is there in full; throws when it is wrong.
    bool answered(std::uint64_t number, std::string_view reply) const {
        for (const std::string_view right : right_replies(number)) {
            if (reply == right) return true;
            if (!right.empty() && right.starts_with(reply)) return false;
        }
        fail("unexpected reply: " + std::string(reply.substr(0, 60)));
    }

private:
    static bool is_get(std::uint64_t number) { return number % 2; }

    std::array<std::string_view, 2> right_replies(std::uint64_t number) const {
        if (is_get(number)) return {value_reply_, "$-1\r\n"};
        return {"+OK\r\n", ""};
    }

    std::string value_reply_;
    std::vector<std::string> sets_;
    std::vector<std::string> gets_;
};

// Latencies by the microsecond; what is longer than the last bucket falls into it.
class histogram {
public:
    void add(clock::duration latency) {
        const auto slot = std::chrono::duration_cast<std::chrono::microseconds>(latency).count();
        ++counts_[std::min(static_cast<std::size_t>(slot), counts_.size() - 1)];
        ++total_;
    }
    std::uint64_t total() const { return total_; }
    std::chrono::microseconds p99() const {
        std::uint64_t above = total_ / 100;
        std::size_t slot = counts_.size() - 1;
        for (; slot > 0 && counts_[slot] <= above; --slot) above -= counts_[slot];
        return std::chrono::microseconds(slot);
    }

private:
    std::vector<std::uint32_t> counts_ = std::vector<std::uint32_t>(2'000'000);
    std::uint64_t total_ = 0;
};

class connection {
public:
    connection(std::uint16_t port, std::uint64_t first_request)
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), number_(first_request) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        if (socket_.get() < 0) fail_with_errno("socket");
        if (::connect(socket_.get(), generic, sizeof address) != 0) fail_with_errno("connect");
        const int on = 1;
        ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }

    int socket() const { return socket_.get(); }
    clock::time_point sent_at() const { return sent_at_; }

    void send_next(const requests& all, clock::time_point now) {
        const std::string_view next = all.at(++number_);
        received_ = 0;
        sent_at_ = now;
        const ssize_t sent = ::send(socket(), next.data(), next.size(), MSG_NOSIGNAL);
        if (sent != static_cast<ssize_t>(next.size())) fail_with_errno("send");
    }

    bool receive(const requests& all) {
        const ssize_t got =
            ::recv(socket(), reply_.data() + received_, reply_.size() - received_, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (got == 0) fail("the server closed a connection");
        if (got < 0) fail_with_errno("receive");
        received_ += static_cast<std::size_t>(got);
        return all.answered(number_, {reply_.data(), received_});
    }

private:
    descriptor socket_;
    std::uint64_t number_;
    std::size_t received_ = 0;
    clock::time_point sent_at_;
    std::array<char, value_size + 32> reply_{};
};

class generator {
public:
    generator(std::uint16_t port, unsigned count) : poll_(::epoll_create1(EPOLL_CLOEXEC)) {
        if (poll_.get() < 0) fail_with_errno("epoll_create1");
        for (unsigned i = 0; i < count; ++i) {
            auto& added = connections_.emplace_back(port, std::uint64_t{i} * 1'000'003);
            epoll_event interest{};
            interest.events = EPOLLIN;
            interest.data.ptr = &added;
            if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, added.socket(), &interest) != 0) {
                fail_with_errno("epoll_ctl");
            }
        }
        for (auto& each : connections_) each.send_next(requests_, clock::now());
    }

    void run_until(clock::time_point end, histogram& latencies) {
        std::array<epoll_event, 256> events;
        constexpr std::chrono::milliseconds patience = longest_silence;
        for (auto now = clock::now(); now < end;) {
            const int ready =
                ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()),
                             static_cast<int>(patience.count()));
            if (ready == 0) fail("the server is silent");
            if (ready < 0 && errno != EINTR) fail_with_errno("epoll_wait");
            for (int i = 0; i < ready; ++i) {
                auto& from =
                    *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
                if (!from.receive(requests_)) continue;
                now = clock::now();
                latencies.add(now - from.sent_at());
                from.send_next(requests_, now);
            }
        }
    }

private:
    requests requests_;
    std::deque<connection> connections_;
    descriptor poll_;
};

}  // namespace

figures measure(std::uint16_t port, unsigned connections, std::chrono::milliseconds warm_up,
                std::chrono::milliseconds duration) {
    generator load(port, connections);
    histogram ignored;
    load.run_until(clock::now() + warm_up, ignored);
    histogram latencies;
    const auto start = clock::now();
    load.run_until(start + duration, latencies);
    const std::chrono::duration<double> took = clock::now() - start;
    return {static_cast<double>(latencies.total()) / took.count(), latencies.p99()};
}

}  // namespace kv_load
