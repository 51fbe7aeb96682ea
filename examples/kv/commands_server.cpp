// Commands about the connection and the server rather than about data.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "call.hpp"
#include "glob.hpp"

namespace kv {

namespace {

std::vector<std::pair<std::string_view, std::string>> settings(const server_state& server) {
    return {
        {"save", ""},
        {"appendonly", "no"},
        {"databases", "1"},
        {"bind", "127.0.0.1"},
        {"port", std::to_string(server.port)},
        {"maxmemory", "0"},
        {"timeout", "0"},
        {"io-threads", std::to_string(server.workers)},
        {"proto-max-bulk-len", std::to_string(server.limits.bulk)},
        {"client-query-buffer-limit", std::to_string(server.limits.buffered)},
    };
}

// A setting asked for by its name is answered under that name as it was written, as in Redis.
outcome config_get(const call& request) {
    const auto patterns = request.args.subspan(2);
    std::vector<std::pair<std::string_view, std::string>> chosen;
    for (auto& [name, text] : settings(request.self.server())) {
        const auto asks = [&](std::string_view p) { return glob_match(p, name, true); };
        const auto asked = std::ranges::find_if(patterns, asks);
        if (asked == patterns.end()) continue;
        const bool exact = asked->find_first_of("*?[") == std::string_view::npos;
        chosen.emplace_back(exact ? *asked : name, std::move(text));
    }
    request.out.array(2 * chosen.size());
    for (const auto& [name, text] : chosen) {
        request.out.bulk(name);
        request.out.bulk(text);
    }
    return outcome::done;
}

outcome client_setname(const call& request) {
    const std::string_view name = request.args[2];
    const bool printable = std::ranges::all_of(name, [](char c) { return c >= '!' && c <= '~'; });
    if (!printable) {
        return failed(request,
                      "ERR Client names cannot contain spaces, newlines or special characters.");
    }
    request.self.name = name;
    request.out.ok();
    return outcome::done;
}

outcome client_getname(const call& request) {
    if (request.self.name.empty())
        request.out.null();
    else
        request.out.bulk(request.self.name);
    return outcome::done;
}

outcome client_id(const call& request) {
    request.out.integer(static_cast<std::int64_t>(request.self.id()));
    return outcome::done;
}

// redis-cli asks for descriptions to help while typing; having none is fine with it.
outcome no_descriptions(const call& request) {
    request.out.array(0);
    return outcome::done;
}

}  // namespace

outcome ping(const call& request) {
    if (request.args.size() > 2) return wrong_arity(request, "ping");
    const bool with_text = request.args.size() == 2;
    if (request.self.subscribed()) {
        request.out.array(2);
        request.out.bulk("pong");
        request.out.bulk(with_text ? request.args[1] : "");
    } else if (with_text) {
        request.out.bulk(request.args[1]);
    } else {
        request.out.status("PONG");
    }
    return outcome::done;
}

outcome echo(const call& request) {
    request.out.bulk(request.args[1]);
    return outcome::done;
}

outcome quit(const call& request) {
    // Whoever was told that its message reached this client was told the truth.
    request.self.unsubscribe_all();
    request.self.take_mail(request.out);
    request.out.ok();
    return outcome::quit;
}

outcome select_database(const call& request) {
    const auto index = integer_argument(request, 1);
    if (!index) return outcome::done;
    if (*index != 0) return failed(request, "ERR DB index is out of range");
    request.out.ok();
    return outcome::done;
}

outcome config(const call& request) {
    static constexpr command subcommands[] = {{"get", -3, config_get}};
    return run_subcommand(request, "config", subcommands);
}

outcome client_command(const call& request) {
    static constexpr command subcommands[] = {
        {"setname", 3, client_setname},
        {"getname", 2, client_getname},
        {"id", 2, client_id},
    };
    return run_subcommand(request, "client", subcommands);
}

outcome command_command(const call& request) {
    static constexpr command itself = {"command", 1, no_descriptions};
    if (request.args.size() == 1) return run_command(request, itself, itself.name);
    static constexpr command subcommands[] = {{"docs", -2, no_descriptions}};
    return run_subcommand(request, "command", subcommands);
}

}  // namespace kv
