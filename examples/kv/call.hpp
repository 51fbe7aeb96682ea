#pragma once

// What every command function works with. Only the command files include this.

#include <cstdint>
#include <optional>
#include <string_view>

#include "commands.hpp"

namespace kv {

/// One request on its way through a command.
struct call {
    client& self;
    arguments args;  ///< the first is the command's name
    reply& out;

    storage& keys() const { return self.server().keys; }
};

using command_fn = outcome (*)(const call&);

struct command {
    std::string_view name;  ///< lower case
    int arity;              ///< with the name; negative: at least
    command_fn run;
    bool while_subscribed = false;  ///< of a command with subcommands: each of them decides
};

/// Whether an argument is the given lower-case word, in any case.
bool is_word(std::string_view argument, std::string_view lower_case);

/// What an error repeats of an argument: to Redis it is a C string there.
std::string_view up_to_nul(std::string_view argument);

outcome wrong_arity(const call& request, std::string_view name);
outcome failed(const call& request, failure reason);
outcome failed(const call& request, std::string_view error);
/// The number in an argument; writes the error when it is none.
std::optional<std::int64_t> integer_argument(const call& request, std::size_t index);

/// Runs a command, or a subcommand under its full name, unless the number of arguments or the mode
/// the connection is in forbid it.
outcome run_command(const call& request, const command& which, std::string_view full_name);
/// For CONFIG, CLIENT and the like, whose second word chooses among commands of their own.
outcome run_subcommand(const call& request, std::string_view container,
                       std::span<const command> subcommands);

inline constexpr std::string_view syntax_error = "ERR syntax error";
inline constexpr std::string_view not_an_integer = "ERR value is not an integer or out of range";

// commands_strings.cpp
outcome get(const call&);
outcome set(const call&);
outcome mget(const call&);
outcome mset(const call&);
outcome incr(const call&);
outcome decr(const call&);
outcome incrby(const call&);
outcome decrby(const call&);

// commands_keys.cpp
outcome del(const call&);
outcome exists(const call&);
outcome expire(const call&);
outcome pexpire(const call&);
outcome ttl(const call&);
outcome pttl(const call&);
outcome keys(const call&);
outcome dbsize(const call&);
outcome flushall(const call&);

// commands_lists.cpp
outcome lpush(const call&);
outcome rpush(const call&);
outcome lpop(const call&);
outcome rpop(const call&);
outcome llen(const call&);
outcome lrange(const call&);
outcome blpop(const call&);

// commands_pubsub.cpp
outcome subscribe(const call&);
outcome unsubscribe(const call&);
outcome publish(const call&);

// commands_server.cpp
outcome ping(const call&);
outcome echo(const call&);
outcome quit(const call&);
outcome select_database(const call&);
outcome config(const call&);
outcome client_command(const call&);
outcome command_command(const call&);

// info.cpp
outcome info(const call&);

}  // namespace kv
