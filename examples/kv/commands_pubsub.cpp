#include <string>
#include <vector>

#include "call.hpp"

namespace kv {

namespace {

void confirm(const call& request, std::string_view what, std::string_view channel) {
    request.out.array(3);
    request.out.bulk(what);
    request.out.bulk(channel);
    request.out.integer(static_cast<std::int64_t>(request.self.subscriptions().size()));
}

void leave(const call& request, std::string_view channel) {
    request.self.unsubscribe(channel);
    // What was published before goes out before the confirmation.
    request.self.take_mail(request.out);
    confirm(request, "unsubscribe", channel);
}

}  // namespace

// Messages wait in the mailbox until this batch of replies is out, so none overtakes the
// confirmation.
outcome subscribe(const call& request) {
    if (!request.self.can_listen()) return failed(request, "ERR SUBSCRIBE is not supported");
    for (const std::string_view channel : request.args.subspan(1)) {
        request.self.subscribe(channel);
        confirm(request, "subscribe", channel);
    }
    return outcome::done;
}

outcome unsubscribe(const call& request) {
    for (const std::string_view channel : request.args.subspan(1)) leave(request, channel);
    if (request.args.size() > 1) return outcome::done;
    const auto& present = request.self.subscriptions();
    const std::vector<std::string> all(present.begin(), present.end());
    for (const auto& channel : all) leave(request, channel);
    if (all.empty()) {
        request.out.array(3);
        request.out.bulk("unsubscribe");
        request.out.null();
        request.out.integer(0);
    }
    return outcome::done;
}

outcome publish(const call& request) {
    hub& channels = request.self.server().channels;
    const std::size_t reached = channels.publish(request.args[1], request.args[2]);
    request.out.integer(static_cast<std::int64_t>(reached));
    return outcome::done;
}

}  // namespace kv
