#include <limits>
#include <string>

#include "call.hpp"

namespace kv {

namespace {

std::optional<expiry_rule> parse_rule(const call& request) {
    expiry_rule rule;
    for (const std::string_view word : request.args.subspan(3)) {
        if (is_word(word, "nx"))
            rule.if_none = true;
        else if (is_word(word, "xx"))
            rule.if_some = true;
        else if (is_word(word, "gt"))
            rule.if_later = true;
        else if (is_word(word, "lt"))
            rule.if_sooner = true;
        else {
            request.out.error(std::string("ERR Unsupported option ").append(up_to_nul(word)));
            return std::nullopt;
        }
    }
    if (rule.if_none && (rule.if_some || rule.if_later || rule.if_sooner)) {
        request.out.error("ERR NX and XX, GT or LT options at the same time are not compatible");
        return std::nullopt;
    }
    if (rule.if_later && rule.if_sooner) {
        request.out.error("ERR GT and LT options at the same time are not compatible");
        return std::nullopt;
    }
    return rule;
}

outcome expire_in(const call& request, std::int64_t unit, std::string_view name) {
    using limits = std::numeric_limits<std::int64_t>;
    const auto rule = parse_rule(request);
    if (!rule) return outcome::done;
    const auto number = integer_argument(request, 2);
    if (!number) return outcome::done;
    const std::int64_t now = request.keys().now().time_since_epoch().count();
    const bool fits = *number <= limits::max() / unit && *number >= limits::min() / unit;
    if (!fits || *number * unit > limits::max() - now) {
        std::string text = "ERR invalid expire time in '";
        return failed(request, text.append(name).append("' command"));
    }
    const time_point when = expiry_at(*number * unit + now);
    request.out.integer(request.keys().expire(request.args[1], when, *rule));
    return outcome::done;
}

outcome time_left(const call& request, std::int64_t unit) {
    constexpr std::int64_t no_such_key = -2;
    constexpr std::int64_t no_expiry = -1;
    const auto when = request.keys().expiry(request.args[1]);
    if (!when) {
        request.out.integer(no_such_key);
    } else if (*when == never) {
        request.out.integer(no_expiry);
    } else {
        const std::int64_t left = std::max<std::int64_t>(0, (*when - request.keys().now()).count());
        request.out.integer((left + unit / 2) / unit);
    }
    return outcome::done;
}

}  // namespace

outcome del(const call& request) {
    request.out.integer(static_cast<std::int64_t>(request.keys().erase(request.args.subspan(1))));
    return outcome::done;
}

outcome exists(const call& request) {
    request.out.integer(static_cast<std::int64_t>(request.keys().count(request.args.subspan(1))));
    return outcome::done;
}

outcome expire(const call& request) {
    return expire_in(request, 1000, "expire");
}

outcome pexpire(const call& request) {
    return expire_in(request, 1, "pexpire");
}

outcome ttl(const call& request) {
    return time_left(request, 1000);
}

outcome pttl(const call& request) {
    return time_left(request, 1);
}

outcome keys(const call& request) {
    const auto names = request.keys().match(request.args[1]);
    request.out.array(names.size());
    for (const auto& name : names) request.out.bulk(name);
    return outcome::done;
}

outcome dbsize(const call& request) {
    request.out.integer(static_cast<std::int64_t>(request.keys().size()));
    return outcome::done;
}

outcome flushall(const call& request) {
    const auto mode = request.args.subspan(1);
    if (mode.size() > 1) return failed(request, syntax_error);
    if (mode.size() == 1 && !is_word(mode[0], "async") && !is_word(mode[0], "sync")) {
        return failed(request, syntax_error);
    }
    request.keys().clear();
    request.out.ok();
    return outcome::done;
}

}  // namespace kv
