// A value goes round 1,000 tasks, each of which adds one; an operation is a hop.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>

#include <thread>
#include <vector>

namespace {

constexpr int size = 1000;

sluice::task<> add_one(sluice::chan<std::int64_t> in, sluice::chan<std::int64_t> out) {
    while (auto value = co_await in.recv()) co_await out.send(*value + 1);
    out.close();
}

sluice::task<bool> ring(std::int64_t n) {
    auto first = sluice::make_chan<std::int64_t>();
    auto last = first;
    for (int t = 1; t < size; ++t) {
        auto next = sluice::make_chan<std::int64_t>();
        sluice::go(add_one, last, next);
        last = next;
    }
    std::int64_t value = 0;
    for (std::int64_t lap = 0; lap < n / size; ++lap) {
        co_await first.send(value);
        const auto back = co_await last.recv();
        value = *back + 1;
    }
    first.close();
    const auto end = co_await last.recv();
    co_return value == n && !end;
}

bool ring_threads(std::int64_t n) {
    std::vector<thread_channel<std::int64_t>> links(size);
    std::vector<std::jthread> threads;
    for (int t = 1; t < size; ++t) {
        threads.emplace_back([&in = links[t - 1], &out = links[t]] {
            while (auto value = in.recv()) out.send(*value + 1);
            out.close();
        });
    }
    std::int64_t value = 0;
    for (std::int64_t lap = 0; lap < n / size; ++lap) {
        links.front().send(value);
        value = *links.back().recv() + 1;
    }
    links.front().close();
    return value == n && !links.back().recv();
}

const measured tasks("ring", 1'000'000, ring);
const measured threads("ring", 10'000, ring_threads);

}  // namespace
