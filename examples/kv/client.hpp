#pragma once

// What the commands know of a connection, and of the server as a whole.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "hub.hpp"
#include "reply.hpp"
#include "request.hpp"
#include "storage.hpp"
#include "waiting.hpp"

namespace kv {

/// One server: what all its connections share. Thread-safe.
struct server_state {
    explicit server_state(time_point (*clock)() = wall_clock) : keys(clock) {}

    storage keys;
    hub channels;
    request_limits limits;
    std::uint16_t port = 0;
    unsigned workers = 0;
    const std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();

    // For INFO.
    std::atomic<std::uint64_t> connections{0};
    std::atomic<std::uint64_t> commands{0};
    std::atomic<std::int64_t> connected{0};
    std::atomic<std::int64_t> blocked{0};
};

/// One connection's side of the commands. Used by one task or thread at a time.
class client {
public:
    explicit client(server_state& server)
        : server_(server), id_(server.connections.fetch_add(1, std::memory_order_relaxed) + 1) {
        server_.connected.fetch_add(1, std::memory_order_relaxed);
    }
    virtual ~client() {
        unsubscribe_all();
        server_.connected.fetch_sub(1, std::memory_order_relaxed);
    }
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    server_state& server() const { return server_; }
    std::uint64_t id() const { return id_; }

    /// How others rouse this connection; made when it first waits for somebody.
    const std::shared_ptr<waker>& bell() {
        if (!bell_) bell_ = make_bell();
        return bell_;
    }

    /// Null unless the client has subscribed to something once.
    const std::shared_ptr<mailbox>& mail() const { return mail_; }
    const std::set<std::string, std::less<>>& subscriptions() const { return subscriptions_; }
    bool subscribed() const { return !subscriptions_.empty(); }
    void subscribe(std::string_view channel);
    /// No message of the channel is posted once this returns.
    void unsubscribe(std::string_view channel);
    void unsubscribe_all();
    /// Moves the messages that have come to the replies. No later reply is to overtake them.
    void take_mail(reply& out);
    /// Whether it delivers messages while it waits for requests.
    virtual bool can_listen() const { return true; }

    std::string name;
    std::shared_ptr<blocked_pop> blocked;                 ///< set by a command that has to wait
    std::chrono::steady_clock::time_point blocked_until;  ///< max(): no end

private:
    virtual std::shared_ptr<waker> make_bell() = 0;

    server_state& server_;
    const std::uint64_t id_;
    std::shared_ptr<waker> bell_;
    std::shared_ptr<mailbox> mail_;
    std::set<std::string, std::less<>> subscriptions_;
};

}  // namespace kv
