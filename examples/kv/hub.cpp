#include "hub.hpp"

#include <algorithm>
#include <utility>

#include "reply.hpp"

namespace kv {

void mailbox::post(std::string_view message) {
    bool first = false;
    bool too_slow = false;
    {
        const std::lock_guard guard(lock_);
        if (overrun_) return;
        first = pending_.empty();
        too_slow = overrun_ = leaving_ + pending_.size() + message.size() > limit_;
        if (overrun_)
            std::string().swap(pending_);
        else
            pending_.append(message);
    }
    if (too_slow)
        owner_->cut();
    else if (first)
        owner_->wake();  // later ones find it woken already
}

std::string mailbox::take() {
    const std::lock_guard guard(lock_);
    leaving_ += pending_.size();
    return std::exchange(pending_, {});
}

void mailbox::written(std::size_t bytes) {
    const std::lock_guard guard(lock_);
    leaving_ -= std::min(leaving_, bytes);
}

void hub::subscribe(std::string_view channel, const std::shared_ptr<mailbox>& to) {
    subscribers_.with(channel, [&](auto& place) {
        auto* present = place.get();
        (present ? *present : place.emplace()).push_back(to);
    });
}

void hub::unsubscribe(std::string_view channel, const std::shared_ptr<mailbox>& from) {
    subscribers_.with(channel, [&](auto& place) {
        auto* present = place.get();
        if (!present) return;
        std::erase(*present, from);
        if (present->empty()) place.erase();
    });
}

std::size_t hub::publish(std::string_view channel, std::string_view message) {
    return subscribers_.with(channel, [&](auto& place) -> std::size_t {
        const auto* present = place.get();
        if (!present) return 0;
        reply encoded;
        encoded.array(3);
        encoded.bulk("message");
        encoded.bulk(channel);
        encoded.bulk(message);
        for (const auto& subscriber : *present) subscriber->post(encoded.bytes());
        return present->size();
    });
}

}  // namespace kv
