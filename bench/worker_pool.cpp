// Four tasks take jobs of about a microsecond of arithmetic from a buffer of 128, and the same
// arithmetic alone, to compare with.

#include "arithmetic.hpp"
#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>

#include <atomic>
#include <thread>
#include <vector>

namespace {

constexpr int workers = 4;
constexpr int job = 1;  // microseconds

bool arithmetic_alone(std::int64_t n) {
    std::uint64_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += arithmetic(i % kinds, job);
    return sum == expected_sum(n, job);
}

sluice::task<> work(sluice::chan<std::uint64_t> jobs, sluice::chan<std::uint64_t> sums) {
    std::uint64_t sum = 0;
    while (auto next = co_await jobs.recv()) sum += arithmetic(*next, job);
    co_await sums.send(sum);
}

sluice::task<bool> pool(std::int64_t n) {
    auto jobs = sluice::make_chan<std::uint64_t>(128);
    auto sums = sluice::make_chan<std::uint64_t>();
    for (int w = 0; w < workers; ++w) sluice::go(work, jobs, sums);
    for (std::int64_t i = 0; i < n; ++i) co_await jobs.send(i % kinds);
    jobs.close();
    std::uint64_t sum = 0;
    for (int w = 0; w < workers; ++w) {
        const auto part = co_await sums.recv();
        sum += *part;
    }
    co_return sum == expected_sum(n, job);
}

sluice::task<bool> arithmetic_in_task(std::int64_t n) {
    co_return arithmetic_alone(n);
}

bool pool_threads(std::int64_t n) {
    thread_channel<std::uint64_t> jobs(128);
    std::atomic<std::uint64_t> sum = 0;
    std::vector<std::jthread> threads;
    for (int w = 0; w < workers; ++w) {
        threads.emplace_back([&] {
            std::uint64_t part = 0;
            while (auto next = jobs.recv()) part += arithmetic(*next, job);
            sum += part;
        });
    }
    for (std::int64_t i = 0; i < n; ++i) jobs.send(i % kinds);
    jobs.close();
    threads.clear();
    return sum == expected_sum(n, job);
}

const measured alone("arithmetic", 160'000, arithmetic_in_task);
const measured alone_threads("arithmetic", 160'000, arithmetic_alone);
const measured tasks("worker_pool", 160'000, pool);
const measured threads("worker_pool", 160'000, pool_threads);

}  // namespace
