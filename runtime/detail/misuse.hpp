// The end of a program that breaks a rule which nobody could be told of by an exception.
#pragma once

#include <functional>
#include <string>

namespace sluice::detail {

/// Prints "sluice: <what>" to the standard error, with how to repeat it, and aborts.
[[noreturn]] void die_of_misuse(const char* what) noexcept;

/// While it lives, what ends the program on this thread says how to repeat that: a simulation's
/// seed.
class repeatable {
public:
    explicit repeatable(const std::function<std::string()>& how) noexcept;
    repeatable(const repeatable&) = delete;
    repeatable& operator=(const repeatable&) = delete;
    ~repeatable();

private:
    const std::function<std::string()>* const outer_;
};

/// " (repeat it with SLUICE_SEED=17)", or nothing.
std::string how_to_repeat();

}  // namespace sluice::detail
