// file_sink: texts go to a C stream, and its errors to whoever wrote.
//
// When to use: for the exporters of traces (otlp_json, chrome_trace), which call it where it may
// block.
// When not: in a task. A write to a slow file would block a worker.
//
// Cost: each text is flushed, so that what was written is there if the program dies.
#pragma once

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>

#include <sluice/runtime/result.hpp>

namespace sluice {

class file_sink {
public:
    /// The stream must outlive it, and is not closed by it.
    explicit file_sink(std::FILE* to) noexcept : to_(to) {}

    /// Writes the text and flushes; gives errno when not all could be written. As thread-safe as
    /// the stream.
    result<> operator()(std::string_view text) {
        errno = 0;
        if (std::fwrite(text.data(), 1, text.size(), to_) == text.size() && std::fflush(to_) == 0)
            return {};
        return fail(std::error_code(errno != 0 ? errno : EIO, std::generic_category()));
    }

private:
    std::FILE* to_;
};

}  // namespace sluice
