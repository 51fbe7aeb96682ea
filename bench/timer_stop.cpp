// Starting and stopping a timer long before it is due.

#include "measure.hpp"

#include <sluice/channels/timer.hpp>

#include <chrono>

namespace {

using namespace std::chrono_literals;

sluice::task<bool> timer_stop(std::int64_t n) {
    std::int64_t stopped = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        sluice::timer timer(1h);
        if (timer.stop()) ++stopped;
    }
    co_return stopped == n;
}

const measured tasks("timer_stop", 1'000'000, timer_stop);

}  // namespace
