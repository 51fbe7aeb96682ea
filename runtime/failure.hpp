// failure: why something ended, as an error code or an exception.
#pragma once

#include <exception>
#include <string>
#include <system_error>
#include <type_traits>

namespace sluice {

/// An error code, an exception, or nothing. Cheap to copy.
class failure {
public:
    failure() noexcept = default;
    failure(std::error_code code) noexcept : code_(code) {}
    template <class Enum>
        requires std::is_error_code_enum_v<Enum>
    failure(Enum e) noexcept : code_(make_error_code(e)) {}
    failure(std::exception_ptr e) noexcept : exception_(std::move(e)) {}

    /// True when there is one.
    explicit operator bool() const noexcept { return code_ || exception_; }

    /// The error code; that of a std::system_error; zero for any other exception.
    std::error_code code() const noexcept;
    const std::exception_ptr& exception() const noexcept { return exception_; }
    std::string message() const;

    /// Throws the exception, or std::system_error with the code. There must be one.
    [[noreturn]] void raise() const;

    friend bool operator==(const failure&, const failure&) noexcept = default;

private:
    std::error_code code_;
    std::exception_ptr exception_;
};

}  // namespace sluice
