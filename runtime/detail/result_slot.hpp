// Room for what a coroutine or a function leaves behind: nothing yet, a value, or an exception.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace sluice::detail {

template <class T>
class result_slot {
    using stored = std::conditional_t<
        std::is_void_v<T>, char,
        std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;

public:
    result_slot() noexcept {}
    result_slot(const result_slot&) = delete;
    result_slot& operator=(const result_slot&) = delete;
    ~result_slot() {
        if (state_ == state::value) std::destroy_at(&value_);
        if (state_ == state::error) std::destroy_at(&error_);
    }

    template <class... Args>
    void set_value(Args&&... args) {
        if constexpr (std::is_reference_v<T>) {
            ::new (static_cast<void*>(&value_)) stored(std::addressof(args)...);
        } else {
            ::new (static_cast<void*>(&value_)) stored(std::forward<Args>(args)...);
        }
        state_ = state::value;
    }

    void set_error(std::exception_ptr e) noexcept {
        ::new (static_cast<void*>(&error_)) std::exception_ptr(std::move(e));
        state_ = state::error;
    }

    bool is_set() const noexcept { return state_ != state::empty; }
    bool has_error() const noexcept { return state_ == state::error; }
    const std::exception_ptr& error() const noexcept { return error_; }

    /// The value in place, or throws the exception, which stays too.
    auto share() const
        -> std::conditional_t<std::is_void_v<T>, void, std::add_lvalue_reference_t<const T>> {
        if (state_ == state::error) std::rethrow_exception(error_);
        if constexpr (std::is_reference_v<T>) {
            return *value_;
        } else if constexpr (!std::is_void_v<T>) {
            return value_;
        }
    }

    /// The value, moved out; or throws the exception, which then belongs to the calling thread:
    /// what is left in the slot may end on another one. Once.
    T take() {
        if (state_ == state::error) {
            if (error_ == nullptr) throw std::logic_error("sluice: a result can be taken once");
            std::rethrow_exception(std::exchange(error_, nullptr));
        }
        if constexpr (std::is_reference_v<T>) {
            return static_cast<T>(*value_);
        } else if constexpr (!std::is_void_v<T>) {
            return std::move(value_);
        }
    }

private:
    enum class state : unsigned char { empty, value, error };

    union {
        stored value_;
        std::exception_ptr error_;
    };
    state state_ = state::empty;
};

}  // namespace sluice::detail
