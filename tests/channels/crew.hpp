// Tasks dealt out so that they meet in parallel.
//
// Two tasks that hand values to each other stay on one worker, however many there are. To have them
// meet on two threads in every round each test also runs with its tasks dealt out to two runtimes.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/spawn.hpp>

#include "support.hpp"

/// Runs its tasks on one worker, on two, or on two runtimes in turn.
class crew {
public:
    explicit crew(unsigned runtimes, unsigned workers) {
        for (unsigned i = 0; i < runtimes; ++i) {
            runtimes_.push_back(
                std::make_unique<sluice::runtime>(sluice::options{.workers = workers}));
        }
    }

    template <class F, class... Args>
    void go(F fn, Args... args) {
        tasks_.push_back(
            runtimes_[tasks_.size() % runtimes_.size()]->spawn(fn, std::move(args)...));
    }

    /// Until all tasks have ended.
    void wait() {
        for (auto& t : tasks_) t.get();
        tasks_.clear();
    }

private:
    std::vector<std::unique_ptr<sluice::runtime>> runtimes_;
    std::vector<sluice::join_handle<>> tasks_;
};

template <class Test>
void on_crews(Test test) {
    for (const auto& [runtimes, workers] :
         {std::pair{1u, 1u}, std::pair{1u, 2u}, std::pair{2u, 1u}}) {
        CAPTURE(runtimes, workers);
        crew c(runtimes, workers);
        test(c);
        report_expectations();
    }
}
