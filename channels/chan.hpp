// Channels: typed queues between tasks, with Go's semantics.
//
//     auto ch = make_chan<int>(16);                    // capacity 0: sender and receiver meet
//     co_await ch.send(1);
//     while (auto v = co_await ch.recv()) use(*v);     // until the channel is closed and drained
//
// A channel is a shared handle, cheap to copy. chan<> carries no value. A default-constructed
// handle is a nil channel: send and recv wait for ever there, which switches a case of a select
// off. Every member may be called from any thread; a send's effects are visible to the one who
// receives it.
//
// Cost: about 96 bytes and the slots; a send or receive that need not wait takes one lock and no
// allocation.
#pragma once

#include <compare>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <sluice/channels/detail/chan_core.hpp>
#include <sluice/runtime/operation.hpp>

namespace sluice {

/// A send on a closed channel, or a second close.
class channel_closed : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

/// A close of a nil channel.
class nil_channel : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

namespace detail {

[[noreturn]] void throw_send_on_closed();
void close_channel(chan_core* core);

/// Room for one element on its way.
template <class T>
class element_room {
public:
    void* address() noexcept { return bytes_; }
    T& value() noexcept { return *std::launder(reinterpret_cast<T*>(bytes_)); }

private:
    alignas(T) std::byte bytes_[sizeof(T)];
};
template <>
class element_room<void> {
public:
    void* address() noexcept { return nullptr; }
};

class typed_leaf final : public chan_leaf {
public:
    typed_leaf(chan_core* c, direction d) noexcept : chan_leaf(c, d) {}
    typed_leaf(typed_leaf&&) noexcept = default;
};

template <class T>
class [[nodiscard]] send_operation : public sole_operation<send_operation<T>> {
public:
    using result_type = void;

    template <class Value>
    send_operation(chan_core* c, Value&& value) noexcept : leaf_(c, direction::send) {
        ::new (room_.address()) Value(std::move(value));
    }
    explicit send_operation(chan_core* c) noexcept : leaf_(c, direction::send) {}
    send_operation(send_operation&& other) noexcept
        : sole_operation<send_operation>(), leaf_(std::move(other.leaf_)) {
        if constexpr (!std::is_void_v<T>) ::new (room_.address()) T(std::move(other.room_.value()));
    }
    ~send_operation() {
        if constexpr (!std::is_void_v<T>) {
            if (leaf_.result != chan_leaf::outcome::value)
                room_.value().~T();  // else the receiver has it
        }
    }

    typed_leaf& the_leaf() noexcept {
        leaf_.slot = room_.address();
        return leaf_;
    }
    sole_start begin() noexcept { return begin_send(the_leaf()); }
    bool may_be_ready() const noexcept {
        return leaf_.channel != nullptr && leaf_.channel->may_send();
    }
    void take(std::size_t) {
        if (leaf_.result == chan_leaf::outcome::closed) throw_send_on_closed();
    }

private:
    typed_leaf leaf_;
    [[no_unique_address]] element_room<T> room_;
};

/// What a receive gives.
template <class T>
struct received {
    using type = std::optional<T>;
};
template <>
struct received<void> {
    using type = bool;
};

template <class T>
class [[nodiscard]] recv_operation : public sole_operation<recv_operation<T>> {
public:
    using result_type = typename received<T>::type;

    explicit recv_operation(chan_core* c) noexcept : leaf_(c, direction::recv) {}
    recv_operation(recv_operation&&) noexcept = default;
    ~recv_operation() {
        if constexpr (!std::is_void_v<T>) {
            if (leaf_.result == chan_leaf::outcome::value) room_.value().~T();
        }
    }

    typed_leaf& the_leaf() noexcept {
        leaf_.slot = room_.address();
        return leaf_;
    }
    sole_start begin() noexcept { return begin_recv(the_leaf()); }
    bool may_be_ready() const noexcept {
        return leaf_.channel != nullptr && leaf_.channel->may_recv();
    }
    result_type take(std::size_t) noexcept {
        if constexpr (std::is_void_v<T>) {
            return leaf_.result == chan_leaf::outcome::value;
        } else {
            if (leaf_.result != chan_leaf::outcome::value) return std::nullopt;
            return result_type(std::in_place, std::move(room_.value()));
        }
    }

private:
    typed_leaf leaf_;
    [[no_unique_address]] element_room<T> room_;
};

/// A counted reference to a channel, or to none.
class chan_handle {
public:
    chan_handle() noexcept = default;
    explicit chan_handle(chan_core* core) noexcept : core_(core) {}  // takes over a reference
    chan_handle(const chan_handle& other) noexcept : core_(other.core_) {
        if (core_ != nullptr) core_->ref();
    }
    chan_handle(chan_handle&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    chan_handle& operator=(chan_handle other) noexcept {
        std::swap(core_, other.core_);
        return *this;
    }
    ~chan_handle() {
        if (core_ != nullptr) core_->unref();
    }

    /// False for a nil channel.
    explicit operator bool() const noexcept { return core_ != nullptr; }
    /// Two handles are equal if they refer to the same channel.
    friend bool operator==(const chan_handle&, const chan_handle&) noexcept = default;

    /// Values in the buffer now; waiting senders are not counted. 0 for a nil channel.
    std::size_t size() const noexcept { return core_ == nullptr ? 0 : core_->size(); }
    std::size_t capacity() const noexcept { return core_ == nullptr ? 0 : core_->capacity(); }

protected:
    chan_core* core() const noexcept { return core_; }

private:
    chan_core* core_ = nullptr;
};

/// What can be done with the sending end. Base is chan_handle, or recv_end for both.
template <class T, class Base>
class send_end : public Base {
public:
    send_end() noexcept = default;
    template <class From>
    explicit send_end(const From& from) noexcept : Base(from) {}

    /// Operation: waits until a receiver or the buffer takes the value. Throws channel_closed if
    /// the channel is closed, before or meanwhile. A send that loses a race keeps its value, and
    /// destroys it with the operation.
    template <class U = T>
        requires(!std::is_void_v<U>)
    auto send(std::type_identity_t<U> value) const noexcept {
        return send_operation<U>(this->core(), std::move(value));
    }
    template <class U = T>
        requires std::is_void_v<U>
    auto send() const noexcept {
        return send_operation<U>(this->core());
    }

    /// False if it would have to wait; then the value is left as it was. Throws channel_closed.
    /// Never waits.
    template <class U = T>
        requires(!std::is_void_v<U>)
    bool try_send(std::type_identity_t<U>&& value) const {
        if (!*this) return false;
        element_room<U> room;
        ::new (room.address()) U(std::move(value));
        const chan_core::attempt a = this->core()->try_send(room.address());
        if (a == chan_core::attempt::done) return true;
        std::destroy_at(std::addressof(value));
        std::construct_at(std::addressof(value), std::move(room.value()));
        std::destroy_at(std::addressof(room.value()));
        if (a == chan_core::attempt::closed) throw_send_on_closed();
        return false;
    }
    template <class U = T>
        requires(!std::is_void_v<U>)
    bool try_send(const std::type_identity_t<U>& value) const {
        U copy(value);
        return try_send<U>(std::move(copy));
    }
    template <class U = T>
        requires std::is_void_v<U>
    bool try_send() const {
        if (!*this) return false;
        const chan_core::attempt a = this->core()->try_send(nullptr);
        if (a == chan_core::attempt::closed) throw_send_on_closed();
        return a == chan_core::attempt::done;
    }

    /// No value is sent after this one. Waiting senders fail, waiting receivers learn of it; what
    /// is buffered can still be received. Throws channel_closed the second time, nil_channel for a
    /// nil channel.
    void close() const { close_channel(this->core()); }
};

/// What can be done with the receiving end.
template <class T, class Base>
class recv_end : public Base {
public:
    recv_end() noexcept = default;
    template <class From>
    explicit recv_end(const From& from) noexcept : Base(from) {}

    /// Operation: waits for a value; empty (false for chan<>) once the channel is closed and
    /// drained. A receive that loses a race takes nothing.
    auto recv() const noexcept { return recv_operation<T>(this->core()); }

    /// The same without waiting: also empty if there is nothing now.
    typename received<T>::type try_recv() const noexcept {
        if constexpr (std::is_void_v<T>) {
            return *this && this->core()->try_recv(nullptr) == chan_core::attempt::done;
        } else {
            element_room<T> room;
            if (!*this || this->core()->try_recv(room.address()) != chan_core::attempt::done)
                return std::nullopt;
            std::optional<T> value(std::in_place, std::move(room.value()));
            std::destroy_at(std::addressof(room.value()));
            return value;
        }
    }
};

}  // namespace detail

/// A channel for values of type T. T must be movable without exceptions.
template <class T = void>
class chan : public detail::send_end<T, detail::recv_end<T, detail::chan_handle>> {
    using base = detail::send_end<T, detail::recv_end<T, detail::chan_handle>>;

public:
    using value_type = T;
    chan() noexcept = default;
    explicit chan(detail::chan_core* core) noexcept : base(core) {}
};

/// The sending end of a channel.
template <class T = void>
class send_chan : public detail::send_end<T, detail::chan_handle> {
    using base = detail::send_end<T, detail::chan_handle>;

public:
    using value_type = T;
    send_chan() noexcept = default;
    send_chan(const chan<T>& ch) noexcept : base(static_cast<const detail::chan_handle&>(ch)) {}
};

/// The receiving end of a channel.
template <class T = void>
class recv_chan : public detail::recv_end<T, detail::chan_handle> {
    using base = detail::recv_end<T, detail::chan_handle>;

public:
    using value_type = T;
    recv_chan() noexcept = default;
    recv_chan(const chan<T>& ch) noexcept : base(static_cast<const detail::chan_handle&>(ch)) {}
};

/// A new channel with room for `capacity` values. Throws std::logic_error for a capacity that is
/// negative or too large.
template <class T = void>
chan<T> make_chan(std::ptrdiff_t capacity = 0) {
    if constexpr (!std::is_void_v<T>) {
        static_assert(std::is_nothrow_move_constructible_v<T>,
                      "a channel's values are moved under its lock");
        static_assert(alignof(T) <= 16,
                      "a channel's values must not be over-aligned; send a std::unique_ptr");
    }
    return chan<T>(detail::chan_core::make(detail::element_of<T>, capacity));
}

}  // namespace sluice
