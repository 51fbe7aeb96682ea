// Signals as contexts.
#pragma once

#include <initializer_list>
#include <memory>
#include <system_error>
#include <utility>

#include <sluice/runtime/context.hpp>

namespace sluice {

/// Error codes that name signals: value() is the number, message() is like "SIGTERM (Terminated)".
const std::error_category& signal_category() noexcept;

/// Stops listening for signals and ends the context, when called or let go.
class [[nodiscard]] signal_stop_function {
public:
    class registration;

    explicit signal_stop_function(std::unique_ptr<registration> r) noexcept;
    signal_stop_function(signal_stop_function&&) noexcept;
    signal_stop_function& operator=(signal_stop_function&&) noexcept;
    ~signal_stop_function();
    void operator()() noexcept;

private:
    std::unique_ptr<registration> registration_;
};

/// A context that ends with errc::canceled when the process receives one of the signals; its cause
/// names the signal. Until it is stopped further ones are swallowed; when the last context for a
/// signal is stopped, its former action comes back. Several contexts may listen for one signal. It
/// arrives even if all threads of the program block it: a thread of the library takes it.
/// Called in a task; in a simulation no signal comes. Throws std::system_error for a signal that
/// cannot be caught.
std::pair<context, signal_stop_function> notify_context(std::initializer_list<int> signals);
std::pair<context, signal_stop_function> notify_context(const context& parent,
                                                        std::initializer_list<int> signals);

}  // namespace sluice
