#pragma once

// What the models queue: a runnable with a payload that is written before it is published, and a
// count of how often it was run.

#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/seam.hpp>

#include "explore.hpp"

namespace sluice::model {

struct task : detail::runnable {
    detail::plain<int> number = -1;
    detail::plain<int> runs = 0;
};

/// Writes what running the task needs to see.
inline detail::runnable* prepared(task& t, int number) {
    t.number = number;
    return &t;
}

/// The number of the task, which runs now.
inline int run(detail::runnable* r) {
    task& t = static_cast<task&>(*r);
    check(t.number != -1, "the task was not published whole");
    check(t.runs == 0, "a task ran twice");
    t.runs = 1;
    return t.number;
}

}  // namespace sluice::model
