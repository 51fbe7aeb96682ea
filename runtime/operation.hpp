// Operations: everything that can wait.
//
// An operation is a move-only, single-shot rvalue that borrows its handle (the channel, the mutex,
// the socket must outlive it). It can be awaited (co_await op), raced (select) and bounded
// (within). It consists of leaves, one for each source it may wait for, and take(i), which gives
// the result when leaf i has won. docs/internals.md follows a wait through its life.
//
// What an operation type provides
//   result_type
//   leaf_count                    how many leaves it has
//   visit(base, v) -> bool        calls v(leaf, i) for each of them, in an order in which to poll
//                                 them, until v gives true; gives whether it did. i counts from
//                                 `base`, the same for a leaf in each order. One made of others may
//                                 leave out those that v does not ask, v.asks(op), and has no
//                                 need to draw an order unless v.shuffles
//   may_be_ready() -> bool        optional, noexcept: at a glance, whether it is worth while to
//                                 poll; before it waits it is asked in any case
//   take(i) -> result_type        the result, after its leaf i has won; may throw
//   finish(i) -> bool             optional, noexcept: does what leaf i only promised in a race;
//                                 false: wait again
//   holds() -> bool               optional, static: whether it gives something that others will
//                                 want, a lock
// and derives from sole_operation (one leaf) or multi_operation, which make it awaitable.
#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <new>

#include <sluice/runtime/detail/multi_wait.hpp>
#include <sluice/runtime/detail/promise.hpp>
#include <sluice/runtime/detail/waiter.hpp>

namespace sluice {

/// Base of all operations: because of it select() and within() are found without their namespace.
struct operation_base {
    using sluice_awaitable = void;
    static constexpr bool holds() noexcept { return false; }
};

template <class Op>
concept operation = std::derived_from<Op, operation_base> && requires {
    typename Op::result_type;
    { Op::leaf_count } -> std::convertible_to<std::size_t>;
};

namespace detail {

/// Whether an operation never waits by itself, so that bounding or racing it would make no sense.
template <class Op>
concept never_waits = requires { requires Op::has_default(); };

template <class Op>
concept finishes_later = requires(Op& op, std::size_t i) {
    { op.finish(i) } noexcept -> std::same_as<bool>;
};

template <class Op>
bool finish(Op& op, std::size_t i) noexcept {
    if constexpr (finishes_later<Op>) {
        return op.finish(i);
    } else {
        return true;
    }
}

/// A step that did not suspend. False: the task's slice is used up and it must let others run.
bool spend_budget() noexcept;

/// Whether there is something left of it.
bool slice_left() noexcept;

/// Whether the task runs in a simulation.
bool in_simulation() noexcept;

/// Whether a task may take what others will want: there is something left of its slice. In a
/// simulation that is a step of its own, since others may come between an unlock and a lock.
bool may_hold() noexcept;

/// It runs, a suspended frame or what stands in for one, after all that is ready on this worker.
void run_last(runnable* r) noexcept;

/// How a sole wait begins.
enum class sole_start : std::uint8_t {
    done,   // completed, the task goes on
    spent,  // completed, and the task's slice is used up: it yields first
    held,   // it must wait; the gate stays closed until the leaf is linked
    never,  // it waits for ever
};

template <class Leaf>
sole_start begin_sole(Leaf& l) noexcept {
    spin_lock* const gate = l.gate();
    if (gate == nullptr) return sole_start::never;
    gate->lock();
    wake_list wakes;
    if (!l.commit(wakes)) return sole_start::held;
    gate->unlock();
    wakes.wake_all();
    return spend_budget() ? sole_start::done : sole_start::spent;
}

/// Prepares a leaf for a sole wait of the calling task.
void own_leaf(leaf& l, std::coroutine_handle<> frame) noexcept;

/// After a start that was `held`: the leaf stands in line, and from then on another worker may run
/// the task.
template <class Leaf>
void park_sole(Leaf& l, std::coroutine_handle<> frame) noexcept {
    spin_lock* const gate = l.gate();
    own_leaf(l, frame);
    l.enlist();
    gate->unlock();
}

/// Base of operations with one leaf, which Op gives as the_leaf(). No state word is needed:
/// unlinking claims.
template <class Op>
class sole_operation : public operation_base {
public:
    static constexpr std::size_t leaf_count = 1;

    sole_operation() = default;
    sole_operation(sole_operation&&) noexcept {}
    sole_operation& operator=(sole_operation&&) = delete;
    ~sole_operation() = default;

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        return v(self().the_leaf(), base);
    }

    /// Op may hide it by one of its own.
    sole_start begin() noexcept { return begin_sole(self().the_leaf()); }

    bool await_ready() noexcept {
        start_ = self().begin();
        return start_ == sole_start::done;
    }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        if (start_ == sole_start::spent) {
            frame.promise().runs_again();
            run_last(runnable::from_frame(frame));
            return;
        }
        auto& l = self().the_leaf();
        frame.promise().waits_for(l);
        if (start_ == sole_start::held) park_sole(l, frame);
    }

    decltype(auto) await_resume() { return self().take(0); }

protected:
    Op& self() noexcept { return static_cast<Op&>(*this); }

    sole_start start_;  // set by await_ready()
};

/// Base of those that give something to hold, a lock: a task whose slice is used up yields before
/// it begins one, and not when it has it, so that what others need is not held while they run.
template <class Op>
class holding_operation : public sole_operation<Op> {
public:
    static constexpr bool holds() noexcept { return true; }

    holding_operation() noexcept {}
    holding_operation(holding_operation&&) noexcept {}
    holding_operation& operator=(holding_operation&&) = delete;
    ~holding_operation() = default;

    bool await_ready() noexcept {
        yields_first_ = !may_hold();
        return !yields_first_ && begins();
    }

    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        if (!yields_first_) {
            sole_operation<Op>::await_suspend(frame);
            return;
        }
        frame.promise().runs_again();
        ::new (&beginner_) beginner(this, frame, &begin_later<Promise>);
        run_last(&beginner_);
    }

private:
    /// Stands in for a task that has yet to begin.
    struct beginner : runnable {
        beginner(holding_operation* o, std::coroutine_handle<> f, function begin) noexcept
            : of(o), frame(f) {
            resume = begin;
        }
        holding_operation* of;
        std::coroutine_handle<> frame;
    };

    bool begins() noexcept {
        this->start_ = this->self().begin();
        // In a simulation others run then all the same: they may look at what is held.
        if (this->start_ == sole_start::spent && !in_simulation()) this->start_ = sole_start::done;
        return this->start_ == sole_start::done;
    }

    template <class Promise>
    static void begin_later(void* self) {
        const auto& later = *static_cast<beginner*>(static_cast<runnable*>(self));
        const auto frame = std::coroutine_handle<Promise>::from_address(later.frame.address());
        if (later.of->begins()) {
            runnable::from_frame(frame)->run();
        } else {
            later.of->sole_operation<Op>::await_suspend(frame);
        }
    }

    bool yields_first_;
    union {
        beginner beginner_;  // made when it is needed
    };
};

/// Visits the leaves that may be ready, until one has won.
struct polling {
    multi_wait& wait;
    static constexpr bool shuffles = true;

    template <class Op>
    static bool asks(const Op& op) noexcept {
        if constexpr (requires { op.may_be_ready(); }) {
            return op.may_be_ready();
        } else {
            return true;
        }
    }
    template <class Leaf>
    bool operator()(Leaf& l, std::uint32_t i) noexcept {
        return wait.try_at_once(l, i);
    }
};

/// Visits all leaves, and lists them in that order.
struct listing {
    leaf** next;
    bool shuffles;

    template <class Op>
    static constexpr bool asks(const Op&) noexcept {
        return true;
    }
    bool operator()(leaf& l, std::uint32_t i) noexcept {
        l.index = i;
        *next++ = &l;
        return false;
    }
};

/// How an operation is awaited that races its leaves. Op gives, beside visit() and finish(),
/// leaf_list() with its size(), has_default(), and holds().
template <class Op>
class raced_wait {
public:
    raced_wait() = default;
    raced_wait(raced_wait&&) noexcept {}
    raced_wait& operator=(raced_wait&&) = delete;
    ~raced_wait() = default;

    bool await_ready() noexcept {
        yields_first_ = self().holds() && !may_hold();
        return !yields_first_ && begins();
    }

    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        if (!self().holds() || !yields_first_) return suspend(frame);
        frame.promise().runs_again();
        wait_.stand_in(runnable::from_frame(frame), &begin_later<Promise>);
        run_last(&wait_);
        return true;
    }

protected:
    std::uint32_t winner() const noexcept { return wait_.winner(); }

private:
    bool begins() noexcept {
        won_ = attempt();
        return won_ && (slice_left() || keeps_on());
    }

    /// Polls the leaves. True: one has won, and has kept its promise. False: they are listed.
    bool attempt() noexcept {
        polling poll{wait_};
        for (;;) {
            order_begins();
            if (!self().visit(0, poll)) break;
            if (finish_winner(wait_))
                return true;  // else it was asked once, and does not win again
        }
        order_was_in_vain();
        // At random only where the order can matter: elsewhere that would cost a mispredicted
        // branch for each leaf at each step.
        const bool many = self().size() > multi_wait::on_stack;
        list_leaves(many);
        return !many && some_share_a_gate(self().leaf_list(), self().size()) && list_leaves(true);
    }

    bool list_leaves(bool at_random) noexcept {
        if (at_random) order_begins();
        listing list{self().leaf_list(), at_random};
        return self().visit(0, list);
    }

    /// It does not yield with what it holds.
    bool keeps_on() noexcept { return self().holds() && !in_simulation(); }

    /// For a wait that its first attempt has not ended, or, if that has, because its slice is used
    /// up. False: the task goes on at once.
    template <class Promise>
    bool suspend(std::coroutine_handle<Promise> frame) noexcept {
        if (!won_) {
            frame.promise().waits_for(wait_);
            if (wait_.start(runnable::from_frame(frame), self().leaf_list(), self().size(),
                            &finish_or_list, self().has_default())) {
                return true;
            }
            if (spend_budget() || keeps_on()) return false;
        }
        frame.promise().runs_again();
        run_last(runnable::from_frame(frame));
        return true;
    }

    template <class Promise>
    static void begin_later(void* stand_in) {
        auto& wait = *static_cast<multi_wait*>(static_cast<runnable*>(stand_in));
        runnable* const task = wait.stood_in();
        raced_wait& self = static_cast<holder&>(wait).outer;
        const auto frame = std::coroutine_handle<Promise>::from_address(task);
        if (self.begins() || !self.suspend(frame)) task->run();
    }

    static Op& enclosing(multi_wait& wait) noexcept {
        return static_cast<holder&>(wait).outer.self();
    }
    static bool finish_winner(multi_wait& wait) noexcept {
        return detail::finish(enclosing(wait), wait.winner());
    }
    static bool finish_or_list(multi_wait& wait) noexcept {
        // One that starts over has not been polled before.
        return finish_winner(wait) || static_cast<holder&>(wait).outer.list_leaves(true);
    }

    // A multi_wait that finds the operation around it.
    struct holder : multi_wait {
        explicit holder(raced_wait& o) noexcept : outer(o) {}
        raced_wait& outer;
    };

    Op& self() noexcept { return static_cast<Op&>(*this); }

    holder wait_{*this};
    // Set by await_ready().
    bool yields_first_;  // as a holding_operation does
    bool won_;           // at the first attempt
};

/// Base of operations with any number of leaves.
template <class Op, std::size_t Leaves>
class multi_operation : public operation_base, public raced_wait<Op> {
public:
    static constexpr std::size_t leaf_count = Leaves;

    multi_operation() = default;
    multi_operation(multi_operation&&) noexcept {}
    multi_operation& operator=(multi_operation&&) = delete;
    ~multi_operation() = default;

    decltype(auto) await_resume() { return static_cast<Op&>(*this).take(this->winner()); }

    static constexpr bool has_default() noexcept { return false; }

private:
    friend raced_wait<Op>;
    static constexpr std::uint32_t size() noexcept { return static_cast<std::uint32_t>(Leaves); }
    leaf** leaf_list() noexcept { return leaves_.data(); }

    std::array<leaf*, Leaves <= multi_wait::on_stack ? Leaves : 2 * Leaves> leaves_;
};

}  // namespace detail
}  // namespace sluice
