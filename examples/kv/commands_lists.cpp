#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string>

#include "call.hpp"

namespace kv {

namespace {

outcome push(const call& request, end where) {
    const auto length = request.keys().push(request.args[1], where, request.args.subspan(2));
    if (!length) return failed(request, length.error());
    request.out.integer(static_cast<std::int64_t>(*length));
    return outcome::done;
}

outcome pop_several(const call& request, end where) {
    std::int64_t count = 0;
    if (!parse_integer(request.args[2], count) || count < 0) {
        return failed(request, "ERR value is out of range, must be positive");
    }
    const auto taken = request.keys().pop(request.args[1], where, static_cast<std::size_t>(count));
    if (!taken) return failed(request, taken.error());
    if (!*taken) {
        request.out.null_array();
        return outcome::done;
    }
    request.out.array((*taken)->size());
    for (const auto& element : **taken) request.out.bulk(element);
    return outcome::done;
}

outcome pop(const call& request, end where, std::string_view name) {
    if (request.args.size() > 3) return wrong_arity(request, name);
    if (request.args.size() == 3) return pop_several(request, where);
    const auto taken = request.keys().pop(request.args[1], where);
    if (!taken) return failed(request, taken.error());
    if (*taken)
        request.out.bulk(**taken);
    else
        request.out.null();
    return outcome::done;
}

// Seconds with a fraction, in any spelling strtold takes; Redis does the same.
bool parse_seconds(std::string_view text, long double& seconds) {
    if (text.empty() || std::isspace(static_cast<unsigned char>(text[0]))) return false;
    const std::string terminated(text);
    char* stop = nullptr;
    errno = 0;
    seconds = std::strtold(terminated.c_str(), &stop);
    return stop == terminated.c_str() + text.size() && !std::isnan(seconds) &&
           (errno != ERANGE || (std::isfinite(seconds) && seconds != 0));
}

// Writes the error and answers false when the timeout is none that Redis takes.
bool parse_timeout(const call& request, std::chrono::steady_clock::time_point& until) {
    using clock = std::chrono::steady_clock;

    constexpr long double most = 9223372036854775807.0L;
    long double seconds = 0;
    if (!parse_seconds(request.args.back(), seconds)) {
        request.out.error("ERR timeout is not a float or out of range");
        return false;
    }
    const long double milliseconds = std::ceil(seconds * 1000);
    if (milliseconds < 0 || milliseconds > most) {  // too large turns negative in Redis
        request.out.error("ERR timeout is negative");
        return false;
    }
    // Longer than any clock here runs is as good as for ever.
    constexpr auto longest = std::chrono::years(100);
    const std::chrono::milliseconds left(static_cast<std::int64_t>(milliseconds));
    until = left.count() == 0 || left > longest ? clock::time_point::max() : clock::now() + left;
    return true;
}

void write_popped(reply& out, const blocked_pop& client) {
    out.array(2);
    out.bulk(client.key());
    out.bulk(client.element());
}

}  // namespace

outcome lpush(const call& request) {
    return push(request, end::front);
}

outcome rpush(const call& request) {
    return push(request, end::back);
}

outcome lpop(const call& request) {
    return pop(request, end::front, "lpop");
}

outcome rpop(const call& request) {
    return pop(request, end::back, "rpop");
}

outcome llen(const call& request) {
    std::size_t length = 0;
    const auto found = request.keys().read_list(
        request.args[1], [&](const list* elements) { length = elements ? elements->size() : 0; });
    if (!found) return failed(request, found.error());
    request.out.integer(static_cast<std::int64_t>(length));
    return outcome::done;
}

outcome lrange(const call& request) {
    const auto from = integer_argument(request, 2);
    if (!from) return outcome::done;
    const auto to = integer_argument(request, 3);
    if (!to) return outcome::done;
    const auto found = request.keys().read_list(request.args[1], [&](const list* elements) {
        const auto size = static_cast<std::int64_t>(elements ? elements->size() : 0);
        const std::int64_t first = std::max<std::int64_t>(0, *from < 0 ? *from + size : *from);
        const std::int64_t last = std::min(size - 1, *to < 0 ? *to + size : *to);
        request.out.array(last < first ? 0 : static_cast<std::size_t>(last - first + 1));
        for (std::int64_t i = first; i <= last; ++i) {
            request.out.bulk((*elements)[static_cast<std::size_t>(i)]);
        }
    });
    return found ? outcome::done : failed(request, found.error());
}

outcome blpop(const call& request) {
    client& self = request.self;
    if (!parse_timeout(request, self.blocked_until)) return outcome::done;
    const auto names = request.args.subspan(1, request.args.size() - 2);
    const auto waiting = std::make_shared<blocked_pop>(
        std::vector<std::string>(names.begin(), names.end()), self.bell());
    const auto served = request.keys().pop_or_wait(waiting);
    if (!served) return failed(request, served.error());
    if (*served) {
        write_popped(request.out, *waiting);
        return outcome::done;
    }
    self.blocked = waiting;
    self.server().blocked.fetch_add(1, std::memory_order_relaxed);
    return outcome::blocked;
}

void abandon_blocked(client& self) {
    if (!self.blocked) return;
    self.blocked->give_up();
    self.server().keys.forget(self.blocked);
    self.blocked.reset();
    self.server().blocked.fetch_sub(1, std::memory_order_relaxed);
}

void finish_blocked(client& self, reply& out) {
    if (self.blocked->give_up())
        out.null_array();
    else
        write_popped(out, *self.blocked);
    abandon_blocked(self);
}

}  // namespace kv
