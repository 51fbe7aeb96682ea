#include <sluice/channels/detail/chan_core.hpp>

#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice::detail {

namespace {
constexpr std::size_t header_size = (sizeof(chan_core) + 15) / 16 * 16;
}

chan_core* chan_core::make(const element_type& element, std::ptrdiff_t capacity) {
    const std::size_t size = element.size == 0 ? 1 : element.size;
    if (capacity < 0 || capacity > std::numeric_limits<std::int32_t>::max() ||
        static_cast<std::size_t>(capacity) > (std::size_t{1} << 47) / size) {
        throw std::logic_error("sluice: a channel cannot have the capacity " +
                               std::to_string(capacity));
    }
    void* const memory =
        frame_pool::allocate(header_size + element.size * static_cast<std::size_t>(capacity));
    return ::new (memory) chan_core(element, static_cast<std::uint32_t>(capacity));
}

[[gnu::always_inline]] void* chan_core::at(std::uint32_t i) noexcept {
    const std::size_t size = plain_ ? sizeof(std::uint64_t) : element_.size;
    return reinterpret_cast<std::byte*>(this) + header_size + std::size_t{i} * size;
}

[[gnu::always_inline]] void chan_core::relocate(void* to, void* from) noexcept {
    if (plain_) [[likely]] {
        std::memcpy(to, from, sizeof(std::uint64_t));
    } else {
        element_.relocate(to, from);
    }
}

// Into the slot that comes after n values.
[[gnu::always_inline]] void chan_core::put(void* from, std::uint32_t n) noexcept {
    const std::uint32_t tail = head_ + n;
    relocate(at(tail >= capacity_ ? tail - capacity_ : tail), from);
}

[[gnu::always_inline]] void chan_core::push(void* from) noexcept {
    const std::uint32_t n = count_.load(relaxed);
    put(from, n);
    // release: pairs with the acquire in may().
    count_.store(n + 1, release);
}

// The first value; what is left is still to be counted.
[[gnu::always_inline]] void chan_core::take(void* to) noexcept {
    relocate(to, at(head_));
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
}

[[gnu::always_inline]] void chan_core::pop(void* to) noexcept {
    take(to);
    // release: as in push().
    count_.store(count_.load(relaxed) - 1, release);
}

// Claims the first waiting party that can still be served; it is readied when the gate is released.
[[gnu::always_inline]] chan_leaf* chan_core::serve_first(wait_queue& queue, const worker* here,
                                                         leaf*& woken) noexcept {
    const claimed c = claim_first(queue, here);
    if (c.who == nullptr) return nullptr;
    if (c.parked) woken = c.who;
    auto* const l = static_cast<chan_leaf*>(c.who);
    l->result = chan_leaf::outcome::value;
    return l;
}

[[gnu::always_inline]] chan_core::attempt chan_core::send_now(void* slot, const worker* here,
                                                              leaf*& woken) noexcept {
    if (closed_.load(relaxed)) return attempt::closed;
    if (!receivers_.empty()) {
        if (chan_leaf* const receiver = serve_first(receivers_, here, woken)) {
            relocate(receiver->slot, slot);
            return attempt::done;
        }
    }
    if (count_.load(relaxed) == capacity_) {
        receivers_wait_.store(false, relaxed);
        return attempt::not_ready;
    }
    push(slot);
    return attempt::done;
}

[[gnu::always_inline]] chan_core::attempt chan_core::recv_now(void* slot, const worker* here,
                                                              leaf*& woken) noexcept {
    if (const std::uint32_t n = count_.load(relaxed); n != 0) {
        take(slot);
        chan_leaf* const sender = senders_.empty() ? nullptr : serve_first(senders_, here, woken);
        if (sender != nullptr) {
            // The freed slot is at the tail: the first waiting sender's value goes there, so that
            // the order stays. The count does too, for those who look at it without the gate.
            put(sender->slot, n - 1);
        } else {
            count_.store(n - 1, release);  // as in push()
        }
        return attempt::done;
    }
    if (!senders_.empty()) {
        if (chan_leaf* const sender = serve_first(senders_, here, woken)) {
            relocate(slot, sender->slot);
            return attempt::done;
        }
    }
    if (closed_.load(relaxed)) return attempt::closed;
    senders_wait_.store(false, relaxed);
    return attempt::not_ready;
}

void chan_core::destroy() noexcept {
    if (element_.destroy != nullptr) {
        for (std::uint32_t n = count_.load(relaxed); n != 0; --n) {
            element_.destroy(at(head_));
            head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
        }
    }
    this->~chan_core();
    frame_pool::deallocate(this);
}

chan_core::attempt chan_core::try_send(void* slot) noexcept {
    leaf* woken = nullptr;
    gate_.lock();
    const attempt a = send_now(slot, this_threads_worker, woken);
    gate_.unlock();
    if (woken != nullptr) wake(*woken);
    return a;
}

chan_core::attempt chan_core::try_recv(void* slot) noexcept {
    leaf* woken = nullptr;
    gate_.lock();
    const attempt a = recv_now(slot, this_threads_worker, woken);
    gate_.unlock();
    if (woken != nullptr) wake(*woken);
    return a;
}

bool chan_core::close() noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (closed_.load(relaxed)) return false;
        closed_.store(true, relaxed);
        plain_ = false;
        const auto mark = [](leaf& l) {
            static_cast<chan_leaf&>(l).result = chan_leaf::outcome::closed;
        };
        claim_all(receivers_, wakes, mark);
        claim_all(senders_, wakes, mark);
    }
    wakes.wake_all();
    return true;
}

spin_lock* chan_leaf::gate() noexcept {
    return channel == nullptr ? nullptr : &channel->gate_;
}

namespace {

chan_leaf::outcome outcome_of(chan_core::attempt a) noexcept {
    return a == chan_core::attempt::done ? chan_leaf::outcome::value : chan_leaf::outcome::closed;
}

// What a sole wait has achieved, its gate released.
[[gnu::always_inline]] inline sole_start end(chan_leaf& l, chan_core::attempt a,
                                             worker& here) noexcept {
    l.result = outcome_of(a);
    return here.spend() ? sole_start::done : sole_start::spent;
}

// The first leaf, if it waits in this worker's runtime.
[[gnu::always_inline]] inline chan_leaf* front_here(wait_queue& queue,
                                                    const worker& here) noexcept {
    auto* const first = static_cast<chan_leaf*>(queue.front());
    return first->home == &here.owner() ? first : nullptr;
}

}  // namespace

// A word goes from a sender to a receiver; one of them is `waiting`, the first in its queue, and
// runs next. The gate was entered.
[[gnu::noinline]] sole_start chan_core::meet(chan_leaf& l, chan_leaf& waiting,
                                             worker& here) noexcept {
    runnable* const counterpart = waiting.owner;
    waiting.unlink();
    const claim_result how = win(waiting);
    if (how == claim_result::lost) return begin_slow(l, here, true);  // to the next in its queue
    const bool sends = l.way == direction::send;
    std::memcpy(sends ? waiting.slot : l.slot, sends ? l.slot : waiting.slot,
                sizeof(std::uint64_t));
    waiting.result = chan_leaf::outcome::value;
    l.channel->gate_.leave(here.ticket());
    if (how == claim_result::parked) here.make_next(counterpart);
    return end(l, attempt::done, here);
}

bool chan_leaf::commit(wake_list& wakes) noexcept {
    if (channel == nullptr) return false;
    const worker* const here = this_threads_worker;
    leaf* woken = nullptr;
    const chan_core::attempt a = way == direction::send ? channel->send_now(slot, here, woken)
                                                        : channel->recv_now(slot, here, woken);
    if (woken != nullptr) wakes.add(*woken);
    if (a == chan_core::attempt::not_ready) return false;
    result = outcome_of(a);
    return true;
}

bool chan_leaf::try_commit() noexcept {
    const sole_start how = way == direction::send ? begin_send(*this) : begin_recv(*this);
    if (how == sole_start::held) channel->gate_.unlock();
    return how == sole_start::done || how == sole_start::spent;
}

// The short ways, for a worker at a channel of its own, call nothing but by a jump, so that no
// registers are saved there. noinline, these: their callers are coroutines (worker.hpp,
// this_threads_worker).
[[gnu::noinline]] sole_start begin_send(chan_leaf& l) noexcept {
    chan_core* const c = l.channel;
    if (c == nullptr) [[unlikely]]
        return sole_start::never;
    worker& here = *this_threads_worker;
    if (!c->gate_.enter(here.ticket())) [[unlikely]]
        return chan_core::begin_slow(l, here, false);
    if (!c->plain_) return chan_core::begin_slow(l, here, true);
    if (!c->receivers_.empty()) {
        chan_leaf* const receiver = front_here(c->receivers_, here);
        if (receiver == nullptr) return chan_core::begin_slow(l, here, true);
        return chan_core::meet(l, *receiver, here);
    }
    if (c->count_.load(relaxed) == c->capacity_) {
        c->receivers_wait_.store(false, relaxed);
        c->gate_.stay(here.ticket());
        return sole_start::held;
    }
    c->push(l.slot);
    c->gate_.leave(here.ticket());
    return end(l, chan_core::attempt::done, here);
}

[[gnu::noinline]] sole_start begin_recv(chan_leaf& l) noexcept {
    chan_core* const c = l.channel;
    if (c == nullptr) [[unlikely]]
        return sole_start::never;
    worker& here = *this_threads_worker;
    if (!c->gate_.enter(here.ticket())) [[unlikely]]
        return chan_core::begin_slow(l, here, false);
    if (!c->plain_) return chan_core::begin_slow(l, here, true);
    if (!c->senders_.empty()) {
        chan_leaf* const sender = front_here(c->senders_, here);
        if (sender == nullptr || c->count_.load(relaxed) != 0)
            return chan_core::begin_slow(l, here, true);
        return chan_core::meet(l, *sender, here);
    }
    if (c->count_.load(relaxed) == 0) {
        c->senders_wait_.store(false, relaxed);
        c->gate_.stay(here.ticket());
        return sole_start::held;
    }
    c->pop(l.slot);
    c->gate_.leave(here.ticket());
    return end(l, chan_core::attempt::done, here);
}

[[gnu::noinline]] sole_start chan_core::begin_slow(chan_leaf& l, worker& here,
                                                   bool entered) noexcept {
    chan_core& c = *l.channel;
    if (entered) [[likely]] {
        c.gate_.stay(here.ticket());
    } else {
        c.gate_.lock(here.ticket());
    }
    leaf* woken = nullptr;
    const attempt a = l.way == direction::send ? c.send_now(l.slot, &here, woken)
                                               : c.recv_now(l.slot, &here, woken);
    if (a == attempt::not_ready) return sole_start::held;
    c.gate_.unlock();
    if (woken != nullptr) wake(*woken, here);
    return end(l, a, here);
}

void park_at_channel(chan_leaf& l, std::coroutine_handle<> frame) noexcept {
    spin_lock& gate = l.channel->gate_;
    l.own(runnable::from_frame(frame), &this_threads_worker->owner(), true);
    l.chan_leaf::enlist();
    gate.unlock();
}

void chan_leaf::enlist() noexcept {
    if (channel == nullptr) return;
    const bool sends = way == direction::send;
    (sends ? channel->senders_ : channel->receivers_).push_back(*this);
    (sends ? channel->senders_wait_ : channel->receivers_wait_)
        .store(channel->capacity_ == 0, relaxed);
}

wait_site chan_leaf::site() const noexcept {
    if (channel == nullptr)
        return {way == direction::send ? "send on a nil channel" : "recv on a nil channel",
                nullptr};
    return {way == direction::send ? "send on a channel" : "recv on a channel", channel};
}

}  // namespace sluice::detail
