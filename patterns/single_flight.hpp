// single_flight: many callers who want the same thing at the same time share one call.
//
// When to use: before something costly that gives the same to everybody for a while: a cache that
// is being filled, a token that is being renewed, a lookup by name.
// When not: for calls with effects that each caller wants for himself; to keep results (this
// forgets them: put a cache in front); for what happens once ever (once, once_value).
//
// Concepts
//   A flight is one call under way for a key. Whoever calls while there is none starts one, in a
//   task of its own, so that no caller is needed to keep it going: one that is cancelled only stops
//   waiting. Who calls while there is one joins it, and his function is dropped.
//
// Invariants
//   A key has at most one flight in the table. A flight leaves the table before its callers are
//   readied, so whoever calls afterwards gets a new one, and the number of its callers is final.
//
// Cost: a flight is a task, three small allocations and two lookups; joining it is a lookup and a
// wait. Every caller gets a copy of the value: keep large ones in a std::shared_ptr<const T>.
//
// Rejected: running the function in the first caller's task, as Go does: if that one is cancelled,
// all fail.
//
// Source of the idea: golang.org/x/sync/singleflight.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <mutex>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/patterns/seeded_hash.hpp>
#include <sluice/runtime/detail/join_state.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

/// What a flight gives to each of its callers.
template <class T>
struct flown {
    T value;
    bool shared;  // with another caller
};

namespace detail {

template <class T>
struct shared_flight {
    join_ref<result<T>> landing = join_ref<result<T>>::make();
    // Under the table's lock while the flight is in the table, then constant.
    std::size_t callers = 1;
};

template <class Key, class T, class Hash>
class flight_table {
public:
    using flight_ptr = std::shared_ptr<shared_flight<T>>;

    explicit flight_table(Hash hash) : flights_(0, std::move(hash)) {}

    /// The key's flight; makes it if there is none. True: it is new.
    std::pair<flight_ptr, bool> join(const Key& key) {
        const std::lock_guard guard(lock_);
        const auto at = flights_.find(key);
        if (at != flights_.end()) {
            ++at->second->callers;
            return {at->second, false};
        }
        auto fresh = std::make_shared<shared_flight<T>>();
        flights_.emplace(key, fresh);
        return {std::move(fresh), true};
    }

    /// The key's flight leaves, if it is this one, or whichever (null).
    void remove(const Key& key, const shared_flight<T>* only) noexcept {
        typename table::node_type gone;  // outlives the lock
        const std::lock_guard guard(lock_);
        const auto at = flights_.find(key);
        if (at != flights_.end() && (only == nullptr || at->second.get() == only))
            gone = flights_.extract(at);
    }

private:
    using table = std::unordered_map<Key, flight_ptr, Hash>;
    std::mutex lock_;
    table flights_;  // under lock_
};

/// Takes a flight out of its table, at the latest when its task is destroyed.
template <class Key, class T, class Hash>
class flight_departure {
public:
    using table = flight_table<Key, T, Hash>;
    flight_departure(std::shared_ptr<table> from, Key key, std::shared_ptr<shared_flight<T>> which)
        : table_(std::move(from)), key_(std::move(key)), flight_(std::move(which)) {}
    flight_departure(flight_departure&&) = default;
    flight_departure& operator=(flight_departure&&) = delete;
    ~flight_departure() {
        if (table_ != nullptr) table_->remove(key_, flight_.get());
    }

private:
    std::shared_ptr<table> table_;  // null: moved from
    Key key_;
    std::shared_ptr<shared_flight<T>> flight_;
};

template <class Departure, class T, class F, class... Args>
task<result<T>> fly([[maybe_unused]] Departure at_the_end, F fn, Args... args) {
    auto ended = co_await attempt(fn, std::move(args)...);
    co_return ended.take();
}

template <class T>
class [[nodiscard]] flight_operation : public sole_operation<flight_operation<T>> {
public:
    using result_type = result<flown<T>>;
    explicit flight_operation(std::shared_ptr<shared_flight<T>> f) noexcept
        : flight_(std::move(f)), leaf_(*flight_->landing) {}
    flight_operation(flight_operation&&) noexcept = default;

    join_leaf& the_leaf() noexcept { return leaf_; }
    result_type take(std::size_t) {
        const result<T>& landed = flight_->landing->share();
        if (!landed) return fail(landed.error());
        return flown<T>{*landed, flight_->callers > 1};
    }

private:
    std::shared_ptr<shared_flight<T>> flight_;
    join_leaf leaf_;
};

}  // namespace detail

/// T and Key are copied; a Hash or an == that throws ends the process when a flight leaves the
/// table. Any thread may hold it. Flights go on when it is gone.
template <class Key, class T, class Hash = seeded_hash>
class single_flight {
    static_assert(std::copy_constructible<T>, "every caller gets a copy of the value");
    static_assert(std::is_nothrow_move_constructible_v<Key>, "a flight takes its key along");
    using table = detail::flight_table<Key, T, Hash>;
    using departure = detail::flight_departure<Key, T, Hash>;

public:
    explicit single_flight(Hash hash = Hash{}) : table_(std::make_shared<table>(std::move(hash))) {}
    single_flight(const single_flight&) = delete;
    single_flight& operator=(const single_flight&) = delete;

    /// Operation: waits for the key's flight and gives result<flown<T>>: its value, the error code
    /// that it ended with, or its exception, thrown to every caller. This call starts fn(args...),
    /// plain or a coroutine, in a task of its own if the key has no flight, awaited or not; else fn
    /// is dropped. Cancelling the wait, or losing a race, leaves the flight going for others; a
    /// failure that nobody waits for any more is dropped. fn must not rely on the context of its
    /// caller, whose end would fail all (without_cancel), nor wait for its own key, which would be
    /// for ever. If the runtime is shut down meanwhile callers get errc::canceled as
    /// std::system_error. Throws std::logic_error on a thread that runs no tasks.
    template <class F, class... Args>
        requires std::convertible_to<detail::call_result<F&, Args...>, result<T>>
    auto call(Key key, F fn, Args... args) {
        detail::scheduler& here = detail::scheduler_here("single_flight::call()");
        auto [flight, is_new] = table_->join(key);
        if (is_new) {
            flight->landing->disregard();
            detail::join_completion<result<T>> landing(flight->landing);
            departure at_the_end(table_, std::move(key), flight);
            detail::start_detached(here,
                                   detail::run_joined<result<T>>(
                                       std::move(landing), &detail::fly<departure, T, F, Args...>,
                                       std::move(at_the_end), std::move(fn), std::move(args)...));
        }
        return detail::flight_operation<T>(std::move(flight));
    }

    /// The next call for this key starts a flight of its own; who waits for the present one still
    /// gets its result. Never waits.
    void forget(const Key& key) noexcept { table_->remove(key, nullptr); }

private:
    std::shared_ptr<table> table_;  // shared with the flights
};

}  // namespace sluice
