// The resident memory of a task that waits on a channel. What the kernel keeps for a thread is not
// in the figure for threads.

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <fstream>
#include <latch>
#include <thread>
#include <vector>

namespace {

double resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    double size = 0;
    double resident = 0;
    statm >> size >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

sluice::task<> wait_at(sluice::chan<> gate, sluice::wait_group* ready, sluice::wait_group* ended) {
    ready->done();
    co_await gate.recv();
    ended->done();
}

sluice::task<> park_tasks(int n, double* bytes) {
    auto gate = sluice::make_chan<>();
    sluice::wait_group ready;
    sluice::wait_group ended;
    const double before = resident_bytes();
    ready.add(n);
    ended.add(n);
    for (int i = 0; i < n; ++i) sluice::go(wait_at, gate, &ready, &ended);
    co_await ready.wait();
    *bytes = resident_bytes() - before;
    gate.close();
    co_await ended.wait();
}

double park_threads(int n) {
    std::latch gate(1);
    std::latch ready(n);
    std::vector<std::jthread> threads;
    const double before = resident_bytes();
    for (int i = 0; i < n; ++i) {
        threads.emplace_back([&] {
            ready.count_down();
            gate.wait();
        });
    }
    ready.wait();
    const double bytes = resident_bytes() - before;
    gate.count_down();
    return bytes;
}

void tasks(benchmark::State& state) {
    constexpr int n = 1'000'000;
    double bytes = 0;
    for (auto _ : state) sluice::run(park_tasks, n, &bytes);
    state.counters["bytes"] = bytes / n;
}

void threads(benchmark::State& state) {
    constexpr int n = 4'000;
    double bytes = 0;
    for (auto _ : state) bytes = park_threads(n);
    state.counters["bytes"] = bytes / n;
}

BENCHMARK(tasks)->Name("parked_memory/sluice")->Iterations(1)->UseRealTime();
BENCHMARK(threads)->Name("parked_memory/threads")->Iterations(1)->UseRealTime();

}  // namespace
