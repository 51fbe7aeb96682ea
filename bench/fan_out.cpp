// Fan-out and fan-in: four tasks take jobs of about ten microseconds of arithmetic from one
// unbuffered channel and send what they give to another.

#include "arithmetic.hpp"
#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <thread>
#include <vector>

namespace {

using sluice::chan;

constexpr int workers = 4;
constexpr int job = 10;  // microseconds

sluice::task<> produce(chan<std::uint64_t> jobs, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) co_await jobs.send(i % kinds);
    jobs.close();
}

sluice::task<> work(chan<std::uint64_t> jobs, chan<std::uint64_t> results) {
    while (auto next = co_await jobs.recv()) co_await results.send(arithmetic(*next, job));
}

sluice::task<> close_after(sluice::wait_group* working, chan<std::uint64_t> results) {
    co_await working->wait();
    results.close();
}

sluice::task<bool> fan_out(std::int64_t n) {
    auto jobs = sluice::make_chan<std::uint64_t>();
    auto results = sluice::make_chan<std::uint64_t>();
    sluice::wait_group working;
    sluice::go(produce, jobs, n);
    for (int w = 0; w < workers; ++w) working.go(work, jobs, results);
    sluice::go(close_after, &working, results);
    std::uint64_t sum = 0;
    while (auto result = co_await results.recv()) sum += *result;
    co_return sum == expected_sum(n, job);
}

bool fan_out_threads(std::int64_t n) {
    thread_channel<std::uint64_t> jobs;
    thread_channel<std::uint64_t> results;
    std::jthread producer([&] {
        for (std::int64_t i = 0; i < n; ++i) jobs.send(i % kinds);
        jobs.close();
    });
    std::jthread closer([&] {
        std::vector<std::jthread> threads;
        for (int w = 0; w < workers; ++w) {
            threads.emplace_back([&] {
                while (auto next = jobs.recv()) results.send(arithmetic(*next, job));
            });
        }
        threads.clear();
        results.close();
    });
    std::uint64_t sum = 0;
    while (auto result = results.recv()) sum += *result;
    return sum == expected_sum(n, job);
}

const measured tasks("fan_out", 16'000, fan_out);
const measured threads("fan_out", 16'000, fan_out_threads);

}  // namespace
