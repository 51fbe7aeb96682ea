// Four tasks send to four others through one channel, with a buffer of 128 and with none.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <atomic>
#include <thread>
#include <vector>

namespace {

constexpr int senders = 4;
constexpr int receivers = 4;

constexpr std::int64_t expected_sum(std::int64_t n) {
    const auto share = n / senders;
    return senders * (share * (share - 1) / 2);
}

sluice::task<> produce(sluice::chan<std::int64_t> values, std::int64_t n,
                       sluice::wait_group* producers) {
    for (std::int64_t i = 0; i < n; ++i) co_await values.send(i);
    producers->done();
}

sluice::task<> consume(sluice::chan<std::int64_t> values, sluice::chan<std::int64_t> sums) {
    std::int64_t sum = 0;
    while (auto value = co_await values.recv()) sum += *value;
    co_await sums.send(sum);
}

template <int capacity>
sluice::task<bool> mpmc(std::int64_t n) {
    auto values = sluice::make_chan<std::int64_t>(capacity);
    auto sums = sluice::make_chan<std::int64_t>();
    sluice::wait_group producers;
    producers.add(senders);
    for (int t = 0; t < senders; ++t) sluice::go(produce, values, n / senders, &producers);
    for (int t = 0; t < receivers; ++t) sluice::go(consume, values, sums);
    co_await producers.wait();
    values.close();
    std::int64_t sum = 0;
    for (int t = 0; t < receivers; ++t) {
        const auto part = co_await sums.recv();
        sum += *part;
    }
    co_return sum == expected_sum(n);
}

template <int capacity>
bool mpmc_threads(std::int64_t n) {
    thread_channel<std::int64_t> values(capacity);
    std::atomic<std::int64_t> sum = 0;
    std::vector<std::jthread> consumers;
    for (int t = 0; t < receivers; ++t) {
        consumers.emplace_back([&] {
            std::int64_t part = 0;
            while (auto value = values.recv()) part += *value;
            sum += part;
        });
    }
    std::vector<std::jthread> producers;
    for (int t = 0; t < senders; ++t) {
        producers.emplace_back([&] {
            for (std::int64_t i = 0; i < n / senders; ++i) values.send(i);
        });
    }
    producers.clear();
    values.close();
    consumers.clear();
    return sum == expected_sum(n);
}

const measured tasks("mpmc", 4'000'000, mpmc<128>);
const measured tasks_unbuffered("mpmc_unbuffered", 1'000'000, mpmc<0>);
const measured threads("mpmc", 400'000, mpmc_threads<128>);
const measured threads_unbuffered("mpmc_unbuffered", 40'000, mpmc_threads<1>);

}  // namespace
