// Strings, expiry and whole-keyspace calls. Lists are in storage_lists.cpp.

#include "storage.hpp"

#include <charconv>
#include <limits>
#include <ranges>

#include "glob.hpp"
#include "request.hpp"

namespace kv {

storage::item* storage::live(entry& place) {
    item* found = place.get();
    if (!found || found->expires == never || found->expires > now_()) return found;
    drop(place);
    expired_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
}

void storage::drop(entry& place) {
    if (const item* found = place.get()) {
        // The index looks at the key's characters, so it goes first.
        if (found->expires != never) place.state().due.erase({found->expires, place.key()});
        place.erase();
    }
}

void storage::set_expiry(entry& place, time_point when) {
    item& found = *place.get();
    if (found.expires == when) return;
    auto& due = place.state().due;
    if (found.expires != never) due.erase({found.expires, place.key()});
    if (when != never) due.emplace(when, place.key());
    found.expires = when;
}

void storage::put(entry& place, std::string_view data) {
    if (item* found = place.get()) {
        auto* text = std::get_if<std::string>(&found->data);
        // Memory of the old value is used again unless the new one would waste most of it.
        if (text && text->capacity() / 4 <= data.size() + 16)
            text->assign(data);
        else
            found->data.emplace<std::string>(data);
    } else {
        place.emplace().data.emplace<std::string>(data);
    }
}

expected<set_result> storage::set(std::string_view key, std::string_view data,
                                  const set_options& options) {
    return map_.with(key, [&](entry& place) { return set_at(place, data, options); });
}

expected<set_result> storage::set_at(entry& place, std::string_view data,
                                     const set_options& options) {
    set_result result;
    if (options.when != condition::always || options.keep_expiry || options.want_old) {
        const item* found = live(place);
        if (found && options.want_old) {
            const auto* text = std::get_if<std::string>(&found->data);
            if (!text) return tl::unexpected(failure::wrong_type);
            result.old = *text;
        }
        if (options.when == condition::if_absent && found) return result;
        if (options.when == condition::if_present && !found) return result;
    }
    put(place, data);
    if (!options.keep_expiry) set_expiry(place, options.expires);
    result.stored = true;
    return result;
}

void storage::set_many(keys pairs) {
    const auto first_of_pair = [&](std::size_t i) { return pairs[2 * i]; };
    const auto names =
        std::views::iota(std::size_t{0}, pairs.size() / 2) | std::views::transform(first_of_pair);
    map_.with_all(names, [&](auto& shards) {
        for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
            entry place = shards.at(pairs[i]);
            put(place, pairs[i + 1]);
            set_expiry(place, never);
        }
    });
}

expected<std::int64_t> storage::add(std::string_view key, std::int64_t delta) {
    return map_.with(key, [&](entry& place) { return add_at(place, delta); });
}

expected<std::int64_t> storage::add_at(entry& place, std::int64_t delta) {
    using limits = std::numeric_limits<std::int64_t>;
    std::int64_t number = 0;
    if (const item* found = live(place)) {
        const auto* text = std::get_if<std::string>(&found->data);
        if (!text) return tl::unexpected(failure::wrong_type);
        if (!parse_integer(*text, number)) return tl::unexpected(failure::not_an_integer);
    }
    const bool too_big = delta > 0 && number > limits::max() - delta;
    const bool too_small = delta < 0 && number < limits::min() - delta;
    if (too_big || too_small) return tl::unexpected(failure::overflow);
    number += delta;
    char digits[24];
    const char* digits_end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    put(place, std::string_view(digits, static_cast<std::size_t>(digits_end - digits)));
    return number;
}

std::size_t storage::erase(keys which) {
    return map_.with_all(which, [&](auto& shards) {
        std::size_t erased = 0;
        for (const std::string_view key : which) {
            entry place = shards.at(key);
            erased += live(place) != nullptr;
            drop(place);
        }
        return erased;
    });
}

std::size_t storage::count(keys which) {
    return map_.with_all(which, [&](auto& shards) {
        std::size_t there = 0;
        for (const std::string_view key : which) {
            entry place = shards.at(key);
            there += live(place) != nullptr;
        }
        return there;
    });
}

bool storage::expire(std::string_view key, time_point when, expiry_rule rule) {
    return map_.with(key, [&](entry& place) {
        const item* found = live(place);
        if (!found || !rule.allows(found->expires, when)) return false;
        if (when <= now_())
            drop(place);
        else
            set_expiry(place, when);
        return true;
    });
}

std::optional<time_point> storage::expiry(std::string_view key) {
    return map_.with(key, [&](entry& place) -> std::optional<time_point> {
        const item* found = live(place);
        if (!found) return std::nullopt;
        return found->expires;
    });
}

std::vector<std::string> storage::match(std::string_view pattern) {
    std::vector<std::string> names;
    const time_point now = now_();
    map_.with_every_shard([&](auto& shard) {
        shard.for_each([&](const std::string& name, const item& found) {
            if (found.expires > now && glob_match(pattern, name)) names.push_back(name);
        });
    });
    return names;
}

std::size_t storage::size() {
    std::size_t total = 0;
    map_.with_every_shard([&](auto& shard) { total += shard.size(); });
    return total;
}

std::size_t storage::expiring() {
    std::size_t total = 0;
    map_.with_every_shard([&](auto& shard) { total += shard.state().due.size(); });
    return total;
}

void storage::clear() {
    map_.with_every_shard([&](auto& shard) {
        shard.state().due.clear();
        shard.clear();
    });
}

std::size_t storage::expire_due(std::size_t most) {
    std::size_t dropped = 0;
    const time_point now = now_();
    map_.for_each_shard([&](auto& shard) {
        auto& due = shard.state().due;
        for (std::size_t n = 0; n < most && !due.empty() && due.begin()->first <= now; ++n) {
            const std::string_view key = due.begin()->second;
            entry place = shard.at(key);
            drop(place);
            ++dropped;
        }
    });
    expired_.fetch_add(dropped, std::memory_order_relaxed);
    return dropped;
}

}  // namespace kv
