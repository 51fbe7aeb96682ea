#include <sluice/patterns/broker.hpp>

#include <stdexcept>

#include <sluice/patterns/refusal.hpp>
#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice::detail {

namespace {

constexpr std::size_t offers_a_step = 16;  // of the budget

}  // namespace

subscriber::subscriber(const subscribe_options& how) : policy_(how.policy) {
    if (how.capacity == 0)
        throw std::invalid_argument("sluice: a subscription needs room for one message at least");
    ring_.resize(how.capacity);
}

void subscriber::push(const message_ref& message) noexcept {
    const std::size_t tail = head_ + count_;
    ring_[tail >= ring_.size() ? tail - ring_.size() : tail] = message;
    ++count_;
}

message_ref subscriber::pop() noexcept {
    message_ref first = std::move(ring_[head_]);
    head_ = head_ + 1 == ring_.size() ? 0 : head_ + 1;
    --count_;
    return first;
}

subscriber::offered subscriber::offer(const message_ref& message, late_delivery* late) noexcept {
    message_ref displaced;
    wake_list wakes;
    offered how{};
    {
        const std::lock_guard guard(gate_);
        how = place(message, displaced, late, wakes);
    }
    wakes.wake_all();
    return how;
}

subscriber::offered subscriber::place(const message_ref& message, message_ref& displaced,
                                      late_delivery* late, wake_list& wakes) noexcept {
    if (why_) return offered::ended;
    if (leaf* const receiver = claim_front(receivers_, wakes)) {
        static_cast<subscriber_leaf*>(receiver)->received = message;
        ++delivered_;
        return offered::taken;
    }
    if (count_ != ring_.size()) {
        push(message);
        return offered::taken;
    }
    if (policy_ == when_full::block) {
        if (late != nullptr) late->insert_before(late_);
        return offered::full;
    }
    ++dropped_;
    if (policy_ == when_full::drop_oldest) {
        displaced = pop();
        push(message);
        return offered::taken;
    }
    if (policy_ == when_full::drop_newest) return offered::dropped;
    why_ = refusal::queue_full;
    return offered::ended;
}

bool subscriber::take(message_ref& to, wake_list& wakes) noexcept {
    if (count_ == 0) return static_cast<bool>(why_);
    to = pop();
    ++delivered_;
    if (late_.linked()) {
        push(static_cast<late_delivery*>(late_.next)->message_);
        decide_first(late_delivery::state::taken, wakes);
    }
    return true;
}

void subscriber::decide_first(late_delivery::state how, wake_list& wakes) noexcept {
    auto* const first = static_cast<late_delivery*>(late_.next);
    first->unlink();
    first->state_ = how;
    claim_front(first->waiters_, wakes);
}

void subscriber::end(std::error_code why, bool discard) noexcept {
    std::vector<message_ref> discarded;
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (discard) {
            discarded.swap(ring_);
            dropped_ += std::exchange(count_, 0);
        }
        if (!why_) {
            why_ = why;
            claim_all(receivers_, wakes, [](leaf&) {});
            while (late_.linked()) {
                ++dropped_;
                decide_first(why == refusal::closed ? late_delivery::state::closed
                                                    : late_delivery::state::gone,
                             wakes);
            }
        }
    }
    wakes.wake_all();
}

std::error_code subscriber::why() noexcept {
    const std::lock_guard guard(gate_);
    return why_;
}

subscription_counters subscriber::counters() noexcept {
    const std::lock_guard guard(gate_);
    return {delivered_, dropped_, count_};
}

late_delivery::state late_delivery::give_up() noexcept {
    const std::lock_guard guard(to_->gate_);
    if (linked()) {
        unlink();
        ++to_->dropped_;
    }
    return state_;
}

std::shared_ptr<subscriber> broker_core::subscribe(std::string_view pattern,
                                                   const subscribe_options& how) {
    auto who = std::make_shared<subscriber>(how);
    who->is_prefix_ = pattern.ends_with('*');
    who->key_ = who->is_prefix_ ? pattern.substr(0, pattern.size() - 1) : pattern;
    bool late = false;
    {
        const std::lock_guard guard(lock_);
        late = closed_;
        if (!closed_) {
            audience& a = (who->is_prefix_ ? prefixes_[who->key_.size()] : topics_)[who->key_];
            who->position_ = a.members.insert(a.members.end(), who);
            who->listed_ = true;
            a.latest.reset();
        }
    }
    if (late) who->end(refusal::closed, false);
    return who;
}

void broker_core::unlist(subscriber& who) noexcept {
    const std::lock_guard guard(lock_);
    if (!std::exchange(who.listed_, false)) return;
    const auto group = who.is_prefix_ ? prefixes_.find(who.key_.size()) : prefixes_.end();
    audiences& all = who.is_prefix_ ? group->second : topics_;
    const auto found = all.find(who.key_);
    found->second.members.erase(who.position_);
    found->second.latest.reset();
    if (!found->second.members.empty()) return;
    all.erase(found);
    if (who.is_prefix_ && all.empty()) prefixes_.erase(group);
}

void broker_core::unsubscribe(subscriber& who) noexcept {
    unlist(who);
    who.end(errc::canceled, true);
}

void broker_core::close() noexcept {
    std::list<std::shared_ptr<subscriber>> all;
    const auto take = [&all](audiences& from) {
        for (auto& [key, a] : from) all.splice(all.end(), a.members);
        from.clear();
    };
    {
        const std::lock_guard guard(lock_);
        closed_ = true;
        take(topics_);
        for (auto& [length, some] : prefixes_) take(some);
        prefixes_.clear();
        for (const auto& who : all) who->listed_ = false;
    }
    for (const auto& who : all) who->end(refusal::closed, false);
}

// Lock held.
const broker_core::snapshot& broker_core::latest(audience& a) {
    if (a.latest == nullptr)
        a.latest = std::make_shared<const std::vector<std::shared_ptr<subscriber>>>(
            a.members.begin(), a.members.end());
    return a.latest;
}

result<std::vector<broker_core::snapshot>> broker_core::matching(std::string_view topic) {
    std::vector<snapshot> found;
    const auto look = [&found](audiences& in, std::string_view key) {
        if (const auto at = in.find(key); at != in.end()) found.push_back(latest(at->second));
    };
    const std::lock_guard guard(lock_);
    if (closed_) return fail(refusal::closed);
    look(topics_, topic);
    for (auto& [length, some] : prefixes_) {
        if (length > topic.size()) break;
        look(some, topic.substr(0, length));
    }
    return found;
}

// Whether he has it; if its publisher is to wait for that, the message goes to `late`.
bool broker_core::offer_to(const std::shared_ptr<subscriber>& who, const message_ref& message,
                           std::list<late_delivery>& late) {
    using offered = subscriber::offered;
    offered how = who->offer(message);
    if (how == offered::full) {
        how = who->offer(message, &late.emplace_back(who, message));
        if (how != offered::full) late.pop_back();
    }
    if (how == offered::ended) unlist(*who);  // if he was disconnected
    return how == offered::taken;
}

task<result<std::size_t>> broker_core::publish(std::shared_ptr<broker_core> self, context ctx,
                                               std::string_view topic, message_ref message) {
    if (const std::error_code ended = ctx.err()) co_return fail(ended);
    const auto to = self->matching(topic);
    if (!to) co_return fail(to.error());
    std::list<late_delivery> late;
    std::size_t taken = 0;
    std::size_t offers = 0;
    for (const snapshot& some : *to) {
        for (const std::shared_ptr<subscriber>& who : *some) {
            if (self->offer_to(who, message, late)) ++taken;
            if (++offers % offers_a_step != 0) continue;
            const bool goes_on = spend_budget();
            if (!goes_on) co_await yield();
        }
    }
    const bool goes_on = spend_budget();
    if (!goes_on) co_await yield();

    std::error_code why;
    std::error_code cut;
    for (late_delivery& each : late) {
        if (!cut) {
            const auto waited = co_await within(ctx, each.decided());
            if (!waited) cut = waited.error();
        }
        switch (each.give_up()) {
            case late_delivery::state::taken:
                ++taken;
                break;
            case late_delivery::state::gone:
                break;
            case late_delivery::state::closed:
                why = refusal::closed;
                break;
            case late_delivery::state::waiting:
                why = cut;
                break;
        }
    }
    if (why) co_return fail(why);
    co_return taken;
}

}  // namespace sluice::detail
