// The bounded work-stealing queue of one worker.
//
// Concepts
//   A ring of deque_capacity slots between two counters that only grow. The owner pushes at the
//   tail; everyone takes from the head, so that tasks run in the order in which they became ready.
//   A thief takes half.
//
// Invariants
//   head_ <= tail_ <= head_ + capacity (as distances; the counters wrap).
//   tail_ is written by the owner only. head_ moves by compare-and-swap only: whoever moves it from
//   h to h + n owns the n entries that began at h, exactly once. A thief reads slots before it owns
//   them; if the owner has reused one meanwhile, head_ has moved and the thief's compare-and-swap
//   fails (the counters are 32 bits wide, and a thief does not sleep through 2^32 pushes).
//
// Rejected: popping at the tail (LIFO starves the oldest task), growing (a queue of thousands makes
// a fork-join tree run breadth first and fills the memory with frames; overflow goes to the global
// queue, where idle workers look).
//
// Source: the scheme is that of Go's runtime (runq in proc.go), whose queue has 256 slots and a
// swap of half as well.
#pragma once

#include <algorithm>
#include <array>

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

struct runnable;

class deque {
public:
    static constexpr std::uint32_t capacity = static_cast<std::uint32_t>(deque_capacity);
    /// How many pops before its own an entry is fetched into the cache: another core may have made
    /// it, or it may have waited long.
    static constexpr std::uint32_t fetched_ahead = 8;

    /// Owner. False: the queue is full; take_half() makes room.
    bool push(runnable* r) noexcept {
        const std::uint32_t tail = tail_.load(relaxed);
        if (tail - known_head_ >= capacity) {
            // acquire: pairs with the release in claim(); the taker has read slot `tail` before it
            // is reused here.
            known_head_ = head_.load(acquire);
            if (tail - known_head_ >= capacity) return false;
        }
        slot(tail).store(r, relaxed);
        // release: pairs with the acquire in steal_into(); publishes the slot and what r points to.
        tail_.store(tail + 1, release);
        return true;
    }

    /// Owner. The oldest entry, or null.
    runnable* pop() noexcept {
        std::uint32_t head = head_.load(acquire);
        for (;;) {
            const std::uint32_t size = tail_.load(relaxed) - head;
            if (size == 0) return nullptr;
            runnable* const r = slot(head).load(relaxed);
            if (size > fetched_ahead) fetch_block(slot(head + fetched_ahead).load(relaxed));
            if (claim(head, 1)) return r;
        }
    }

    /// Owner, when full: takes the older half into `out`, oldest first. The number taken; 0 if a
    /// thief made room.
    std::uint32_t take_half(std::array<runnable*, capacity / 2>& out) noexcept {
        std::uint32_t head = head_.load(acquire);
        if (tail_.load(relaxed) - head < capacity) return 0;
        for (std::uint32_t i = 0; i != capacity / 2; ++i) out[i] = slot(head + i).load(relaxed);
        return claim(head, capacity / 2) ? capacity / 2 : 0;
    }

    /// The owner of `thief`, whose queue is empty: moves half of this queue (rounded up) there, but
    /// for the last entry taken, which is returned to be run at once. Null: nothing to steal.
    runnable* steal_into(deque& thief) noexcept {
        std::uint32_t head = head_.load(acquire);
        for (;;) {
            // acquire: pairs with the release in push().
            const std::uint32_t size = tail_.load(acquire) - head;
            const std::uint32_t n = size - size / 2;
            if (n == 0) return nullptr;
            if (n > capacity / 2) {  // head and tail were read at different times
                head = head_.load(acquire);
                continue;
            }
            const std::uint32_t to = thief.tail_.load(relaxed);
            for (std::uint32_t i = 0; i != n; ++i)
                thief.slot(to + i).store(slot(head + i).load(relaxed), relaxed);
            if (!claim(head, n)) continue;
            runnable* const last = thief.slot(to + n - 1).load(relaxed);
            for (std::uint32_t i = 0; i != std::min(n - 1, fetched_ahead); ++i)
                fetch_block(thief.slot(to + i).load(relaxed));
            // release: pairs with the acquire in steal_into(), for thieves of the thief.
            if (n > 1) thief.tail_.store(to + n - 1, release);
            thief.known_head_ = to;
            return last;
        }
    }

    /// Anyone. A hint, exact only for an owner without thieves; never 0 for a queue that was not
    /// empty meanwhile.
    std::uint32_t size() const noexcept {
        const std::uint32_t head = head_.load(acquire);
        const std::uint32_t tail = tail_.load(acquire);
        return tail - head > capacity ? capacity : tail - head;
    }

    bool empty() const noexcept { return size() == 0; }

private:
    atomic<runnable*>& slot(std::uint32_t i) noexcept { return slots_[i % capacity]; }

    // Takes the n entries from `head`; on failure `head` is the present one.
    bool claim(std::uint32_t& head, std::uint32_t n) noexcept {
        // release: pairs with the acquire in push(); the slots have been read. acquire: the retry
        // reads new slots.
        return head_.compare_exchange_strong(head, head + n, acq_rel, acquire);
    }

    alignas(64) atomic<std::uint32_t> head_{0};  // anyone, by compare-and-swap
    alignas(64) atomic<std::uint32_t> tail_{0};  // owner writes
    plain<std::uint32_t> known_head_{0};  // owner: head_ or less, by at most capacity before tail_
    std::array<atomic<runnable*>, capacity> slots_{};
};

}  // namespace sluice::detail
