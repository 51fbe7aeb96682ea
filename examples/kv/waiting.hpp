#pragma once

// What a connection that waits for others looks like to them. The keyspace and the hub know a
// parked task (or, in the twin, a blocked thread) only by these two types.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "value.hpp"

namespace kv {

/// Rouses the connection that owns it; thread-safe. May be called too often, never too rarely.
class waker {
public:
    virtual ~waker() = default;
    /// Something changed: look again.
    virtual void wake() = 0;
    /// The connection is beyond help and must be closed, even out of a write.
    virtual void cut() = 0;
};

/// One client blocked in BLPOP, queued under each of its keys. Whoever calls serve() or give_up()
/// first decides how it ends; the other call then answers false.
class blocked_pop {
public:
    blocked_pop(std::vector<std::string> keys, std::shared_ptr<waker> owner)
        : keys_(std::move(keys)), owner_(std::move(owner)) {}

    const std::vector<std::string>& keys() const { return keys_; }
    const std::shared_ptr<waker>& owner() const { return owner_; }

    /// Moves the first element of `from` to the client. Called with the key's shard locked.
    bool serve(std::string_view key, list& from);
    /// Time is up or the client is gone.
    bool give_up();
    /// Once true, key() and element() hold the answer and never change again.
    bool served() const;
    const std::string& key() const { return key_; }
    const std::string& element() const { return element_; }

private:
    enum class state : std::uint8_t { waiting, served, given_up };

    const std::vector<std::string> keys_;
    const std::shared_ptr<waker> owner_;

    mutable std::mutex lock_;       // taken inside a shard's lock
    state state_ = state::waiting;  // guarded by lock_; the last two are final
    std::string key_;               // guarded by lock_ until served
    std::string element_;           // guarded by lock_ until served
};

}  // namespace kv
