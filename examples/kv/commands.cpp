#include "commands.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "call.hpp"

namespace kv {

namespace {

constexpr command table[] = {
    {"blpop", -3, blpop},
    {"client", -2, client_command, true},
    {"command", -1, command_command, true},
    {"config", -2, config, true},
    {"dbsize", 1, dbsize},
    {"decr", 2, decr},
    {"decrby", 3, decrby},
    {"del", -2, del},
    {"echo", 2, echo},
    {"exists", -2, exists},
    {"expire", -3, expire},
    {"flushall", -1, flushall},
    {"get", 2, get},
    {"incr", 2, incr},
    {"incrby", 3, incrby},
    {"info", -1, info},
    {"keys", 2, keys},
    {"llen", 2, llen},
    {"lpop", -2, lpop},
    {"lpush", -3, lpush},
    {"lrange", 4, lrange},
    {"mget", -2, mget},
    {"mset", -3, mset},
    {"pexpire", -3, pexpire},
    {"ping", -1, ping, true},
    {"pttl", 2, pttl},
    {"publish", 3, publish},
    {"quit", -1, quit, true},
    {"rpop", -2, rpop},
    {"rpush", -3, rpush},
    {"select", 2, select_database},
    {"set", -3, set},
    {"subscribe", -2, subscribe, true},
    {"ttl", 2, ttl},
    {"unsubscribe", -1, unsubscribe, true},
};

constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// Names by a hash of all their letters: one probe finds nearly every command.
class command_index {
public:
    constexpr command_index() {
        for (const command& each : table) {
            std::size_t at = slot(each.name);
            while (slots_[at]) at = (at + 1) % slots_.size();
            slots_[at] = &each;
        }
    }

    constexpr const command* find(std::string_view name) const {
        if (name.size() > longest_name) return nullptr;
        for (std::size_t at = slot(name); slots_[at]; at = (at + 1) % slots_.size()) {
            if (is_word(name, slots_[at]->name)) return slots_[at];
        }
        return nullptr;
    }

private:
    static constexpr std::size_t longest_name = 16;

    static constexpr bool is_word(std::string_view name, std::string_view lower_case) {
        if (name.size() != lower_case.size()) return false;
        for (std::size_t i = 0; i < name.size(); ++i) {
            if (lower(name[i]) != lower_case[i]) return false;
        }
        return true;
    }

    static constexpr std::size_t slot(std::string_view name) {
        std::uint32_t hash = 0;
        for (const char c : name) hash = hash * 31 + static_cast<unsigned char>(c | 0x20);
        return (hash * 0x9e3779b1u) >> 24;
    }

    std::array<const command*, 256> slots_{};
};

constexpr command_index commands;

bool arity_fits(const command& found, std::size_t arguments) {
    return found.arity > 0 ? arguments == static_cast<std::size_t>(found.arity)
                           : arguments >= static_cast<std::size_t>(-found.arity);
}

// At most this much of a client's text is repeated to it.
constexpr std::size_t most_quoted = 128;

// To Redis these are a sign that a page in somebody's browser was made to send it a form.
bool is_web_request(std::string_view name) {
    return is_word(up_to_nul(name), "post") || is_word(up_to_nul(name), "host:");
}

outcome unknown_command(const call& request) {
    std::string quoted;
    for (const std::string_view arg : request.args.subspan(1)) {
        if (quoted.size() >= most_quoted) break;
        const std::string_view shown = up_to_nul(arg).substr(0, most_quoted - quoted.size());
        quoted.append("'").append(shown).append("' ");
    }
    std::string text = "ERR unknown command '";
    text.append(up_to_nul(request.args[0]).substr(0, most_quoted));
    text.append("', with args beginning with: ").append(quoted);
    return failed(request, text);
}

outcome refuse_while_subscribed(const call& request, std::string_view name) {
    std::string text = "ERR Can't execute '";
    text.append(name).append(
        "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
        "context");
    return failed(request, text);
}

}  // namespace

outcome execute(client& self, arguments args, reply& out) {
    if (args.empty()) return outcome::done;
    const call request{self, args, out};
    const command* found = commands.find(args[0]);
    if (found) return run_command(request, *found, found->name);
    return is_web_request(args[0]) ? outcome::quit : unknown_command(request);
}

outcome run_command(const call& request, const command& which, std::string_view full_name) {
    if (!arity_fits(which, request.args.size())) return wrong_arity(request, full_name);
    if (request.self.subscribed() && !which.while_subscribed) {
        return refuse_while_subscribed(request, full_name);
    }
    return which.run(request);
}

bool is_word(std::string_view argument, std::string_view lower_case) {
    return std::ranges::equal(argument, lower_case, {}, lower);
}

std::string_view up_to_nul(std::string_view argument) {
    return argument.substr(0, argument.find('\0'));
}

outcome wrong_arity(const call& request, std::string_view name) {
    std::string text = "ERR wrong number of arguments for '";
    return failed(request, text.append(name).append("' command"));
}

outcome failed(const call& request, std::string_view error) {
    request.out.error(error);
    return outcome::done;
}

outcome failed(const call& request, failure reason) {
    switch (reason) {
        case failure::wrong_type:
            return failed(request,
                          "WRONGTYPE Operation against a key holding the wrong kind of value");
        case failure::not_an_integer:
            return failed(request, not_an_integer);
        case failure::overflow:
            return failed(request, "ERR increment or decrement would overflow");
    }
    return outcome::done;
}

std::optional<std::int64_t> integer_argument(const call& request, std::size_t index) {
    std::int64_t number = 0;
    if (parse_integer(request.args[index], number)) return number;
    request.out.error(not_an_integer);
    return std::nullopt;
}

outcome run_subcommand(const call& request, std::string_view container,
                       std::span<const command> subcommands) {
    const std::string_view word = request.args[1];
    for (const command& each : subcommands) {
        if (!is_word(word, each.name)) continue;
        std::string full(container);
        return run_command(request, each, full.append("|").append(each.name));
    }
    std::string text = "ERR unknown subcommand '";
    text.append(up_to_nul(word).substr(0, most_quoted)).append("'. Try ");
    for (const char c : container) text.push_back(static_cast<char>(c & ~0x20));
    return failed(request, text.append(" HELP."));
}

}  // namespace kv
