// A value goes forth and back over two unbuffered channels; an operation is a round trip.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>

#include <thread>

namespace {

using sluice::chan;

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

const measured tasks("ping_pong", 1'000'000, ping_pong);
const measured threads("ping_pong", 10'000, ping_pong_threads);

}  // namespace
