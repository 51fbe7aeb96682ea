// What a spawned task and the handle to it share: the result, and who waits for it.
#pragma once

#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/result_slot.hpp>
#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/operation.hpp>

namespace sluice::detail {

/// The part without the result's type.
class join_core {
public:
    bool done() const noexcept { return done_.load(acquire) != 0; }
    spin_lock& gate() noexcept { return gate_; }

    /// The result is set: readies all who wait.
    void complete() noexcept;

    /// Blocks the calling thread until done(). Throws std::logic_error on a worker.
    void wait_from_outside() const;

    // Gate held.
    void enlist(leaf& l) noexcept { waiters_.push_back(l); }

    void ref() noexcept { refs_.fetch_add(1, relaxed); }
    /// True: the caller held the last reference.
    bool unref() noexcept { return refs_.fetch_sub(1, acq_rel) == 1; }

private:
    spin_lock gate_{lock_rank::join};
    wait_queue waiters_;  // under gate_
    atomic<std::uint32_t> done_{
        0};  // set under gate_; pairs: release in complete(), acquire in done()
    atomic<std::uint32_t> refs_{1};
};

/// Prints an exception that nobody has received and nobody will, of the task with that origin, and
/// ends the program; not under a cut_scope.
void unjoined_exception(const std::exception_ptr& e, std::source_location origin) noexcept;

/// While it lives, the calling thread destroys tasks that were left when their runtime ended: they
/// might have joined those that have failed.
class cut_scope {
public:
    cut_scope() noexcept;
    cut_scope(const cut_scope&) = delete;
    cut_scope& operator=(const cut_scope&) = delete;
    ~cut_scope();

private:
    const bool outer_;
};

/// What a joiner gets when the task was cut by a shutdown.
std::exception_ptr cut_exception() noexcept;

template <class T>
class join_state : public join_core {
public:
    ~join_state() {
        if (result.has_error() && !received_.load(relaxed))
            unjoined_exception(result.error(), origin);
    }

    T take() {
        disregard();
        if constexpr (std::is_object_v<T>) {
            if (taken_.load(relaxed)) throw std::logic_error("sluice: a result can be taken once");
            taken_.store(true, relaxed);
        }
        return result.take();
    }
    /// Leaves the result in place, for others.
    decltype(auto) share() {
        disregard();
        return result.share();
    }
    void disregard() noexcept { received_.store(true, relaxed); }

    result_slot<T> result;
    std::source_location origin;

private:
    atomic<bool> received_{false};
    atomic<bool> taken_{false};  // moved out
};

template <class T>
class join_ref {
public:
    static join_ref make() { return join_ref(make_pooled<join_state<T>>()); }
    join_ref(const join_ref& other) noexcept : state_(other.state_) { state_->ref(); }
    join_ref(join_ref&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    join_ref& operator=(join_ref other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~join_ref() {
        if (state_ != nullptr && state_->unref()) destroy_pooled(state_);
    }
    join_state<T>& operator*() const noexcept { return *state_; }
    join_state<T>* operator->() const noexcept { return state_; }
    explicit operator bool() const noexcept { return state_ != nullptr; }

private:
    explicit join_ref(join_state<T>* s) noexcept : state_(s) {}
    join_state<T>* state_;
};

/// The task's share of the state: completes it when it is destroyed, with an exception if no result
/// was set because the task was cut, even before its first step.
template <class T>
class join_completion {
public:
    explicit join_completion(join_ref<T> s) noexcept : state_(std::move(s)) {}
    join_completion(join_completion&&) noexcept = default;
    join_completion& operator=(join_completion&&) = delete;
    ~join_completion() {
        if (!state_) return;
        if (!state_->result.is_set()) {
            state_->disregard();
            state_->result.set_error(cut_exception());
        }
        state_->complete();
    }
    join_state<T>* operator->() const noexcept { return &*state_; }

private:
    join_ref<T> state_;
};

class join_leaf final : public leaf {
public:
    explicit join_leaf(join_core& c) noexcept : core(&c) {}
    spin_lock* gate() noexcept override { return &core->gate(); }
    bool ready() noexcept override { return core->done(); }
    bool commit(wake_list&) noexcept override { return core->done(); }
    void enlist() noexcept override { core->enlist(*this); }
    wait_site site() const noexcept override { return {"join of a task", core}; }

    join_core* const core;
};

template <class T>
class [[nodiscard]] join_operation : public sole_operation<join_operation<T>> {
public:
    using result_type = T;
    explicit join_operation(join_state<T>& s) noexcept : state_(&s), leaf_(s) {}
    join_operation(join_operation&&) noexcept = default;

    join_leaf& the_leaf() noexcept { return leaf_; }
    T take(std::size_t) { return state_->take(); }

private:
    join_state<T>* state_;
    join_leaf leaf_;
};

}  // namespace sluice::detail
