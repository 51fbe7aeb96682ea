// The end of a program that breaks a rule which nobody could be told of by an exception.
#pragma once

namespace sluice::detail {

/// Prints "sluice: <what>" to the standard error and aborts.
[[noreturn]] void die_of_misuse(const char* what) noexcept;

}  // namespace sluice::detail
