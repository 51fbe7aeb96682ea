// One task sends to itself through a buffer of 1: the uncontended cost of a send and a receive.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>

namespace {

sluice::task<bool> send_recv(std::int64_t n) {
    auto values = sluice::make_chan<std::int64_t>(1);
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        co_await values.send(i);
        const auto value = co_await values.recv();
        sum += *value;
    }
    co_return sum == n*(n - 1) / 2;
}

bool send_recv_threads(std::int64_t n) {
    thread_channel<std::int64_t> values(1);
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        values.send(i);
        sum += *values.recv();
    }
    return sum == n * (n - 1) / 2;
}

const measured tasks("send_recv", 10'000'000, send_recv);
const measured threads("send_recv", 10'000'000, send_recv_threads);

}  // namespace
