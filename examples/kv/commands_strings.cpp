#include <limits>

#include "call.hpp"

namespace kv {

namespace {

struct time_option {
    std::string_view name;
    std::int64_t unit;
    bool absolute;
};

constexpr time_option time_options[] = {
    {"ex", 1000, false},
    {"px", 1, false},
    {"exat", 1000, true},
    {"pxat", 1, true},
};

/// The options of SET as they are written; the expiry time is judged after the syntax, as in Redis.
struct set_syntax {
    set_options options;
    const time_option* time = nullptr;  // null: none
    std::size_t time_at = 0;            // index of its argument
};

// The same option may come again, and the last one counts; two different ones may not.
bool take_time_option(set_syntax& syntax, std::string_view word, std::size_t index) {
    for (const time_option& each : time_options) {
        if (!is_word(word, each.name)) continue;
        if (syntax.time && syntax.time != &each) return false;
        syntax.time = &each;
        syntax.time_at = index + 1;
        return true;
    }
    return false;
}

std::optional<set_syntax> parse_set(arguments args) {
    set_syntax syntax;
    set_options& options = syntax.options;
    for (std::size_t i = 3; i < args.size(); ++i) {
        const std::string_view word = args[i];
        const bool unconditional = options.when == condition::always;
        if (is_word(word, "nx") && (unconditional || options.when == condition::if_absent)) {
            options.when = condition::if_absent;
        } else if (is_word(word, "xx") &&
                   (unconditional || options.when == condition::if_present)) {
            options.when = condition::if_present;
        } else if (is_word(word, "get")) {
            options.want_old = true;
        } else if (is_word(word, "keepttl") && !syntax.time) {
            options.keep_expiry = true;
        } else if (!options.keep_expiry && i + 1 < args.size() &&
                   take_time_option(syntax, word, i)) {
            ++i;
        } else {
            return std::nullopt;
        }
    }
    return syntax;
}

bool parse_expiry(const call& request, set_syntax& syntax) {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    const auto number = integer_argument(request, syntax.time_at);
    if (!number) return false;
    const std::int64_t start =
        syntax.time->absolute ? 0 : request.keys().now().time_since_epoch().count();
    const std::int64_t unit = syntax.time->unit;
    if (*number <= 0 || *number > most / unit || *number * unit > most - start) {
        request.out.error("ERR invalid expire time in 'set' command");
        return false;
    }
    syntax.options.expires = expiry_at(*number * unit + start);
    return true;
}

outcome set_with_options(const call& request) {
    auto syntax = parse_set(request.args);
    if (!syntax) return failed(request, syntax_error);
    if (syntax->time && !parse_expiry(request, *syntax)) return outcome::done;
    const auto result = request.keys().set(request.args[1], request.args[2], syntax->options);
    if (!result) return failed(request, result.error());
    if (syntax->options.want_old && result->old)
        request.out.bulk(*result->old);
    else if (syntax->options.want_old || !result->stored)
        request.out.null();
    else
        request.out.ok();
    return outcome::done;
}

outcome add(const call& request, std::int64_t delta) {
    const auto sum = request.keys().add(request.args[1], delta);
    if (!sum) return failed(request, sum.error());
    request.out.integer(*sum);
    return outcome::done;
}

}  // namespace

outcome get(const call& request) {
    const auto found = request.keys().read(request.args[1],
                                           [&](std::string_view text) { request.out.bulk(text); });
    if (!found) return failed(request, found.error());
    if (!*found) request.out.null();
    return outcome::done;
}

outcome set(const call& request) {
    if (request.args.size() > 3) return set_with_options(request);
    static constexpr set_options plain;
    request.keys().set(request.args[1], request.args[2], plain);
    request.out.ok();
    return outcome::done;
}

outcome mget(const call& request) {
    const auto names = request.args.subspan(1);
    request.out.array(names.size());
    request.keys().read_many(names, [&](std::size_t, const std::string* text) {
        if (text)
            request.out.bulk(*text);
        else
            request.out.null();
    });
    return outcome::done;
}

outcome mset(const call& request) {
    if (request.args.size() % 2 == 0) return wrong_arity(request, "mset");
    request.keys().set_many(request.args.subspan(1));
    request.out.ok();
    return outcome::done;
}

outcome incr(const call& request) {
    return add(request, 1);
}

outcome decr(const call& request) {
    return add(request, -1);
}

outcome incrby(const call& request) {
    const auto delta = integer_argument(request, 2);
    return delta ? add(request, *delta) : outcome::done;
}

outcome decrby(const call& request) {
    const auto delta = integer_argument(request, 2);
    if (!delta) return outcome::done;
    if (*delta == std::numeric_limits<std::int64_t>::min()) {
        return failed(request, "ERR decrement would overflow");
    }
    return add(request, -*delta);
}

}  // namespace kv
