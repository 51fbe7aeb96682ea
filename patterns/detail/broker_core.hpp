// The part of a broker that does not depend on the type of its values.
//
// Concepts
//   A subscriber is a queue of bounded length and the tasks that wait to receive from it, under one
//   gate. A broker_core keeps the subscribers of each pattern, under its lock. A publish takes the
//   lists that match, as they are at that moment, and offers the message to one subscriber after
//   the other without any lock of the broker. Where a queue is full and its policy is to wait, it
//   leaves a late_delivery in line there; whoever makes room puts the message into the queue, so
//   that slow subscribers do not wait for each other.
//
// Invariants
//   Of a subscriber, under its gate: receivers wait only while the queue is empty, late deliveries
//   only while it is full, and neither once it has ended. Every message it was offered is
//   delivered, dropped, queued or late. No gate is held while a value is destroyed or a task is
//   readied, and the broker's lock and a gate are never held together.
//
// Rejected: delivering under the broker's lock (publishers of different topics would wait for each
// other), a task for each slow subscriber (it could be overtaken between its start and its send).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

/// What becomes of a message that a subscriber has no room for.
enum class when_full : std::uint8_t {
    block,        // its publisher waits
    drop_newest,  // it is dropped
    drop_oldest,  // the one that is in the queue longest is dropped
    disconnect,   // it is dropped, and the subscription ends
};

struct subscribe_options {
    std::size_t capacity = 64;  // messages; at least 1
    when_full policy = when_full::block;
};

/// What became of the messages that a subscription was offered before its end.
struct subscription_counters {
    std::uint64_t delivered = 0;  // received
    std::uint64_t dropped = 0;    // by the policy, or because the subscription or the publish ended
    std::size_t queued = 0;       // can be received now
};

namespace detail {

using message_ref = std::shared_ptr<const void>;

class subscriber;

/// A message in line at a full queue; leaves the line when it is let go.
class late_delivery : public list_node {
public:
    enum class state : std::uint8_t {
        waiting,
        taken,   // the queue has it
        gone,    // the subscription has ended
        closed,  // the broker was closed
    };

    late_delivery(std::shared_ptr<subscriber> to, message_ref message) noexcept
        : to_(std::move(to)), message_(std::move(message)) {}
    ~late_delivery() { give_up(); }

    /// Operation: waits until it is decided.
    auto decided() noexcept;
    /// How it was decided; `waiting` if it was not and has now left the line, which drops it.
    state give_up() noexcept;

private:
    friend class subscriber;
    friend class late_leaf;

    const std::shared_ptr<subscriber> to_;
    const message_ref message_;
    state state_ = state::waiting;  // under the subscriber's gate
    wait_queue waiters_;            // the publisher; likewise
};

class subscriber {
public:
    enum class offered : std::uint8_t {
        taken,
        dropped,
        full,   // and its policy is to wait
        ended,  // it takes nothing more
    };

    /// Throws std::invalid_argument for no capacity.
    explicit subscriber(const subscribe_options& how);

    /// Never waits. If the answer is `full`, `late` stands in line, unless it is null.
    offered offer(const message_ref& message, late_delivery* late = nullptr) noexcept;
    /// Takes nothing more, if it has not ended yet; `discard`: what is queued is dropped.
    void end(std::error_code why, bool discard) noexcept;
    std::error_code why() noexcept;
    subscription_counters counters() noexcept;

    spin_lock& gate() noexcept { return gate_; }

    // Gate held.
    bool ready() const noexcept { return count_ != 0 || why_; }
    bool take(message_ref& to, wake_list& wakes) noexcept;  // false: nothing yet
    void enlist(leaf& l) noexcept { receivers_.push_back(l); }

private:
    friend class late_delivery;
    friend class broker_core;

    // Gate held.
    offered place(const message_ref& message, message_ref& displaced, late_delivery* late,
                  wake_list& wakes) noexcept;
    void push(const message_ref& message) noexcept;
    message_ref pop() noexcept;
    void decide_first(late_delivery::state how, wake_list& wakes) noexcept;

    // Under the broker's lock: where it stands there.
    std::string key_;
    bool is_prefix_ = false;  // the key, else it is a topic
    bool listed_ = false;
    std::list<std::shared_ptr<subscriber>>::iterator position_;

    const when_full policy_;
    spin_lock gate_{lock_rank::subscription};
    // All under gate_.
    std::error_code why_;  // set once: it has ended
    std::size_t head_ = 0;
    std::size_t count_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t dropped_ = 0;
    std::vector<message_ref> ring_;
    list_node late_;
    wait_queue receivers_;
};

class late_leaf final : public leaf {
public:
    explicit late_leaf(late_delivery& d) noexcept : delivery_(d) {}
    late_leaf(late_leaf&&) noexcept = default;
    spin_lock* gate() noexcept override { return &delivery_.to_->gate(); }
    bool ready() noexcept override { return delivery_.state_ != late_delivery::state::waiting; }
    bool commit(wake_list&) noexcept override { return ready(); }
    void enlist() noexcept override { delivery_.waiters_.push_back(*this); }
    wait_site site() const noexcept override {
        return {"publish to a slow subscriber", delivery_.to_.get()};
    }

private:
    late_delivery& delivery_;
};

class [[nodiscard]] late_operation : public sole_operation<late_operation> {
public:
    using result_type = void;
    explicit late_operation(late_delivery& d) noexcept : leaf_(d) {}
    late_operation(late_operation&&) noexcept = default;

    late_leaf& the_leaf() noexcept { return leaf_; }
    void take(std::size_t) const noexcept {}

private:
    late_leaf leaf_;
};

inline auto late_delivery::decided() noexcept {
    return late_operation(*this);
}

/// A place at a subscriber, to receive the next message.
class subscriber_leaf final : public leaf {
public:
    explicit subscriber_leaf(subscriber& from) noexcept : from_(from) {}
    subscriber_leaf(subscriber_leaf&& other) noexcept : leaf(), from_(other.from_) {}
    spin_lock* gate() noexcept override { return &from_.gate(); }
    bool ready() noexcept override { return from_.ready(); }
    bool commit(wake_list& wakes) noexcept override { return from_.take(received, wakes); }
    void enlist() noexcept override { from_.enlist(*this); }
    wait_site site() const noexcept override { return {"recv of a subscription", &from_}; }

    message_ref received;  // null: the subscription has ended

private:
    subscriber& from_;
};

class broker_core {
public:
    /// Throws std::invalid_argument for no capacity. After close(): one that has ended.
    std::shared_ptr<subscriber> subscribe(std::string_view pattern, const subscribe_options& how);
    void unsubscribe(subscriber& who) noexcept;
    void close() noexcept;

    /// See broker::publish(). `topic` lives as long as the message.
    static task<result<std::size_t>> publish(std::shared_ptr<broker_core> self, context ctx,
                                             std::string_view topic, message_ref message);

private:
    using snapshot = std::shared_ptr<const std::vector<std::shared_ptr<subscriber>>>;

    // The subscribers of one pattern.
    struct audience {
        std::list<std::shared_ptr<subscriber>> members;
        snapshot latest;  // null: they have changed since it was made
    };
    using audiences = std::map<std::string, audience, std::less<>>;

    static const snapshot& latest(audience& a);
    void unlist(subscriber& who) noexcept;
    result<std::vector<snapshot>> matching(std::string_view topic);
    bool offer_to(const std::shared_ptr<subscriber>& who, const message_ref& message,
                  std::list<late_delivery>& late);

    std::mutex lock_;
    // All under lock_.
    bool closed_ = false;
    audiences topics_;
    std::map<std::size_t, audiences> prefixes_;  // by the length of the prefix
};

}  // namespace detail
}  // namespace sluice
