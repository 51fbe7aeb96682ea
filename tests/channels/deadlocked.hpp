// Tests of what waits for ever: the only way to see it is that nothing else can happen.
#pragma once

#include <string>

#include "support.hpp"

/// Runs fn on one worker, which must end in a deadlock; gives its report.
inline std::string deadlock_of(const test_body& fn) {
    std::string report = "no deadlock";
    try {
        sluice::run(with_workers(1), fn);
    } catch (const sluice::deadlock& stuck) {
        report = stuck.what();
    }
    report_expectations();
    return report;
}
