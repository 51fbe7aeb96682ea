// What a runtime tells about itself.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

namespace sluice {

/// A snapshot of counters; each is exact when it is read, their sum only while the runtime is
/// still.
struct runtime_stats {
    unsigned workers = 0;
    std::string driver;         // "io_uring" or "epoll"
    std::string driver_reason;  // why that one
    std::int64_t tasks = 0;     // alive now
    std::int64_t started = 0;   // ever
    std::int64_t switches = 0;  // times a task was resumed by a worker
    std::int64_t steals = 0;    // times a worker took tasks from another
    std::int64_t parks = 0;     // times a worker went to sleep
    std::int64_t stalls = 0;    // times a worker was seen to compute for more than 10 ms; a worker
                                // that is alone is not watched
};

/// A live task, for reports.
struct task_info {
    std::source_location origin;  // its coroutine function
    std::vector<std::source_location>
        stack;              // the co_await it stands at, outermost coroutine first
    std::string waits_for;  // "recv on channel 0x…", "ready to run", "ready to start", …

    const void* frame = nullptr;  // with `started`, tells it from every other task
    std::uint64_t started = 0;    // grows from a task to those it starts

    std::string describe() const;  // one line
};

}  // namespace sluice
