// A pool of four workers with a queue of 128, and jobs that do next to nothing.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/patterns/worker_pool.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace {

constexpr int workers = 4;
constexpr int queue = 128;

/// Jobs of the same worker come one after the other, of different ones at the same time.
struct alignas(64) tally {
    std::atomic<std::int64_t> done = 0;
};
using tallies = std::array<tally, 16>;

std::int64_t sum(const tallies& all) {
    std::int64_t total = 0;
    for (const tally& each : all) total += each.done;
    return total;
}

sluice::task<bool> jobs(std::int64_t n) {
    tallies all;
    sluice::worker_pool pool(workers, queue);
    for (std::int64_t i = 0; i < n; ++i) {
        const auto posted = co_await pool.post([](tally* t) { ++t->done; }, &all[i % 16]);
        if (!posted) co_return false;
    }
    pool.close();
    co_await pool.wait();
    co_return sum(all) == n;
}

bool jobs_threads(std::int64_t n) {
    tallies all;
    thread_channel<std::function<void()>> jobs(queue);
    std::vector<std::jthread> threads;
    for (int w = 0; w < workers; ++w) {
        threads.emplace_back([&] {
            while (auto job = jobs.recv()) (*job)();
        });
    }
    for (std::int64_t i = 0; i < n; ++i) jobs.send([t = &all[i % 16]] { ++t->done; });
    jobs.close();
    threads.clear();
    return sum(all) == n;
}

const measured tasks("pool_jobs", 1'000'000, jobs);
const measured threads("pool_jobs", 200'000, jobs_threads);

}  // namespace
