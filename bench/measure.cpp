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

template <class Body>
void add_figure(const std::string& name, Body body) {
    const auto measure = [=](benchmark::State& state) {
        while (state.KeepRunning()) {
            const std::optional<double> figure = body();
            if (figure) state.counters["figure"] = *figure;
            check(state, figure.has_value());
        }
    };
    benchmark::RegisterBenchmark(name.c_str(), measure)->Iterations(1)->UseRealTime();
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

measured::measured(const char* subject, task_figure body) {
    add_figure(std::string(subject) + "/sluice", [=] { return sluice::run(body); });
}

measured::measured(const char* subject, thread_figure body) {
    add_figure(std::string(subject) + "/threads", body);
}

BENCHMARK_MAIN();
