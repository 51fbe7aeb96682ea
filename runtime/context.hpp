// Contexts: cancellation, deadlines and values that reach down a tree of calls.
//
//     auto [ctx, cancel] = with_timeout(parent, 5s);
//     auto answer = co_await within(ctx, replies.recv());    // canceled, deadline_exceeded, or the
//     reply
//
// The rules are those of Go's context package. A context is a shared handle: copying it is cheap,
// and every member may be called from any thread. Making one with a deadline, or an after_func,
// needs a calling task, for its timers.
#pragma once

#include <chrono>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/context_core.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

/// The identity of a context value: two keys differ even when their types and names are the same.
/// Usually a global:
///     inline const context_key<std::string> user("user");
template <class T>
class context_key {
public:
    explicit constexpr context_key(const char* name = "") noexcept : name_(name) {}
    context_key(const context_key&) = delete;
    context_key& operator=(const context_key&) = delete;
    const char* name() const noexcept { return name_; }

private:
    const char* name_;
};

class context {
public:
    using clock = std::chrono::steady_clock;

    /// background(): never ends, carries nothing.
    context() noexcept = default;
    context(const context& other) noexcept : node_(other.node_) {
        if (node_ != nullptr) node_->ref();
    }
    context(context&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
    context& operator=(context other) noexcept {
        std::swap(node_, other.node_);
        return *this;
    }
    ~context() {
        if (node_ != nullptr) node_->unref();
    }

    /// Operation: waits until the context has ended; never ends by itself on background(). Must not
    /// outlive this handle.
    auto done() const noexcept;

    /// Zero while the context lives; then errc::canceled or errc::deadline_exceeded, for ever.
    std::error_code err() const noexcept;

    /// Empty while the context lives; then what its canceller gave as cause, else err().
    failure cause() const;

    /// When it will end at the latest; nothing if that is open.
    std::optional<clock::time_point> deadline() const noexcept;

    /// The value that the nearest ancestor has under `key`; null if none has. It lives as long as
    /// this context.
    template <class T>
    const T* value(const context_key<T>& key) const noexcept {
        return static_cast<const T*>(find(&key));
    }

    /// For the runtime: adopts a node.
    explicit context(detail::context_node* node) noexcept : node_(node) {}
    detail::context_node* node() const noexcept { return node_; }
    detail::canceller* nearest() const noexcept {
        return node_ == nullptr ? nullptr : node_->nearest();
    }

private:
    const void* find(const void* key) const noexcept;

    detail::context_node* node_ = nullptr;
};

namespace detail {

/// Move-only; cancels when called or let go. One that was moved from does nothing.
class cancel_handle {
public:
    explicit cancel_handle(canceller* c) noexcept : canceller_(c) {}  // takes over a reference
    cancel_handle(cancel_handle&& other) noexcept
        : canceller_(std::exchange(other.canceller_, nullptr)) {}
    cancel_handle& operator=(cancel_handle&& other) noexcept {
        cancel_handle old(std::move(other));
        std::swap(canceller_, old.canceller_);
        return *this;
    }
    ~cancel_handle() {
        if (canceller_ != nullptr) let_go();
    }

protected:
    void end(const failure& cause) const noexcept;

private:
    void let_go() noexcept;

    canceller* canceller_;
};

class [[nodiscard]] done_operation : public sole_operation<done_operation> {
public:
    using result_type = void;
    explicit done_operation(canceller* of) noexcept : leaf_(of) {}
    done_operation(done_operation&&) noexcept = default;

    done_leaf& the_leaf() noexcept { return leaf_; }
    bool may_be_ready() const noexcept { return leaf_.of() != nullptr && leaf_.of()->ended(); }
    void take(std::size_t) const noexcept {}

private:
    done_leaf leaf_;
};

}  // namespace detail

inline auto context::done() const noexcept {
    return detail::done_operation(nearest());
}

/// Ends a context with errc::canceled. Calling it again, or after the context has ended, does
/// nothing; it does not wait for anyone. Letting it go out of scope calls it, so that a lost cancel
/// cannot be written.
class [[nodiscard]] cancel_function : public detail::cancel_handle {
public:
    using cancel_handle::cancel_handle;
    void operator()() const noexcept { end({}); }
};

/// The same, with a cause for context::cause(); an empty one records canceled.
class [[nodiscard]] cancel_cause_function : public detail::cancel_handle {
public:
    using cancel_handle::cancel_handle;
    void operator()(const failure& cause = {}) const noexcept { end(cause); }
};

/// Never ends, carries nothing: the root of contexts.
inline context background() noexcept {
    return {};
}

/// The same, for code that does not know yet which context to use.
inline context todo() noexcept {
    return {};
}

/// A context that ends when its cancel function is called or let go, or when `parent` ends.
std::pair<context, cancel_function> with_cancel(const context& parent);
std::pair<context, cancel_cause_function> with_cancel_cause(const context& parent);

/// … or at a point in time, with errc::deadline_exceeded. If the parent ends earlier anyway this is
/// with_cancel(parent). Made in a task; the deadline does not come once its runtime has ended.
std::pair<context, cancel_function> with_deadline(const context& parent,
                                                  context::clock::time_point at);
/// `cause` becomes the cause if the deadline passes; cancelling does not set it.
std::pair<context, cancel_function> with_deadline_cause(const context& parent,
                                                        context::clock::time_point at,
                                                        failure cause);
namespace detail {
std::pair<context, cancel_function> expiring_after(const context& parent, std::int64_t nanoseconds,
                                                   failure cause);
}

/// Zero or less: a context that has expired already.
template <class Rep = std::int64_t, class Period = std::nano>
std::pair<context, cancel_function> with_timeout(const context& parent,
                                                 std::chrono::duration<Rep, Period> after) {
    return detail::expiring_after(parent, detail::saturated(after), {});
}
template <class Rep = std::int64_t, class Period = std::nano>
std::pair<context, cancel_function> with_timeout_cause(const context& parent,
                                                       std::chrono::duration<Rep, Period> after,
                                                       failure cause) {
    return detail::expiring_after(parent, detail::saturated(after), std::move(cause));
}

/// The parent's values without its end and its deadline.
context without_cancel(const context& parent);

namespace detail {

/// For a node that was made below `parent`: it holds a reference to that from now on.
template <class Node>
Node* below(const context& parent, Node* made) noexcept {
    if (parent.node() != nullptr) parent.node()->ref();
    return made;
}

template <class T>
class value_node final : public context_node {
public:
    value_node(const context& parent, const void* key, T value)
        : context_node(parent.node(), parent.nearest(), deadline_of(parent), 1, key),
          value_(std::move(value)) {}

    const void* own_value() const noexcept override { return &value_; }

private:
    static std::int64_t deadline_of(const context& parent) noexcept {
        return parent.node() == nullptr ? no_deadline : parent.node()->deadline();
    }
    ~value_node() override = default;

    const T value_;
};

}  // namespace detail

/// The parent with a value under `key`. For data that belongs to a request, not for optional
/// parameters.
template <class T>
context with_value(const context& parent, const context_key<T>& key,
                   std::type_identity_t<T> value) {
    return context(detail::below(
        parent, detail::make_pooled<detail::value_node<T>>(parent, &key, std::move(value))));
}

/// Takes back an after_func().
class stop_function {
public:
    explicit stop_function(detail::after_registration* r) noexcept : registration_(r) {}
    stop_function(stop_function&& other) noexcept
        : registration_(std::exchange(other.registration_, nullptr)) {}
    stop_function& operator=(stop_function&& other) noexcept {
        stop_function old(std::move(other));
        std::swap(registration_, old.registration_);
        return *this;
    }
    ~stop_function() {
        if (registration_ != nullptr) registration_->unref();
    }

    /// True: fn has not started and will not. False: it has started, or was stopped before. Never
    /// waits.
    bool operator()() const noexcept { return registration_ != nullptr && registration_->stop(); }

private:
    detail::after_registration* registration_;
};

namespace detail {
stop_function register_after(canceller* of, scheduler& here, task<> body);
}

/// Runs fn(args...), a plain or a coroutine function, in a task of its own when ctx has ended; at
/// once if it has already. Registrations are independent of each other. Letting the stop function
/// go leaves the registration in place.
template <class F, class... Args>
stop_function after_func(const context& ctx, F&& fn, Args&&... args) {
    detail::scheduler& here = detail::scheduler_here("after_func()");
    auto body = detail::detached_task(std::forward<F>(fn), std::forward<Args>(args)...);
    return detail::register_after(ctx.nearest(), here, std::move(body));
}

}  // namespace sluice
