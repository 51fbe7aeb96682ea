// The tree behind contexts.
//
// Concepts
//   A node is made for each with_…() call and points to its parent. A canceller is a node with an
//   end of its own; each node knows its nearest one. A canceller lists its dependents: the
//   cancellers below it and the after_func() registrations. value() walks the parents; everything
//   else goes to the nearest canceller.
//
// Invariants
//   A node holds a reference to its parent. A canceller's list of dependents owns no cancellers (a
//   context that nobody holds must vanish from a long-lived parent) and does own after_func
//   registrations (nobody else need hold them). error_ is set once, after cause_, under the gate;
//   cause_ never changes afterwards, so that both are read without it. Whoever cancels first wins:
//   the others find error_ set and leave. When the winner is done, the canceller is in its parent's
//   list no more.
//
// Order of a cancellation: error and cause; those who await done(); the dependents; then leave the
// parent's list. A tree of any depth is cancelled without recursion. Only one gate is held at a
// time, but for a parent's while a dependent's reference is taken, which needs no gate. So
// cancellations that cross each other cannot deadlock.
#pragma once

#include <cstdint>
#include <limits>

#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/timer_queue.hpp>
#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice::detail {

class canceller;

class context_node {
public:
    static constexpr std::int64_t no_deadline = std::numeric_limits<std::int64_t>::max();

    /// Whoever makes it references `parent`, which may be null (background), for it: below().
    context_node(context_node* parent, canceller* nearest, std::int64_t deadline,
                 std::uint32_t references = 1, const void* key = nullptr) noexcept
        : parent_(parent), nearest_(nearest), key_(key), deadline_(deadline), refs_(references) {}
    context_node(const context_node&) = delete;
    context_node& operator=(const context_node&) = delete;

    void ref() noexcept { refs_.fetch_add(1, relaxed); }
    bool try_ref() noexcept;
    void unref() noexcept;

    context_node* parent() const noexcept { return parent_; }
    canceller* nearest() const noexcept { return nearest_; }
    std::int64_t deadline() const noexcept { return deadline_; }

    /// Whether this node itself has a value under `key`, and that value.
    bool has(const void* key) const noexcept { return key_ == key; }
    virtual const void* own_value() const noexcept;

protected:
    virtual ~context_node() = default;

    context_node* const parent_;
    canceller* const nearest_;
    const void* const key_;  // null: no value
    const std::int64_t deadline_;

private:
    atomic<std::uint32_t> refs_;
};

/// Something that a canceller cancels in its turn.
class dependent : public list_node {
public:
    /// Parent's gate held, just unlinked. Keeps the object alive until parent_done(); false: it is
    /// ending by itself.
    virtual bool hold() noexcept = 0;
    /// The parent has ended; lets go of what hold() took. May push dependents of its own.
    virtual void parent_done(errc error, const failure& cause,
                             class dependents& pending) noexcept = 0;

protected:
    ~dependent() = default;
};

/// Dependents that were taken out of their lists and wait for their turn.
class dependents {
public:
    void push(dependent& d) noexcept {
        d.previous = first_;  // `next` keeps saying that it is in no list
        first_ = &d;
    }
    dependent* pop() noexcept {
        auto* const d = static_cast<dependent*>(first_);
        if (d != nullptr) first_ = d->previous;
        return d;
    }

private:
    list_node* first_ = nullptr;
};

class canceller : public context_node, public dependent {
public:
    /// With two references: the context's and its cancel function's.
    canceller(context_node* parent, std::int64_t deadline) noexcept
        : context_node(parent, this, deadline, 2) {}

    /// Becomes a dependent of the parent's canceller, or ends at once if that one has ended. Once,
    /// after construction.
    void attach() noexcept;
    /// Ends this context and all below it, unless it has ended already. Without a cause the error
    /// is the cause. The caller has a reference that nobody else lets go of.
    void cancel(errc error, const failure& cause) noexcept;

    spin_lock& gate() noexcept { return gate_; }
    bool ended() const noexcept { return error_.load(acquire) != 0; }
    std::error_code error() const noexcept;
    /// ended() must be true.
    const failure& cause() const noexcept { return cause_; }

    // Gate held.
    void enlist(leaf& l) noexcept { waiters_.push_back(l); }

    /// Adds to the list of dependents. False: this context has ended.
    bool adopt(dependent& d) noexcept;
    void disown(dependent& d) noexcept;

    bool hold() noexcept override { return try_ref(); }
    void parent_done(errc error, const failure& cause, dependents& pending) noexcept override;

protected:
    ~canceller() override;

private:
    void end(errc error, const failure& cause, dependents& pending) noexcept;
    virtual void stop_timer() noexcept {}
    void leave_parent() noexcept;

    spin_lock gate_{lock_rank::context};
    atomic<std::uint8_t> error_{
        0};                 // an errc; 0: alive. release in end(), acquire in ended() and error()
    failure cause_;         // written under gate_, before error_
    wait_queue waiters_;    // under gate_
    list_node dependents_;  // under gate_
};

class deadline_canceller final : public canceller {
public:
    deadline_canceller(context_node* parent, std::int64_t deadline, failure cause) noexcept;
    /// Before attach(). The timer runs on the calling worker. Throws std::bad_alloc.
    void start_timer(timer_queue& queue);
    /// What the timer does.
    void expire() noexcept;

private:
    struct expiry : runnable {
        deadline_canceller* self;
    };
    static runnable* expired(timer_node& node, wake_list&) noexcept;
    static void run_expiry(void* action);
    ~deadline_canceller() override { stop_timer(); }
    void stop_timer() noexcept override;

    struct timer : timer_node {
        explicit timer(deadline_canceller* s) noexcept
            : timer_node(&deadline_canceller::expired), self(s) {}
        deadline_canceller* self;
    };
    timer timer_;
    expiry expiry_;
    failure deadline_cause_;
};

/// without_cancel(): only the way up to the parent's values.
class plain_node final : public context_node {
public:
    explicit plain_node(context_node* parent) noexcept
        : context_node(parent, nullptr, no_deadline) {}

private:
    ~plain_node() override = default;
};

/// A registration of after_func().
class after_registration final : public dependent {
public:
    after_registration(task<> body, std::uint32_t runtime_id) noexcept;

    /// With a reference for the list.
    void attach(canceller* to) noexcept;
    bool stop() noexcept;
    void ref() noexcept { refs_.fetch_add(1, relaxed); }
    void unref() noexcept;

    bool hold() noexcept override { return true; }  // passes the list's reference on
    void parent_done(errc, const failure&, dependents&) noexcept override;

private:
    enum class state : std::uint8_t { waiting, started, stopped };
    bool leave_waiting(state to) noexcept;
    void start() noexcept;

    atomic<std::uint32_t> refs_{1};
    atomic<state> state_{state::waiting};
    const std::uint32_t runtime_id_;
    context_node* parent_ = nullptr;  // the canceller, referenced
    task<> body_;                     // whoever leaves `waiting`
};

class done_leaf final : public leaf {
public:
    explicit done_leaf(canceller* of) noexcept : of_(of) {}
    done_leaf(done_leaf&&) noexcept = default;
    spin_lock* gate() noexcept override { return of_ == nullptr ? nullptr : &of_->gate(); }
    bool ready() noexcept override { return of_->ended(); }
    bool commit(wake_list&) noexcept override { return of_->ended(); }
    bool try_commit() noexcept override;
    void enlist() noexcept override { of_->enlist(*this); }
    wait_site site() const noexcept override { return {"done of a context", of_}; }
    canceller* of() const noexcept { return of_; }

private:
    canceller* of_;
};

}  // namespace sluice::detail
