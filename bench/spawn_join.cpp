// Starts tasks that do next to nothing and waits for all of them.

#include "measure.hpp"

#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <atomic>
#include <thread>
#include <vector>

namespace {

using counter = std::atomic<std::int64_t>;

sluice::task<> count_one(counter* ran, sluice::wait_group* tasks) {
    ran->fetch_add(1, std::memory_order_relaxed);
    tasks->done();
    co_return;
}

sluice::task<bool> spawn_join(std::int64_t n) {
    static counter ran;  // away from the wait_group, as in Go, where each is an object of its own
    ran = 0;
    sluice::wait_group tasks;
    for (std::int64_t i = 0; i < n; ++i) {
        tasks.add(1);
        sluice::go(count_one, &ran, &tasks);
    }
    co_await tasks.wait();
    co_return ran == n;
}

bool spawn_join_threads(std::int64_t n) {
    counter ran = 0;
    std::vector<std::jthread> threads;
    for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&] { ran.fetch_add(1, std::memory_order_relaxed); });
    threads.clear();
    return ran == n;
}

const measured tasks("spawn_join", 1'000'000, spawn_join);
const measured threads("spawn_join", 10'000, spawn_join_threads);

}  // namespace
