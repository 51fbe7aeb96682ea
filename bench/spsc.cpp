// One task sends to another through a buffer of 128.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>

#include <thread>

namespace {

sluice::task<> produce(sluice::chan<std::int64_t> values, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) co_await values.send(i);
    values.close();
}

sluice::task<bool> spsc(std::int64_t n) {
    auto values = sluice::make_chan<std::int64_t>(128);
    sluice::go(produce, values, n);
    std::int64_t sum = 0;
    while (auto value = co_await values.recv()) sum += *value;
    co_return sum == n*(n - 1) / 2;
}

bool spsc_threads(std::int64_t n) {
    thread_channel<std::int64_t> values(128);
    std::jthread producer([&] {
        for (std::int64_t i = 0; i < n; ++i) values.send(i);
        values.close();
    });
    std::int64_t sum = 0;
    while (auto value = values.recv()) sum += *value;
    return sum == n * (n - 1) / 2;
}

const measured tasks("spsc", 4'000'000, spsc);
const measured threads("spsc", 400'000, spsc_threads);

}  // namespace
