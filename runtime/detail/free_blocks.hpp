// Free blocks of one size, and the way home of those that another thread has released.
//
// Concepts
//   Free blocks form a list of carriers: a carrier is a free block in which the addresses of others
//   stand, as many as fit. So a block is listed, found and fetched into the cache some takes ahead
//   without being touched; a chain through all of them would cost a cache miss for each that
//   another core has used, one after the other.
//   A block_list belongs to one thread, which takes and adds without any atomic operation. Another
//   thread collects what it has released in a parcel, for one owner, and sends the carriers to the
//   owner's inbox with one compare-and-swap; the owner makes the inbox its list with one exchange
//   when that has run dry.
//
// Invariants
//   A block is in one list, parcel or inbox, or in use.
//   An inbox is pushed by anyone and emptied as a whole, so there is no ABA problem: a push whose
//   head has gone and come back still puts its carriers before what the head carries now.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

struct carrier {
    plain<carrier*> next;
    plain<std::uint32_t> count;  // of the others

    void** others() noexcept { return reinterpret_cast<void**>(this + 1); }

    /// How many others a block of so many bytes has room for.
    static constexpr std::uint32_t room(std::size_t bytes) noexcept {
        return static_cast<std::uint32_t>((bytes - sizeof(carrier)) / sizeof(void*));
    }

    /// The block is carried by the top of the list, which has room for so many, or becomes its top.
    static void add(carrier*& top, void* block, std::uint32_t room) noexcept {
        carrier* const current = top;
        if (current != nullptr && current->count != room) {
            const std::uint32_t n = current->count;
            current->count = n + 1;
            current->others()[n] = block;
        } else {
            top = ::new (block) carrier{current, 0};
        }
    }
};

/// Where the blocks of one owner and one size come home.
class block_inbox {
public:
    /// Anyone: a list of carriers, of which these are the first and the last.
    void push(carrier* first, carrier* last) noexcept {
        carrier* head = top_.load(relaxed);
        do {
            last->next = head;
            // release: pairs with the acquire in take_all(); the carriers and the end of the
            // frames.
        } while (!top_.compare_exchange_weak(head, first, release, relaxed));
    }

    void push(void* block) noexcept {
        auto* const single = ::new (block) carrier{nullptr, 0};
        push(single, single);
    }

    bool empty() const noexcept { return top_.load(relaxed) == nullptr; }

    /// Owner.
    carrier* take_all() noexcept {
        // acquire: pairs with the release in push().
        return top_.exchange(nullptr, acquire);
    }

private:
    atomic<carrier*> top_{nullptr};
};

/// What one thread has at hand.
class block_list {
public:
    bool empty() const noexcept { return top_ == nullptr; }

    /// One of them; there is one.
    void* take() noexcept {
        carrier* const top = top_;
        std::uint32_t n = top->count;
        if (n == 0) {
            top_ = top->next;
            if (top_ != nullptr) fetch_first(*top_);
            std::destroy_at(top);
            return top;
        }
        top->count = --n;
        void** const place = top->others() + n;
        if (n >= fetched_ahead) fetch_block(*(place - fetched_ahead));
        return *place;
    }

    void add(void* block, std::uint32_t room) noexcept { carrier::add(top_, block, room); }

    /// The list, which is empty, becomes what has come home. False: nothing has.
    bool refill(block_inbox& inbox) noexcept {
        if (inbox.empty()) return false;
        top_ = inbox.take_all();
        fetch_first(*top_);
        return true;
    }

private:
    // How many blocks ahead of its use a free one is fetched into the cache: the core it comes back
    // from has written to it.
    static constexpr std::uint32_t fetched_ahead = 8;

    // What the first takes from the list need, once this is its top.
    static void fetch_first(carrier& top) noexcept {
        fetch_block(top.next);
        const std::uint32_t count = top.count;
        const std::uint32_t n = std::min(count, fetched_ahead);
        for (std::uint32_t i = 1; i <= n; ++i) fetch_block(top.others()[count - i]);
    }

    carrier* top_ = nullptr;
};

/// What one thread has released of the blocks of another.
class parcel {
public:
    /// Sends what it holds when that is many, or is for another inbox.
    void add(void* block, std::uint32_t room, block_inbox& home) noexcept {
        if (home_ != &home) {
            send();
            home_ = &home;
        }
        carrier::add(first_, block, room);
        if (last_ == nullptr) last_ = first_;
        if (++count_ == parcel_size) send();
    }

    void send() noexcept {
        if (first_ == nullptr) return;
        home_->push(first_, last_);
        first_ = last_ = nullptr;
        count_ = 0;
    }

private:
    block_inbox* home_ = nullptr;
    carrier* first_ = nullptr;
    carrier* last_ = nullptr;
    std::uint32_t count_ = 0;
};

}  // namespace sluice::detail
