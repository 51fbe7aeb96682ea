// What timers and tickers have in common: a timer that leaves its due time for one receiver to
// take.
//
// Invariants
//   At most one tick is pending; while somebody waits none is.
//   fire() runs under the timer queue's gate and then takes gate_. stop() and reset() first take
//   the node out of the queue (after that no fire() is under way) and then drop what is pending: no
//   stale tick can be received after them. control_ makes stop(), reset() and catch_up() exclude
//   each other.
//   A tick whose time has come is there for who races it, also before a worker has come to run its
//   timers: catch_up() fires it. (Who waits for it alone gets it then.)
//   The node is unattended while nobody waits: a ticker alone keeps no program going.
// Lock order: control_, the timer queue's gate, gate_.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/timer_queue.hpp>
#include <sluice/runtime/operation.hpp>

namespace sluice::detail {

class tick_source : private timer_node {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// First due at `first`, then every `period` (0: never again). On a worker only.
    tick_source(std::int64_t first, std::int64_t period);
    ~tick_source() { leave_queue(); }

    /// Starts again, dropping what is pending. True: it was running. On a worker only.
    bool reset(std::int64_t first, std::int64_t period);

    /// True: it was running, or a tick was pending.
    bool stop() noexcept;

    /// Fires if it is due. On a worker only.
    void catch_up() noexcept;

    spin_lock& gate() noexcept { return gate_; }

    // Gate held.
    bool pending() const noexcept { return pending_ != none; }
    std::int64_t take() noexcept { return std::exchange(pending_, none); }
    void enlist(leaf& l) noexcept {
        waiters_.push_back(l);
        note_waiters();
    }
    void note_waiters() noexcept { unattended.store(waiters_.empty(), relaxed); }

private:
    static constexpr std::int64_t none = -1;

    static runnable* fire(timer_node& node, wake_list& wakes) noexcept;
    bool halt() noexcept;

    spin_lock control_{lock_rank::ticker_control};
    std::int64_t period_ = 0;  // written under control_ while the timer is not in a queue
    // When it fires next. Written by fire(), or under control_ while the timer is not in a queue;
    // a hint for others.
    atomic<std::int64_t> next_;
    spin_lock gate_{lock_rank::ticker};
    std::int64_t pending_ = none;  // under gate_
    wait_queue waiters_;           // under gate_
};

class tick_leaf final : public leaf {
public:
    explicit tick_leaf(tick_source& s) noexcept : source_(s) {}
    tick_leaf(tick_leaf&&) noexcept = default;
    spin_lock* gate() noexcept override { return &source_.gate(); }
    bool ready() noexcept override { return source_.pending(); }
    bool commit(wake_list&) noexcept override {
        if (!source_.pending()) return false;
        due = source_.take();
        return true;
    }
    bool try_commit() noexcept override {
        source_.catch_up();
        return leaf::try_commit();
    }
    void enlist() noexcept override { source_.enlist(*this); }
    void retract() noexcept override;
    wait_site site() const noexcept override { return {"recv on a timer", &source_}; }

    std::int64_t due = 0;

private:
    tick_source& source_;
};

class [[nodiscard]] tick_operation : public sole_operation<tick_operation> {
public:
    using result_type = tick_source::time_point;
    explicit tick_operation(tick_source& s) noexcept : leaf_(s) {}
    tick_operation(tick_operation&&) noexcept = default;

    tick_leaf& the_leaf() noexcept { return leaf_; }
    result_type take(std::size_t) const noexcept { return to_time_point(leaf_.due); }

private:
    tick_leaf leaf_;
};

[[noreturn]] void throw_moved_from_timer();

/// Sole owner of a tick_source, which stays in place.
class tick_owner {
public:
    tick_owner(std::int64_t first, std::int64_t period)
        : source_(make_pooled<tick_source>(first, period)) {}
    tick_owner(tick_owner&& other) noexcept : source_(std::exchange(other.source_, nullptr)) {}
    tick_owner& operator=(tick_owner&& other) noexcept {
        tick_owner old(std::move(other));
        std::swap(source_, old.source_);
        return *this;
    }
    ~tick_owner() {
        if (source_ != nullptr) destroy_pooled(source_);
    }
    /// Throws std::logic_error if it was moved from.
    tick_source& operator*() const {
        if (source_ == nullptr) throw_moved_from_timer();
        return *source_;
    }
    bool stop() const noexcept { return source_ != nullptr && source_->stop(); }

private:
    tick_source* source_;
};

}  // namespace sluice::detail
