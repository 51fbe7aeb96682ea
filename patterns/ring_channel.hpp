// ring_channel: a bounded queue that forgets its oldest value for a new one.
//
//     ring_channel<frame> latest(2);
//     latest.send(camera.grab());                            // never waits
//     while (auto f = co_await latest.recv()) show(*f);      // in the display's task
//
// When to use: only the newest values matter (frames, prices, progress, log lines for a screen),
// and who makes them is not to wait for who looks at them.
// When not: every value matters (chan makes the sender wait); only the last one is ever wanted and
// nobody waits for it (a variable under a mutex).
//
// Invariants (under gate_): values stand in the ring from head_ on, size_ of them, in the order in
// which they were sent. Whoever waits to receive implies that there is none, and that the channel
// is open: a sender serves the first of them itself, who then has nothing left to do.
// sent == received + dropped + left, at every moment.
//
// Values are moved under the gate, so moving one must not throw. The one that is overwritten is
// destroyed after the gate is released.
//
// Cost: one lock for a send or a receive, no allocation; a slot is a std::optional<T>.
//
// Rejected: a chan from which a full sender receives (two steps: another sender may come between
// them, and then more is dropped than needed); dropping the newest value (that is try_send() on a
// chan, which says so to the sender).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/detail/spin_lock.hpp>
#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/operation.hpp>

namespace sluice {

/// What became of the values of a ring_channel: sent == received + dropped + left.
struct ring_counters {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;  // also by a receiver that was cut before it ran again
    std::uint64_t dropped = 0;   // overwritten
    std::uint64_t left = 0;      // still in the ring
};

namespace detail {

/// The first waiting receiver, claimed, or null. Gate held. Out of line: its callers may be inlined
/// into a coroutine.
leaf* claim_receiver(wait_queue& receivers, wake_list& wakes) noexcept;

[[noreturn]] void throw_send_on_closed_ring();
[[noreturn]] void throw_close_of_closed_ring();

template <class T>
class ring_leaf;

template <class T>
class ring_core {
public:
    explicit ring_core(std::size_t capacity) : slots_(capacity) {
        if (capacity == 0) throw std::invalid_argument("sluice: a ring_channel without room");
    }

    void send(T&& value) {
        std::optional<T> overwritten;  // destroyed when the gate is free
        wake_list wakes;
        {
            const std::lock_guard guard(gate_);
            if (closed_) throw_send_on_closed_ring();
            ++counters_.sent;
            if (auto* const l = static_cast<ring_leaf<T>*>(claim_receiver(receivers_, wakes))) {
                ++counters_.received;
                l->value.emplace(std::move(value));
            } else {
                if (size_ == slots_.size()) {
                    ++counters_.dropped;
                    pop(overwritten);
                }
                slots_[(head_ + size_) % slots_.size()].emplace(std::move(value));
                ++size_;
            }
        }
        wakes.wake_all();
    }

    void close() {
        wake_list wakes;
        {
            const std::lock_guard guard(gate_);
            if (std::exchange(closed_, true)) throw_close_of_closed_ring();
            while (claim_receiver(receivers_, wakes) != nullptr) {
            }
        }
        wakes.wake_all();
    }

    ring_counters counters() const noexcept {
        const std::lock_guard guard(gate_);
        ring_counters now = counters_;
        now.left = size_;
        return now;
    }

    spin_lock& gate() noexcept { return gate_; }

    // Gate held.

    bool ready() const noexcept { return size_ != 0 || closed_; }

    bool receive(std::optional<T>& to) noexcept {
        if (!ready()) return false;
        if (size_ != 0) {
            ++counters_.received;
            pop(to);
        }
        return true;
    }

    void enlist(leaf& l) noexcept { receivers_.push_back(l); }

private:
    void pop(std::optional<T>& to) noexcept {
        std::optional<T>& slot = slots_[head_];
        to.emplace(std::move(*slot));
        slot.reset();
        head_ = (head_ + 1) % slots_.size();
        --size_;
    }

    mutable spin_lock gate_{lock_rank::ring_channel};
    // Under gate_.
    bool closed_ = false;
    std::size_t head_ = 0;
    std::size_t size_ = 0;
    ring_counters counters_;  // but for left
    std::vector<std::optional<T>> slots_;
    wait_queue receivers_;
};

template <class T>
class ring_leaf final : public leaf {
public:
    explicit ring_leaf(ring_core<T>& c) noexcept : core_(c) {}
    ring_leaf(ring_leaf&& other) noexcept : core_(other.core_) {}
    spin_lock* gate() noexcept override { return &core_.gate(); }
    bool ready() noexcept override { return core_.ready(); }
    bool commit(wake_list&) noexcept override { return core_.receive(value); }
    void enlist() noexcept override { core_.enlist(*this); }
    wait_site site() const noexcept override { return {"recv on a ring_channel", &core_}; }

    std::optional<T> value;  // written by whoever commits

private:
    ring_core<T>& core_;
};

template <class T>
class [[nodiscard]] ring_recv_operation : public sole_operation<ring_recv_operation<T>> {
public:
    using result_type = std::optional<T>;
    explicit ring_recv_operation(ring_core<T>& c) noexcept : leaf_(c) {}
    ring_recv_operation(ring_recv_operation&&) noexcept = default;

    ring_leaf<T>& the_leaf() noexcept { return leaf_; }
    std::optional<T> take(std::size_t) noexcept { return std::move(leaf_.value); }

private:
    ring_leaf<T> leaf_;
};

}  // namespace detail

/// A shared handle, cheap to copy. Every member may be called from any thread; what happened before
/// a send is visible to who receives its value.
template <class T>
class ring_channel {
    static_assert(std::is_nothrow_move_constructible_v<T>, "values are moved under a lock");

public:
    using value_type = T;

    /// Throws std::invalid_argument for a capacity of 0: every value would be dropped.
    explicit ring_channel(std::size_t capacity)
        : core_(std::make_shared<detail::ring_core<T>>(capacity)) {}

    /// Gives the value to the first who waits, or puts it into the ring, in place of the oldest one
    /// if it is full. Never waits. Throws channel_closed, and the value is gone.
    void send(T value) const { core_->send(std::move(value)); }

    /// Operation: waits for a value, the oldest that is left; empty once the channel is closed and
    /// drained. First come, first served. A receive that loses a race takes nothing. Must not
    /// outlive this handle.
    auto recv() const noexcept { return detail::ring_recv_operation<T>(*core_); }

    /// No value is sent after this one; what is left can still be received. Throws channel_closed
    /// the second time.
    void close() const { core_->close(); }

    /// Of one moment.
    ring_counters counters() const noexcept { return core_->counters(); }

private:
    std::shared_ptr<detail::ring_core<T>> core_;
};

}  // namespace sluice
