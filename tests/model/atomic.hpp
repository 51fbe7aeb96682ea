#pragma once

// What the seam offers, under the explorer: std::atomic's interface, and plain data that is
// watched for races.

#include <cstring>
#include <type_traits>

#include "world.hpp"

namespace sluice::model {

struct static_storage {};  // an atomic that is there before the program begins

template <class T>
class atomic {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(word));

public:
    using value_type = T;

    atomic() noexcept : atomic(T{}) {}
    atomic(T value) noexcept : location_(world::current().create_atomic(this, pack(value))) {}
    atomic(T value, static_storage) noexcept
        : location_(world::current().create_atomic(this, pack(value), true)) {}
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;
    ~atomic() { world::current().destroy_atomic(this, location_); }

    T load(order o = order::seq_cst) const noexcept {
        return unpack(world::current().load(this, location_, o));
    }
    void store(T value, order o = order::seq_cst) noexcept {
        world::current().store(this, location_, pack(value), o);
    }
    operator T() const noexcept { return load(); }
    T operator=(T value) noexcept {
        store(value);
        return value;
    }

    T exchange(T value, order o = order::seq_cst) noexcept {
        return update(o, [&](T) { return value; });
    }
    T fetch_add(auto n, order o = order::seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old + n); });
    }
    T fetch_sub(auto n, order o = order::seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old - n); });
    }
    T fetch_or(T bits, order o = order::seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old | bits); });
    }
    T fetch_and(T bits, order o = order::seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old & bits); });
    }
    T fetch_xor(T bits, order o = order::seq_cst) noexcept {
        return update(o, [&](T old) { return static_cast<T>(old ^ bits); });
    }

    bool compare_exchange_strong(T& expected, T desired, order success, order failure) noexcept {
        return compare_exchange(expected, desired, success, failure, false);
    }
    bool compare_exchange_strong(T& expected, T desired, order o = order::seq_cst) noexcept {
        return compare_exchange(expected, desired, o, on_failure(o), false);
    }
    bool compare_exchange_weak(T& expected, T desired, order success, order failure) noexcept {
        return compare_exchange(expected, desired, success, failure, true);
    }
    bool compare_exchange_weak(T& expected, T desired, order o = order::seq_cst) noexcept {
        return compare_exchange(expected, desired, o, on_failure(o), true);
    }

private:
    static word pack(T value) noexcept {
        word w = 0;
        std::memcpy(&w, &value, sizeof value);
        return w;
    }
    static T unpack(word w) noexcept {
        std::remove_const_t<T> value;
        std::memcpy(&value, &w, sizeof value);
        return value;
    }
    static order on_failure(order o) noexcept {
        if (o == order::acq_rel) return order::acquire;
        return o == order::release ? order::relaxed : o;
    }

    template <class Function>
    T update(order o, Function f) noexcept {
        const word old = world::current().begin_update(this, location_, o);
        world::current().end_update(location_, old, pack(f(unpack(old))), o);
        return unpack(old);
    }

    bool compare_exchange(T& expected, T desired, order success, order failure, bool weak) {
        word e = pack(expected);
        const bool done = world::current().compare_exchange(this, location_, e, pack(desired),
                                                            success, failure, weak);
        if (!done) expected = unpack(e);
        return done;
    }

    index location_;
};

/// Data that other words protect. Each access must happen after the conflicting ones before it.
template <class T>
class plain {
public:
    plain() : plain(T{}) {}
    plain(T value) : value_(std::move(value)) { written(); }
    plain(const plain& other) noexcept : plain(static_cast<T>(other)) {}
    plain& operator=(const plain& other) { return *this = static_cast<T>(other); }
    ~plain() { written(); }

    plain& operator=(T value) {
        written();
        value_ = std::move(value);
        return *this;
    }
    operator T() const {
        world::current().read_plain(reads_, writes_);
        return value_;
    }
    T operator->() const { return static_cast<T>(*this); }
    plain& operator+=(auto n) { return *this = static_cast<T>(static_cast<T>(*this) + n); }
    plain& operator-=(auto n) { return *this = static_cast<T>(static_cast<T>(*this) - n); }
    plain& operator++() { return *this += 1; }
    plain& operator--() { return *this -= 1; }

private:
    void written() { world::current().write_plain(reads_, writes_); }

    T value_;
    mutable footprint reads_;
    footprint writes_;
};

}  // namespace sluice::model
