// What every subject shares: a workload becomes a benchmark by declaring a `measured` for it.
#pragma once

#include <sluice/runtime/task.hpp>

#include <cstdint>

/// A workload does n operations and tells whether the results were right.
using task_workload = sluice::task<bool> (*)(std::int64_t n);
using thread_workload = bool (*)(std::int64_t n);

/// Registers "<subject>/sluice" or "<subject>/threads"; the time of an iteration is that of an
/// operation.
struct measured {
    measured(const char* subject, std::int64_t n, task_workload body);
    measured(const char* subject, std::int64_t n, thread_workload body);
};
