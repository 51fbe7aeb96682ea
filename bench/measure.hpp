// What every subject shares: a workload becomes a benchmark by declaring a `measured` for it.
#pragma once

#include <sluice/runtime/task.hpp>

#include <cstdint>
#include <optional>

/// A workload does n operations and tells whether the results were right.
using task_workload = sluice::task<bool> (*)(std::int64_t n);
using thread_workload = bool (*)(std::int64_t n);

/// One whose figure is not the time of an operation gives it: nothing if the results were wrong.
using task_figure = sluice::task<std::optional<double>> (*)();
using thread_figure = std::optional<double> (*)();

/// Registers "<subject>/sluice" or "<subject>/threads"; the time of an iteration is that of an
/// operation. A figure is taken once, and is the counter "figure".
struct measured {
    measured(const char* subject, std::int64_t n, task_workload body);
    measured(const char* subject, std::int64_t n, thread_workload body);
    measured(const char* subject, task_figure body);
    measured(const char* subject, thread_figure body);
};
