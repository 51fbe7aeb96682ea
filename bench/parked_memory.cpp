// The resident memory of a task that waits on a channel. What the kernel keeps for a thread is not
// in the figure for threads.

#include "measure.hpp"
#include "resident.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <latch>
#include <thread>
#include <vector>

namespace {

sluice::task<> wait_at(sluice::chan<> gate, sluice::wait_group* ready, sluice::wait_group* ended) {
    ready->done();
    co_await gate.recv();
    ended->done();
}

sluice::task<std::optional<double>> park_tasks() {
    constexpr int n = 1'000'000;
    auto gate = sluice::make_chan<>();
    sluice::wait_group ready;
    sluice::wait_group ended;
    const double before = resident_bytes();
    ready.add(n);
    ended.add(n);
    for (int i = 0; i < n; ++i) sluice::go(wait_at, gate, &ready, &ended);
    co_await ready.wait();
    const double bytes = resident_bytes() - before;
    gate.close();
    co_await ended.wait();
    co_return bytes / n;
}

std::optional<double> park_threads() {
    constexpr int n = 4'000;
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
    return bytes / n;
}

const measured tasks("parked_memory", park_tasks);
const measured threads("parked_memory", park_threads);

}  // namespace
