#include "measure.hpp"

#include <sluice/runtime/run.hpp>

#include <benchmark/benchmark.h>

#include <string>

namespace {

template <class Body>
void add(const std::string& name, Body body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->MeasureProcessCPUTime()->UseRealTime();
}

void check(benchmark::State& state, bool correct) {
    if (!correct) state.SkipWithError("wrong result");
}

sluice::task<> repeat(benchmark::State* state, std::int64_t n, task_workload body) {
    while (state->KeepRunningBatch(n)) {
        const bool correct = co_await body(n);
        check(*state, correct);
    }
}

}  // namespace

measured::measured(const char* subject, std::int64_t n, task_workload body) {
    add(std::string(subject) + "/sluice",
        [=](benchmark::State& state) { sluice::run(repeat, &state, n, body); });
}

measured::measured(const char* subject, std::int64_t n, thread_workload body) {
    add(std::string(subject) + "/threads", [=](benchmark::State& state) {
        while (state.KeepRunningBatch(n)) check(state, body(n));
    });
}

BENCHMARK_MAIN();
