#include <unistd.h>

#include <array>
#include <chrono>
#include <concepts>
#include <string>

#include "call.hpp"

namespace kv {

namespace {

class report {
public:
    void heading(std::string_view name) {
        if (!text_.empty()) text_.append("\r\n");
        text_.append("# ").append(name).append("\r\n");
    }
    void line(std::string_view name, std::string_view text) {
        text_.append(name).append(":").append(text).append("\r\n");
    }
    void line(std::string_view name, std::integral auto number) {
        line(name, std::to_string(number));
    }
    const std::string& text() const { return text_; }

private:
    std::string text_;
};

void describe_server(report& to, server_state& server) {
    using namespace std::chrono;
    const auto age = duration_cast<seconds>(steady_clock::now() - server.started);
    to.heading("Server");
    to.line("server_name", "sluice-kv");
    to.line("redis_version", "7.0.15");  // whose protocol it speaks: clients look for this line
    to.line("redis_mode", "standalone");
    to.line("process_id", ::getpid());
    to.line("tcp_port", server.port);
    to.line("workers", server.workers);
    to.line("uptime_in_seconds", age.count());
}

void describe_clients(report& to, server_state& server) {
    to.heading("Clients");
    to.line("connected_clients", server.connected.load());
    to.line("blocked_clients", server.blocked.load());
}

void describe_stats(report& to, server_state& server) {
    to.heading("Stats");
    to.line("total_connections_received", server.connections.load());
    to.line("total_commands_processed", server.commands.load());
    to.line("expired_keys", server.keys.expired());
    to.line("pubsub_channels", server.channels.channels());
}

void describe_keyspace(report& to, server_state& server) {
    to.heading("Keyspace");
    const std::size_t keys = server.keys.size();
    if (keys == 0) return;
    to.line("db0", "keys=" + std::to_string(keys) +
                       ",expires=" + std::to_string(server.keys.expiring()) + ",avg_ttl=0");
}

struct section {
    std::string_view name;
    void (*describe)(report&, server_state&);
};

constexpr section sections[] = {
    {"server", describe_server},
    {"clients", describe_clients},
    {"stats", describe_stats},
    {"keyspace", describe_keyspace},
};

bool wanted(arguments names, std::string_view section_name) {
    if (names.empty()) return true;
    for (const std::string_view name : names) {
        if (is_word(name, section_name) || is_word(name, "default") || is_word(name, "all") ||
            is_word(name, "everything")) {
            return true;
        }
    }
    return false;
}

}  // namespace

outcome info(const call& request) {
    report to;
    for (const section& each : sections) {
        if (wanted(request.args.subspan(1), each.name)) each.describe(to, request.self.server());
    }
    request.out.bulk(to.text());
    return outcome::done;
}

}  // namespace kv
