// trace_log: log lines that say by themselves which request they are about. Needs spdlog.
//
//     trace_log log(spdlog::default_logger(), span.ctx());
//     log.info("charged {} cents", cents);
//     // … trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7 charged 250 cents
//
// When to use: in a program that logs by spdlog and passes contexts.
// When not: for lines of the program as a whole. Use the logger itself.
//
// Rejected: a flag for spdlog's patterns that reads the ids from a thread-local variable. A task
// goes on where another thread resumes it, and the ids would stay behind.
//
// Cost: making one writes 75 characters; a line copies them. A level that is switched off costs one
// comparison. spdlog's sinks write where they are called, so that a slow one blocks a worker: give
// it an asynchronous logger.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include <sluice/patterns/trace_context.hpp>

namespace sluice {

/// A logger for the work that is done in one context. Copied and moved freely; any thread, as the
/// logger below it. Its lines go there with the ids of the context's trace before the message, or
/// unchanged if the context has no trace.
class trace_log {
public:
    trace_log(std::shared_ptr<spdlog::logger> to, const context& ctx) : to_(std::move(to)) {
        if (const trace_context* const here = trace_of(ctx))
            ids_ = "trace_id=" + here->trace.text() + " span_id=" + here->span.text() + " ";
    }

    /// Writes a line, formatted as spdlog does, if the logger writes that level. Throws what a
    /// formatter of yours throws.
    template <class... Args>
    void log(spdlog::level::level_enum level, spdlog::format_string_t<Args...> format,
             Args&&... args) const {
        if (!to_->should_log(level)) return;
        to_->log(level, spdlog::string_view_t(
                            ids_ + spdlog::fmt_lib::format(format, std::forward<Args>(args)...)));
    }

    template <class... Args>
    void debug(spdlog::format_string_t<Args...> format, Args&&... args) const {
        log(spdlog::level::debug, format, std::forward<Args>(args)...);
    }
    template <class... Args>
    void info(spdlog::format_string_t<Args...> format, Args&&... args) const {
        log(spdlog::level::info, format, std::forward<Args>(args)...);
    }
    template <class... Args>
    void warn(spdlog::format_string_t<Args...> format, Args&&... args) const {
        log(spdlog::level::warn, format, std::forward<Args>(args)...);
    }
    template <class... Args>
    void error(spdlog::format_string_t<Args...> format, Args&&... args) const {
        log(spdlog::level::err, format, std::forward<Args>(args)...);
    }

private:
    std::shared_ptr<spdlog::logger> to_;
    std::string ids_;  // with the space behind them
};

}  // namespace sluice
