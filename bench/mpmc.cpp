// Tasks send to as many others through one channel: four to four, with a buffer of 128 and with
// none; and `channel` of the public runtime-benchmarks, 10,000,000 values with a buffer of 65,536,
// as its own programs with bounded queues have it.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace {

constexpr int four = 4;
constexpr std::size_t suite_values = 10'000'000;
constexpr std::size_t suite_capacity = 65'536;

/// What n / tasks values from 0 on give, sent as often as there are tasks.
constexpr std::size_t expected_sum(std::size_t n, std::size_t tasks) {
    const auto share = n / tasks;
    return tasks * (share * (share - 1) / 2);
}

sluice::task<> produce(sluice::chan<std::size_t> values, std::size_t n,
                       sluice::wait_group* producers) {
    for (std::size_t i = 0; i < n; ++i) co_await values.send(i);
    producers->done();
}

sluice::task<> consume(sluice::chan<std::size_t> values, sluice::chan<std::size_t> sums) {
    std::size_t sum = 0;
    while (auto value = co_await values.recv()) sum += *value;
    co_await sums.send(sum);
}

sluice::task<bool> mpmc(std::size_t n, std::size_t tasks, std::size_t capacity) {
    auto values = sluice::make_chan<std::size_t>(capacity);
    auto sums = sluice::make_chan<std::size_t>();
    sluice::wait_group producers;
    producers.add(tasks);
    for (std::size_t t = 0; t < tasks; ++t) sluice::go(produce, values, n / tasks, &producers);
    for (std::size_t t = 0; t < tasks; ++t) sluice::go(consume, values, sums);
    co_await producers.wait();
    values.close();
    std::size_t sum = 0;
    for (std::size_t t = 0; t < tasks; ++t) {
        const auto part = co_await sums.recv();
        sum += *part;
    }
    co_return sum == expected_sum(n, tasks);
}

template <int capacity>
sluice::task<bool> four_to_four(std::int64_t n) {
    return mpmc(n, four, capacity);
}

/// As many producers and consumers, together, as there are workers.
sluice::task<bool> suite(std::int64_t) {
    return mpmc(suite_values, std::max(1u, sluice::stats().workers / 2), suite_capacity);
}

sluice::task<bool> suite_four(std::int64_t) {
    return mpmc(suite_values, four, suite_capacity);
}

template <int capacity>
bool four_to_four_threads(std::int64_t n) {
    thread_channel<std::size_t> values(capacity);
    std::atomic<std::size_t> sum = 0;
    std::vector<std::jthread> consumers;
    for (int t = 0; t < four; ++t) {
        consumers.emplace_back([&] {
            std::size_t part = 0;
            while (auto value = values.recv()) part += *value;
            sum += part;
        });
    }
    std::vector<std::jthread> producers;
    for (int t = 0; t < four; ++t) {
        producers.emplace_back([&] {
            for (std::int64_t i = 0; i < n / four; ++i) values.send(i);
        });
    }
    producers.clear();
    values.close();
    consumers.clear();
    return sum == expected_sum(n, four);
}

const measured tasks("mpmc", 4'000'000, four_to_four<128>);
const measured tasks_unbuffered("mpmc_unbuffered", 1'000'000, four_to_four<0>);
const measured tasks_suite("suite_channel", 1, suite);
const measured tasks_suite_four("suite_channel_4", 1, suite_four);
const measured threads("mpmc", 400'000, four_to_four_threads<128>);
const measured threads_unbuffered("mpmc_unbuffered", 40'000, four_to_four_threads<1>);

}  // namespace
