// The part of a channel that does not depend on the element's type.
//
// Concepts
//   A channel is a ring of slots, possibly of none, and two queues of waiting leaves. Senders and
//   receivers meet under one lock. Whoever finds a waiting counterpart serves it completely: the
//   value is moved before the lock is released, and the counterpart, once readied, has nothing left
//   to do and cannot be overtaken.
//
// Invariants (under gate_)
//   At least one of senders_ and receivers_ is empty, but for leaves of one select that stands on
//   both sides. count_ > 0 implies that nobody waits to receive; count_ < capacity_ implies that
//   nobody waits to send. A slot holds a live value exactly if it is one of the count_ slots from
//   head_ on. closed_ is set once; after that both queues are empty.
//
// Elements are moved by `relocate` under the lock, so moving one must not throw.
//
// Rejected: a lock-free ring (a select must commit on several channels at once, and a wait must be
// linked in the same step that finds the ring full; each needs the lock, and a ring beside it costs
// a second read-modify-write), waking a receiver that then looks for the value itself (it can be
// overtaken again and again).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice::detail {

/// Whether moving a value and ending the old one comes to copying its bytes.
template <class T>
inline constexpr bool relocates_as_bytes = std::is_trivially_copyable_v<T>;
template <class T>
inline constexpr bool relocates_as_bytes<task<T>> = true;
template <class T>
inline constexpr bool relocates_as_bytes<std::unique_ptr<T>> =
    std::is_pointer_v<typename std::unique_ptr<T>::pointer>;

/// How a channel handles its elements.
struct element_type {
    std::size_t size;
    bool word;  // 8 bytes that are copied, which needs no call
    /// Moves the value at `from` to the raw memory at `to`, and ends the one at `from`.
    void (*relocate)(void* to, void* from) noexcept;
    void (*destroy)(void* at) noexcept;
};

template <class T>
void relocate_element(void* to, void* from) noexcept {
    if constexpr (relocates_as_bytes<T>) {
        std::memcpy(to, from, sizeof(T));
    } else {
        T* const source = static_cast<T*>(from);
        ::new (to) T(std::move(*source));
        std::destroy_at(source);
    }
}

template <class T>
inline constexpr element_type element_of{
    sizeof(T),
    relocates_as_bytes<T> && sizeof(T) == sizeof(std::uint64_t),
    &relocate_element<T>,
    +[](void* at) noexcept { static_cast<T*>(at)->~T(); },
};

template <>
inline constexpr element_type element_of<void>{0, false, +[](void*, void*) noexcept {}, nullptr};

class chan_core;
class worker;

enum class direction : std::uint8_t { send, recv };

class chan_leaf;

/// The two halves of an awaited send or receive, each in one call.
sole_start begin_send(chan_leaf& l) noexcept;
sole_start begin_recv(chan_leaf& l) noexcept;
void park_at_channel(chan_leaf& l, std::coroutine_handle<> frame) noexcept;

/// A send's or a receive's place at a channel. The value to send stands at `slot`; a received one
/// is put there.
class chan_leaf : public leaf {
public:
    enum class outcome : std::uint8_t { none, value, closed };

    spin_lock* gate() noexcept final;
    bool commit(wake_list& wakes) noexcept final;
    bool try_commit() noexcept final;
    void enlist() noexcept final;
    wait_site site() const noexcept final;

    chan_core* channel;  // null: a nil channel
    void* slot;          // set when it is polled
    const direction way;
    outcome result = outcome::none;  // written by whoever commits

protected:
    chan_leaf(chan_core* c, direction d) noexcept : channel(c), way(d) { rendezvous = true; }
    chan_leaf(chan_leaf&& other) noexcept : chan_leaf(other.channel, other.way) {}
    ~chan_leaf() = default;
};

template <std::derived_from<chan_leaf> Leaf>
void park_sole(Leaf& l, std::coroutine_handle<> frame) noexcept {
    park_at_channel(l, frame);
}

class chan_core {
public:
    enum class attempt : std::uint8_t { done, not_ready, closed };

    /// Throws std::logic_error for a capacity that is negative or too large, std::bad_alloc.
    static chan_core* make(const element_type& element, std::ptrdiff_t capacity);
    chan_core(const chan_core&) = delete;
    chan_core& operator=(const chan_core&) = delete;

    void ref() noexcept { refs_.fetch_add(1, relaxed); }
    void unref() noexcept {
        if (refs_.fetch_sub(1, acq_rel) == 1) destroy();
    }

    /// Never wait. The value is moved from, or to, `slot` exactly if the answer is done.
    attempt try_send(void* slot) noexcept;
    attempt try_recv(void* slot) noexcept;

    /// False: it was closed already.
    bool close() noexcept;

    /// At a glance, without the gate: false if one would have to wait, at this moment.
    bool may_send() const noexcept { return may(capacity_, receivers_wait_); }
    bool may_recv() const noexcept { return may(0, senders_wait_); }

    std::size_t size() const noexcept { return count_.load(relaxed); }
    std::size_t capacity() const noexcept { return capacity_; }
    spin_lock& gate() noexcept { return gate_; }

private:
    friend class chan_leaf;
    friend sole_start begin_send(chan_leaf& l) noexcept;
    friend sole_start begin_recv(chan_leaf& l) noexcept;
    friend void park_at_channel(chan_leaf& l, std::coroutine_handle<> frame) noexcept;

    chan_core(const element_type& element, std::uint32_t capacity) noexcept
        : element_(element), capacity_(capacity), plain_(element.word) {}
    ~chan_core() = default;
    void destroy() noexcept;
    static sole_start meet(chan_leaf& l, chan_leaf& waiting, worker& here) noexcept;
    /// The long way of begin_send() and begin_recv(); the gate was entered, or not.
    static sole_start begin_slow(chan_leaf& l, worker& here, bool entered) noexcept;

    // Unless so many values are in the buffer and no counterpart waits. Without a branch, which
    // would be mispredicted as often as it is open which cases of a select are ready.
    bool may(std::uint32_t n, const atomic<bool>& counterparts_wait) const noexcept {
        // acquire: pairs with the release where the count changes. If a channel was closed before
        // it was drained, who sees it empty sees that it is closed; who sees it full sees what was
        // done before it was filled. That nobody waits tells nothing of what was done before.
        const int differs = count_.load(acquire) != n;
        const int waited_for = counterparts_wait.load(relaxed);
        return (differs | waited_for | static_cast<int>(closed_.load(relaxed))) != 0;
    }

    // Gate held. Inlined in each of their callers, which saves a tenth of a hand-off. `here` is the
    // calling thread's worker, or null; `woken` becomes the counterpart that is to be readied.
    inline attempt send_now(void* slot, const worker* here, leaf*& woken) noexcept;
    inline attempt recv_now(void* slot, const worker* here, leaf*& woken) noexcept;
    inline chan_leaf* serve_first(wait_queue& queue, const worker* here, leaf*& woken) noexcept;
    inline void* at(std::uint32_t i) noexcept;
    inline void relocate(void* to, void* from) noexcept;
    inline void put(void* from, std::uint32_t n) noexcept;
    inline void push(void* from) noexcept;
    inline void take(void* to) noexcept;
    inline void pop(void* to) noexcept;

    const element_type& element_;
    const std::uint32_t capacity_;
    atomic<std::uint32_t> refs_{1};
    spin_lock gate_{lock_rank::channel};
    bool plain_;  // under gate_: open, and the elements are words
    // Written under gate_, for those who look without it.
    atomic<bool> closed_{false};
    // Of a channel without a buffer; else false.
    atomic<bool> senders_wait_{false};    // false: senders_ is empty
    atomic<bool> receivers_wait_{false};  // likewise
    std::uint32_t head_ = 0;              // under gate_
    atomic<std::uint32_t> count_{0};      // written under gate_
    wait_queue senders_;                  // under gate_
    wait_queue receivers_;                // under gate_
};

}  // namespace sluice::detail
