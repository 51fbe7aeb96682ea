// What the machine and the environment variables say about a runtime's set-up.
#pragma once

#include <charconv>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include <sluice/runtime/driver.hpp>

namespace sluice::detail {

/// What that variable says; none when it is not set, or empty.
inline std::optional<std::string_view> text_from_environment(const char* variable) {
    const char* const text = std::getenv(variable);
    if (text == nullptr || *text == '\0') return std::nullopt;
    return text;
}

/// The number in that variable; none when it is not set, or empty. Throws std::invalid_argument for
/// nonsense, or less than `least`.
template <class Number>
std::optional<Number> number_from_environment(const char* variable, Number least = 0) {
    const auto text = text_from_environment(variable);
    if (!text) return std::nullopt;
    const std::string_view s = *text;
    Number n = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (error == std::errc{} && end == s.data() + s.size() && n >= least) return n;
    throw std::invalid_argument("sluice: " + std::string(variable) + " is \"" + std::string(s) +
                                "\", not a number" +
                                (least == 0 ? "" : " from " + std::to_string(least) + " up"));
}

/// SLUICE_WORKERS, else `asked`, else the CPUs this process may use. Throws std::invalid_argument
/// for nonsense.
unsigned workers_from_environment(unsigned asked);

/// SLUICE_DRIVER, else `asked`. Throws std::invalid_argument for an unknown name.
driver_kind driver_from_environment(driver_kind asked);

}  // namespace sluice::detail
