// A condition variable for tasks.
//
// A wait stands in two lines, one after the other, both under the gate of the mutex: first the
// cond's, then, once it is signalled, the mutex's. So a signal under the lock wakes nobody only to
// find the mutex taken; the task is readied when it holds the mutex again. A wait that loses a race
// goes to the second line likewise (cond_leaf::regain).
#pragma once

#include <concepts>
#include <cstdint>
#include <exception>
#include <utility>

#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/sync/mutex.hpp>

namespace sluice {

template <class Predicate>
class cond_until_operation;
class cond_operation;

/// Tasks wait here, with a mutex given up meanwhile, until others tell that what it protects has
/// changed. Whoever waits first is signalled first; nobody is woken without a signal. Must outlive
/// the operations on it, and its mutex must outlive it.
class cond {
public:
    explicit cond(mutex& m) noexcept : mutex_(m) {}
    cond(const cond&) = delete;
    cond& operator=(const cond&) = delete;

    /// Operation: gives the mutex up, waits for a signal that comes later, and locks again. The
    /// guard holds the mutex when the await ends, also when the wait was bounded or raced and has
    /// lost, for which it may have to wait beyond its bound; it is not to be touched before. Waits
    /// of one select may share a guard; two guards are locked again one after the other, which can
    /// deadlock with who locks them in another order. A select whose winner has to try again (an
    /// accept or a lock that another was faster at) may end by this case for a signal that another
    /// wait has got meanwhile. Throws std::logic_error if the guard does not hold this cond's
    /// mutex.
    cond_operation wait(mutex_guard& guard);

    /// Operation: waits like that until predicate() is true, which it may be from the start. The
    /// predicate runs in the waiting task, with the mutex held; its exception ends the wait.
    template <std::predicate Predicate>
    cond_until_operation<Predicate> wait(mutex_guard& guard, Predicate predicate);

    /// Signal whoever waits longest, or all who wait now. Any thread, with the mutex held or not:
    /// what the predicates ask for must have been changed with it held.
    void signal() noexcept;
    void broadcast() noexcept;

private:
    friend class cond_leaf;

    void check(const mutex_guard& guard) const;

    mutex& mutex_;
    // Under the gate of mutex_.
    detail::wait_queue waiters_;
    std::uint64_t signals_ = 0;  // how many there have been, broadcasts included
};

class cond_leaf final : public mutex_waiter {
public:
    /// `looks_first`: it wins at once when it is polled, to have its predicate asked.
    cond_leaf(cond& c, mutex_guard& guard, bool looks_first) noexcept
        : mutex_waiter(c.mutex_), cond_(c), looks_first_(looks_first) {
        granted_to_ = &guard;
        regains = true;
    }
    cond_leaf(cond_leaf&& other) noexcept
        : cond_leaf(other.cond_, *other.granted_to_, other.looks_first_) {}
    bool ready() noexcept override {
        return looks_first_ || (lost_ && cond_.signals_ != signals_before_);
    }
    bool commit(detail::wake_list&) noexcept override {
        const bool looks = ready();
        looks_first_ = lost_ = false;
        return looks;
    }
    void enlist() noexcept override;
    void give_up() noexcept override;
    bool regain(bool lost) noexcept override;
    detail::wait_site site() const noexcept override {
        return waiting_ ? detail::wait_site{"wait of a cond", &cond_}
                        : detail::wait_site{"lock of a mutex", &mutex_};
    }

    /// Gate held; it has just left the cond's line. False: another leaf of its wait has won.
    bool signalled(detail::wake_list& wakes) noexcept;

private:
    /// Gate held.
    void release_mutex(detail::wake_list& wakes) noexcept;

    cond& cond_;
    bool looks_first_;
    bool lost_ = false;  // since it last stood in line: it may start over, and have missed signals
    // Under the gate.
    bool waiting_ = false;          // nobody has seen to the return of the mutex yet
    std::uint64_t signals_before_;  // of the cond, when it came to stand in line; set then
};

class [[nodiscard]] cond_operation : public detail::sole_operation<cond_operation> {
public:
    using result_type = void;
    cond_operation(cond& c, mutex_guard& guard) noexcept : leaf_(c, guard, false) {}
    cond_operation(cond_operation&&) noexcept = default;

    cond_leaf& the_leaf() noexcept { return leaf_; }
    void take(std::size_t) const noexcept {}

private:
    cond_leaf leaf_;
};

template <class Predicate>
class [[nodiscard]] cond_until_operation
    : public detail::multi_operation<cond_until_operation<Predicate>, 1> {
public:
    using result_type = void;
    cond_until_operation(cond& c, mutex_guard& guard, Predicate p)
        : leaf_(c, guard, true), predicate_(std::move(p)) {}
    cond_until_operation(cond_until_operation&&) noexcept = default;

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        return v(leaf_, base);
    }
    bool finish(std::size_t) noexcept {
        try {
            return predicate_();
        } catch (...) {
            error_ = std::current_exception();
            return true;
        }
    }
    void take(std::size_t) {
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

private:
    cond_leaf leaf_;
    Predicate predicate_;
    std::exception_ptr error_;
};

inline cond_operation cond::wait(mutex_guard& guard) {
    check(guard);
    return {*this, guard};
}

template <std::predicate Predicate>
cond_until_operation<Predicate> cond::wait(mutex_guard& guard, Predicate predicate) {
    check(guard);
    return {*this, guard, std::move(predicate)};
}

}  // namespace sluice
