// broker: publish and subscribe by topic.
//
//     broker<int> prices;
//     auto sub = prices.subscribe("metal.*", {.capacity = 16, .policy = when_full::drop_oldest});
//     const auto heard = co_await prices.publish(ctx, "metal.gold", 42);   // by so many
//     while (auto m = co_await sub.recv()) use(m->topic, m->value);   // until the broker is closed
//
// When to use: many tasks want to hear of the same events, come and go, and one that is slow must
// not spoil it for the others.
// When not: each value is for one of several workers (a chan); one source and a fixed number of
// readers that all keep up (a chan each); events that must outlive the process.
//
// Concepts
//   A pattern is a topic, or a prefix followed by `*`: "metal.*" matches every topic that begins
//   with "metal.", and "*" every topic. A subscription is a queue of its own with a policy for when
//   it is full. A message that is published is made once and shared by all who get it.
//
// Invariants
//   A publish that begins after another has ended is behind it in every queue. It first gives the
//   message to all who have room, and then waits for the full queues whose policy says so, for all
//   of them at once. Of the messages that were offered to a subscription before its end and whose
//   publish is over, each is delivered, dropped or queued.
//
// Cost: a publish looks up the topic, and each length of prefix that is in use, in an ordered map;
// then it takes one lock and one reference count a subscriber. It allocates the message, a list of
// who is asked, and one node for each queue it waits for. The first publish after a subscription
// came or went copies the list of that pattern. A subscription takes 16 bytes for each message of
// its capacity, from the start, and about 300 more.
//
// Rejected: a chan for each subscriber. Waiting for several full ones then needs a task for each,
// and the counters are never exact.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sluice/patterns/detail/broker_core.hpp>

namespace sluice {

/// What is published, as those get it who have subscribed.
template <class T>
struct publication {
    publication(std::string t, T v) : topic(std::move(t)), value(std::move(v)) {}
    std::string topic;
    T value;
};

namespace detail {

template <class T>
class [[nodiscard]] subscription_operation : public sole_operation<subscription_operation<T>> {
public:
    using result_type = std::shared_ptr<const publication<T>>;
    explicit subscription_operation(subscriber& from) noexcept : leaf_(from) {}
    subscription_operation(subscription_operation&&) noexcept = default;

    subscriber_leaf& the_leaf() noexcept { return leaf_; }
    result_type take(std::size_t) noexcept {
        return std::static_pointer_cast<const publication<T>>(std::move(leaf_.received));
    }

private:
    subscriber_leaf leaf_;
};

}  // namespace detail

/// The receiving end, made by broker::subscribe(). Move-only; letting it go unsubscribes. It may
/// outlive the broker. All members may be called from any thread; one that was moved from may only
/// be assigned to or destroyed.
template <class T>
class [[nodiscard]] subscription {
public:
    subscription(subscription&&) noexcept = default;
    subscription& operator=(subscription&& other) noexcept {
        subscription old(std::move(other));
        std::swap(broker_, old.broker_);
        std::swap(subscriber_, old.subscriber_);
        return *this;
    }
    ~subscription() {
        if (subscriber_ != nullptr) unsubscribe();
    }

    /// Operation: waits for the next message and gives it as a std::shared_ptr<const
    /// publication<T>>; null once the subscription has ended and its queue is empty. One that loses
    /// a race takes nothing; the message of one that is cut, at the end of its runtime, goes with
    /// it. Several tasks may wait; each message goes to one of them. Must not outlive this
    /// subscription.
    auto recv() const noexcept { return detail::subscription_operation<T>(*subscriber_); }

    /// Ends it, for those who wait in recv() too; what is queued is dropped, and publishers that
    /// wait for it go on. Once is enough; again it does nothing. Never waits.
    void unsubscribe() const noexcept { broker_->unsubscribe(*subscriber_); }

    /// Zero while it may get more messages. Then why it ended: refusal::closed (the broker was
    /// closed), refusal::queue_full (disconnected because it was too slow), errc::canceled
    /// (unsubscribed).
    std::error_code err() const noexcept { return subscriber_->why(); }

    /// Of one moment, and exact.
    subscription_counters counters() const noexcept { return subscriber_->counters(); }

private:
    template <class>
    friend class broker;
    subscription(std::shared_ptr<detail::broker_core> b,
                 std::shared_ptr<detail::subscriber> s) noexcept
        : broker_(std::move(b)), subscriber_(std::move(s)) {}

    std::shared_ptr<detail::broker_core> broker_;
    std::shared_ptr<detail::subscriber> subscriber_;
};

/// All members may be called from any thread, but that a publish is awaited in a task.
template <class T>
class broker {
public:
    broker() : core_(std::make_shared<detail::broker_core>()) {}
    broker(const broker&) = delete;
    broker& operator=(const broker&) = delete;
    /// Closes it.
    ~broker() { close(); }

    /// Gets what is published from now on under a topic that `pattern` matches: that topic alone,
    /// or, if it ends with `*`, every topic that begins with what is before. The same message comes
    /// twice to who has subscribed twice. After close(): a subscription that has ended. Never
    /// waits. Throws std::invalid_argument for a capacity of 0.
    subscription<T> subscribe(std::string_view pattern, const subscribe_options& how = {}) {
        return {core_, core_->subscribe(pattern, how)};
    }

    /// Hands the message to every subscription that matches now; waits only for full ones whose
    /// policy is when_full::block, and no longer than they stay subscribed. Gives how many have it
    /// in their queue, or have received it. Errors: ctx's, before anything is done or while it
    /// waits; refusal::closed. Then the subscriptions that it still waited for have not got it,
    /// which they count as dropped, and the others have. The broker may be let go meanwhile.
    task<result<std::size_t>> publish(context ctx, std::string topic, T value) {
        auto message = std::make_shared<const publication<T>>(std::move(topic), std::move(value));
        const std::string_view name = message->topic;
        return detail::broker_core::publish(core_, std::move(ctx), name, std::move(message));
    }

    /// Every subscription ends when its queue is empty; publishers that wait, and all later ones,
    /// get refusal::closed. Once is enough; again it does nothing. Never waits.
    void close() noexcept { core_->close(); }

private:
    const std::shared_ptr<detail::broker_core> core_;
};

}  // namespace sluice
