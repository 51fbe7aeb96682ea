// A value goes forth and back over two unbuffered channels, between one pair of tasks and eight at
// once; an operation is a round trip.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>

#include <atomic>
#include <thread>
#include <vector>

namespace {

using sluice::chan;

constexpr int pairs = 8;

sluice::task<> echo(chan<std::int64_t> ping, chan<std::int64_t> pong) {
    while (auto value = co_await ping.recv()) co_await pong.send(*value);
}

sluice::task<bool> ping_pong(std::int64_t n) {
    auto ping = sluice::make_chan<std::int64_t>();
    auto pong = sluice::make_chan<std::int64_t>();
    sluice::go(echo, ping, pong);
    bool correct = true;
    for (std::int64_t i = 0; i < n; ++i) {
        co_await ping.send(i);
        const auto reply = co_await pong.recv();
        correct = correct && reply == i;
    }
    ping.close();
    co_return correct;
}

sluice::task<bool> ping_pong_pairs(std::int64_t n) {
    std::vector<sluice::join_handle<bool>> started;
    for (int p = 0; p < pairs; ++p) started.push_back(sluice::spawn(ping_pong, n / pairs));
    bool correct = true;
    for (auto& pair : started) {
        const bool right = co_await pair.join();
        correct = correct && right;
    }
    co_return correct;
}

bool ping_pong_threads(std::int64_t n) {
    thread_channel<std::int64_t> ping;
    thread_channel<std::int64_t> pong;
    std::jthread echo([&] {
        while (auto value = ping.recv()) pong.send(*value);
    });
    bool correct = true;
    for (std::int64_t i = 0; i < n; ++i) {
        ping.send(i);
        correct = correct && pong.recv() == i;
    }
    ping.close();
    return correct;
}

bool ping_pong_pairs_threads(std::int64_t n) {
    std::atomic<int> right = 0;
    std::vector<std::jthread> threads;
    for (int p = 0; p < pairs; ++p)
        threads.emplace_back([&, n] { right += ping_pong_threads(n / pairs); });
    threads.clear();
    return right == pairs;
}

const measured tasks("ping_pong", 1'000'000, ping_pong);
const measured tasks_pairs("ping_pong_pairs", 2'000'000, ping_pong_pairs);
const measured threads("ping_pong", 10'000, ping_pong_threads);
const measured threads_pairs("ping_pong_pairs", 20'000, ping_pong_pairs_threads);

}  // namespace
