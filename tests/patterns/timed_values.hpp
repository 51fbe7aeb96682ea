// What the tests of debounce and throttle have in common: values, and when they come.
#pragma once

#include <chrono>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/task.hpp>

namespace timed_values {

using time_point = std::chrono::steady_clock::time_point;

struct shown {
    int value;
    std::chrono::microseconds at;
    friend bool operator==(const shown&, const shown&) = default;
};

// What a channel gives and when, until it is closed.
inline sluice::task<std::vector<shown>> watch(sluice::recv_chan<int> from, time_point start) {
    std::vector<shown> seen;
    while (auto v = co_await from.recv()) {
        const auto at = std::chrono::floor<std::chrono::microseconds>(sluice::now() - start);
        seen.push_back(shown(*v, at));
    }
    co_return seen;
}

// Sends each value after its pause, and closes.
inline sluice::task<> send_all(sluice::chan<int> to, std::vector<shown> values) {
    for (const shown& v : values) {
        co_await sluice::sleep_for(v.at);
        co_await to.send(v.value);
    }
    to.close();
}

}  // namespace timed_values
