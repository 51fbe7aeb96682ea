#include "client.hpp"

namespace kv {

void client::subscribe(std::string_view channel) {
    if (!mail_) mail_ = std::make_shared<mailbox>(bell());
    const bool fresh = subscriptions_.emplace(channel).second;
    if (fresh) server_.channels.subscribe(channel, mail_);
}

void client::unsubscribe(std::string_view channel) {
    const auto found = subscriptions_.find(channel);
    if (found == subscriptions_.end()) return;
    server_.channels.unsubscribe(channel, mail_);
    subscriptions_.erase(found);
}

void client::unsubscribe_all() {
    for (const auto& channel : subscriptions_) server_.channels.unsubscribe(channel, mail_);
    subscriptions_.clear();
}

void client::take_mail(reply& out) {
    if (mail_) out.raw(mail_->take());
}

}  // namespace kv
