// result<T> and the errors of bounded operations.
#pragma once

#include <functional>
#include <system_error>
#include <type_traits>

#include <tl/expected.hpp>

namespace sluice {

enum class errc {
    canceled = 1,       // the context was cancelled, or the runtime shut down
    deadline_exceeded,  // the time was up
};

const std::error_category& error_category() noexcept;

inline std::error_code make_error_code(errc e) noexcept {
    return {static_cast<int>(e), error_category()};
}

}  // namespace sluice

template <>
struct std::is_error_code_enum<sluice::errc> : std::true_type {};

namespace sluice {

/// A value or an error. value() throws std::system_error with the code when there is none; *r does
/// not check.
template <class T = void>
class [[nodiscard]] result : public tl::expected<T, std::error_code> {
    using base = tl::expected<T, std::error_code>;

public:
    using value_type = T;
    using base::base;

    template <class U = T>
        requires(!std::is_void_v<U>)
    U& value() & {
        check();
        return **this;
    }
    template <class U = T>
        requires(!std::is_void_v<U>)
    const U& value() const& {
        check();
        return **this;
    }
    template <class U = T>
        requires(!std::is_void_v<U>)
    U&& value() && {
        check();
        return std::move(**this);
    }
    template <class U = T>
        requires std::is_void_v<U>
    void value() const {
        check();
    }

private:
    void check() const {
        if (!this->has_value()) throw std::system_error(this->error());
    }
};

/// The error half of a result: `return fail(errc::canceled);`
inline tl::unexpected<std::error_code> fail(std::error_code e) {
    return tl::unexpected<std::error_code>(e);
}

namespace detail {

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

/// T, but for references, which containers cannot hold.
template <class T>
using storable = std::conditional_t<std::is_reference_v<T>,
                                    std::reference_wrapper<std::remove_reference_t<T>>, T>;

/// result<T>, or T itself where it is a result already.
template <class T>
using flattened = std::conditional_t<is_result<T>, T, result<storable<T>>>;

}  // namespace detail
}  // namespace sluice
