#pragma once

// Publish and subscribe. Each subscriber has a mailbox: a byte buffer that publishers fill and the
// subscriber's connection empties. It takes memory only while messages are on their way, and it is
// bounded: a subscriber that lets 32 MiB pile up, those included that are being written to it, is
// disconnected. That is Redis's hard limit, but for the replies, which count there; its soft one, 8
// MiB for a minute, is not kept here.

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/patterns/sharded_map.hpp>

#include "waiting.hpp"

namespace kv {

class mailbox {
public:
    static constexpr std::size_t default_limit = 32 * 1024 * 1024;

    explicit mailbox(std::shared_ptr<waker> owner, std::size_t limit = default_limit)
        : owner_(std::move(owner)), limit_(limit) {}

    /// Adds an encoded message and wakes the owner. Over the limit the owner is cut off.
    void post(std::string_view message);
    /// Everything posted since the last call, encoded. It counts until it is written.
    std::string take();
    /// So many bytes of what was taken, and of replies behind it, have gone out.
    void written(std::size_t bytes);

private:
    const std::shared_ptr<waker> owner_;
    const std::size_t limit_;

    std::mutex lock_;          // taken inside a hub shard's lock; guards the rest
    std::string pending_;      // posted, but not taken
    std::size_t leaving_ = 0;  // bytes taken, but not written
    bool overrun_ = false;
};

/// Thread-safe. All subscribers of a channel get its messages in the same order.
class hub {
public:
    void subscribe(std::string_view channel, const std::shared_ptr<mailbox>& to);
    void unsubscribe(std::string_view channel, const std::shared_ptr<mailbox>& from);
    /// The number of subscribers reached.
    std::size_t publish(std::string_view channel, std::string_view message);
    /// Channels that have subscribers.
    std::size_t channels() { return subscribers_.size(); }

private:
    sluice::sharded_map<std::string, std::vector<std::shared_ptr<mailbox>>> subscribers_{16};
};

}  // namespace kv
