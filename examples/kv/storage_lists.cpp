// Lists, and the clients that wait for their elements.

#include "storage.hpp"

#include <algorithm>

namespace kv {

namespace {

std::string take(list& from, end where) {
    std::string element = std::move(where == end::front ? from.front() : from.back());
    if (where == end::front)
        from.pop_front();
    else
        from.pop_back();
    return element;
}

}  // namespace

expected<list*> storage::live_list(entry& place) {
    item* found = live(place);
    if (!found) return nullptr;
    auto* held = std::get_if<std::unique_ptr<list>>(&found->data);
    if (!held) return tl::unexpected(failure::wrong_type);
    return held->get();
}

expected<std::size_t> storage::push(std::string_view key, end where, keys elements) {
    waiting_clients served;
    auto length = map_.with(key, [&](entry& place) -> expected<std::size_t> {
        const auto found = live_list(place);
        if (!found) return tl::unexpected(found.error());
        list* to = *found;
        if (!to) {
            auto fresh = std::make_unique<list>();
            to = fresh.get();
            place.emplace().data = std::move(fresh);
        }
        for (const std::string_view element : elements) {
            if (where == end::front)
                to->emplace_front(element);
            else
                to->emplace_back(element);
        }
        const std::size_t reached = to->size();
        if (!place.state().waiting.empty()) serve_waiting(place, key, *to, served);
        return reached;
    });
    for (const auto& client : served) client->owner()->wake();
    return length;
}

void storage::serve_waiting(entry& place, std::string_view key, list& from,
                            waiting_clients& served) {
    auto& waiting = place.state().waiting;
    const auto queue = waiting.find(key);
    if (queue == waiting.end()) return;
    auto& clients = queue->second;
    auto next = clients.begin();
    for (; next != clients.end() && !from.empty(); ++next) {
        // One that was served through another key, or gave up, is on its way out of this queue.
        const bool won = (*next)->serve(key, from);
        if (won) served.push_back(*next);
    }
    clients.erase(clients.begin(), next);
    if (clients.empty()) waiting.erase(queue);
    if (from.empty()) drop(place);
}

expected<std::optional<std::string>> storage::pop(std::string_view key, end where) {
    return map_.with(key, [&](entry& place) -> expected<std::optional<std::string>> {
        const auto found = live_list(place);
        if (!found) return tl::unexpected(found.error());
        if (!*found) return std::nullopt;
        std::optional<std::string> element = take(**found, where);
        if ((*found)->empty()) drop(place);
        return element;
    });
}

expected<std::optional<std::vector<std::string>>> storage::pop(std::string_view key, end where,
                                                               std::size_t count) {
    using elements = std::vector<std::string>;
    return map_.with(key, [&](entry& place) -> expected<std::optional<elements>> {
        const auto found = live_list(place);
        if (!found) return tl::unexpected(found.error());
        if (!*found) return std::nullopt;
        list& from = **found;
        elements taken;
        taken.reserve(std::min(count, from.size()));
        while (taken.size() < count && !from.empty()) taken.push_back(take(from, where));
        if (from.empty()) drop(place);
        return taken;
    });
}

expected<bool> storage::pop_or_wait(const std::shared_ptr<blocked_pop>& client) {
    const auto& names = client->keys();
    return map_.with_all(names, [&](auto& shards) -> expected<bool> {
        for (const std::string_view name : names) {
            entry place = shards.at(name);
            const auto found = live_list(place);
            if (!found) return tl::unexpected(found.error());
            if (!*found) continue;
            client->serve(name, **found);
            if ((*found)->empty()) drop(place);
            return true;
        }
        for (const std::string_view name : names) {
            auto& queue = shards.at(name).state().waiting[std::string(name)];
            // A key that is named twice waits once; ours can only be the last in the queue.
            if (queue.empty() || queue.back() != client) queue.push_back(client);
        }
        return false;
    });
}

void storage::forget(const std::shared_ptr<blocked_pop>& client) {
    for (const std::string_view name : client->keys()) {
        map_.with(name, [&](entry& place) {
            auto& waiting = place.state().waiting;
            const auto queue = waiting.find(name);
            if (queue == waiting.end()) return;
            std::erase(queue->second, client);
            if (queue->second.empty()) waiting.erase(queue);
        });
    }
}

}  // namespace kv
