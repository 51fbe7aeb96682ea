// The thread-per-connection twin of examples/kv: the same parser, keyspace and commands, with
// blocking sockets and a std::thread for each connection. It shows what the coroutines are worth;
// only SUBSCRIBE is missing, because a thread that blocks in read() cannot send messages as well.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "kv/commands.hpp"
#include "kv/options.hpp"
#include "kv/workspace.hpp"

namespace {

using namespace std::chrono_literals;

class thread_bell : public kv::waker {
public:
    void wake() override {
        const std::lock_guard guard(lock_);
        rung_ = true;
        changed_.notify_one();
    }
    void cut() override { wake(); }

    /// Until the next wake() or the deadline, which answers false.
    bool wait_until(std::chrono::steady_clock::time_point deadline) {
        std::unique_lock guard(lock_);
        const auto rung = [&] { return std::exchange(rung_, false); };
        if (deadline != deadline.max()) return changed_.wait_until(guard, deadline, rung);
        changed_.wait(guard, rung);
        return true;
    }

private:
    std::mutex lock_;
    std::condition_variable changed_;
    bool rung_ = false;  // guarded by lock_
};

class thread_client : public kv::client {
public:
    thread_client(kv::server_state& server, int socket) : client(server), socket_(socket) {}
    ~thread_client() override {
        kv::abandon_blocked(*this);
        ::close(socket_);
    }

    bool can_listen() const override { return false; }

    void serve() {
        const kv::workspace_lease space = kv::borrow_workspace();
        while (fill(*space)) {
            for (;;) {
                const auto next = space->run(*this);
                if (next == kv::workspace::step::blocked && send_replies(space->out())) {
                    wait_for_element(space->out());
                    continue;
                }
                if (!send_replies(space->out()) || next == kv::workspace::step::close) return;
                if (next == kv::workspace::step::read) break;
            }
        }
    }

private:
    std::shared_ptr<kv::waker> make_bell() override { return std::make_shared<thread_bell>(); }

    bool fill(kv::workspace& space) const {
        const auto room = space.room();
        ssize_t got = 0;
        do {
            got = ::recv(socket_, room.data(), room.size(), 0);
        } while (got < 0 && errno == EINTR);
        if (got > 0) space.filled(static_cast<std::size_t>(got));
        return got > 0;
    }

    bool send_replies(kv::reply& out) const {
        std::string_view left = out.bytes();
        while (!left.empty()) {
            const ssize_t sent = ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno != EINTR) return false;
            if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
        }
        out.clear();
        return true;
    }

    void wait_for_element(kv::reply& out) {
        auto& mine = static_cast<thread_bell&>(*bell());
        while (!blocked->served() && mine.wait_until(blocked_until)) {
        }
        kv::finish_blocked(*this, out);
    }

    int socket_;
};

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "kv_threads: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

int listen_on(std::uint16_t& port) {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) fail("socket");
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener, generic, sizeof address) != 0) fail("bind");
    if (::listen(listener, SOMAXCONN) != 0) fail("listen");
    socklen_t size = sizeof address;
    ::getsockname(listener, generic, &size);
    port = ntohs(address.sin_port);
    return listener;
}

void serve_connection(kv::server_state& server, int socket) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    thread_client(server, socket).serve();
}

void accept_for_ever(kv::server_state& server, int listener) {
    for (;;) {
        const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) {
            if (errno != EINTR) std::this_thread::sleep_for(10ms);
            continue;
        }
        try {
            std::thread(serve_connection, std::ref(server), socket).detach();
        } catch (const std::system_error&) {  // no more threads: this client has to try again
            ::close(socket);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGTERM, [](int) { std::_Exit(0); });
    std::signal(SIGINT, [](int) { std::_Exit(0); });
    const auto options =
        kv::parse_options(argc, argv, "the thread-per-connection twin of kv (workers: unused)");
    static kv::server_state server;
    server.port = options.port;
    const int listener = listen_on(server.port);
    std::printf("listening on 127.0.0.1:%u\n", unsigned{server.port});
    std::fflush(stdout);
    std::thread([] {
        for (;; std::this_thread::sleep_for(100ms)) server.keys.expire_due();
    }).detach();
    accept_for_ever(server, listener);
}
