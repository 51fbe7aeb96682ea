// The queue that all workers of a runtime share: tasks from outside, and what overflows a worker's
// own queue.
//
// Concepts
//   A list of runnables under one lock. Half of a full deque comes as one batch, an array in a
//   block of its own, so that the push is short and the worker that takes it need not follow a
//   chain through frames that another core has written (100 ns each).
//
// Rejected: a ring (it would have to grow, under the lock), an allocation for each task from
// outside (a wake must not fail).
#pragma once

#include <algorithm>
#include <array>
#include <mutex>
#include <new>
#include <utility>

#include <sluice/runtime/detail/deque.hpp>
#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/spin_lock.hpp>

namespace sluice::detail {

class global_queue {
public:
    /// Nothing is taken any more from push().
    void close() noexcept {
        const std::lock_guard guard(lock_);
        closed_ = true;
    }

    /// False: the queue is closed. accepted() runs before anyone can take r.
    template <class Accepted>
    bool push(runnable* r, Accepted accepted) noexcept {
        const std::lock_guard guard(lock_);
        if (closed_) return false;
        accepted();
        append(r, 1);
        return true;
    }

    /// Calls fn() while nobody else can push or pop.
    template <class F>
    void exclude_others(F fn) {
        const std::lock_guard guard(lock_);
        fn();
    }

    /// Moves the older half of a full deque here, also when the queue is closed. For its owner.
    void take_overflow(deque& from) noexcept {
        if (batch* const b = make_batch()) {
            b->end = from.take_half(b->items);
            if (b->end != 0) {
                const std::lock_guard guard(lock_);
                append(b, b->end);
            } else {
                destroy_pooled(b);
            }
            return;
        }
        decltype(batch::items) half;
        const std::uint32_t n = from.take_half(half);
        const std::lock_guard guard(lock_);
        for (std::uint32_t i = 0; i != n; ++i) append(half[i], 1);
    }

    /// Takes the oldest, and moves others to the caller, by keep(runnable): a fair share among so
    /// many workers, `most` in all. Null: the queue is empty.
    template <class Keep>
    runnable* pop(std::uint32_t most, std::size_t workers, Keep keep) noexcept {
        if (empty()) return nullptr;
        runnable* oldest = nullptr;
        batch* used_up = nullptr;
        {
            const std::lock_guard guard(lock_);
            const std::uint32_t size = size_.load(relaxed);
            const std::uint32_t share =
                std::min(most, size / static_cast<std::uint32_t>(workers) + 1);
            std::uint32_t taken = 0;
            while (taken != share && used_up == nullptr && first_ != nullptr) {
                runnable* r = first_;
                batch* const b = as_batch(r);
                if (b != nullptr) {
                    r = b->items[b->begin++];
                    if (b->begin == b->end) used_up = b;
                }
                if (b == used_up) first_ = first_->next;
                if (++taken == 1) {
                    oldest = r;
                } else {
                    keep(r);
                }
            }
            size_.store(size - taken, release);
        }
        if (used_up != nullptr) destroy_pooled(used_up);
        return oldest;
    }

    bool empty() const noexcept { return size_.load(acquire) == 0; }

private:
    struct batch : runnable {
        batch() noexcept { destroy = &mark; }

        std::uint32_t begin = 0;
        std::uint32_t end = 0;
        std::array<runnable*, deque::capacity / 2> items;
    };

    static void mark(void*) {}

    static batch* as_batch(runnable* r) noexcept {
        return r->destroy == &mark ? static_cast<batch*>(r) : nullptr;
    }

    static batch* make_batch() noexcept {
        try {
            return make_pooled<batch>();
        } catch (const std::bad_alloc&) {
            return nullptr;
        }
    }

    // Lock held.
    void append(runnable* r, std::uint32_t tasks) noexcept {
        r->next = nullptr;
        (first_ == nullptr ? first_ : last_->next) = r;
        last_ = r;
        size_.store(size_.load(relaxed) + tasks, release);
    }

    spin_lock lock_{lock_rank::global_queue};
    bool closed_ = false;            // under lock_
    runnable* first_ = nullptr;      // under lock_
    runnable* last_ = nullptr;       // under lock_; meaningless while first_ is null
    atomic<std::uint32_t> size_{0};  // tasks; written under lock_
};

}  // namespace sluice::detail
