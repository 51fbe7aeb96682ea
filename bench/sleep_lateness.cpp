// A thousand tasks sleep for 10 ms, again and again; the figure is by how many microseconds they
// were late at most, the latest in a hundred left out (p99).

#include "measure.hpp"

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <algorithm>
#include <chrono>
#include <span>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr int sleepers = 1'000;
constexpr int rounds = 20;
constexpr auto length = 10ms;

/// The microseconds that each sleep was late; until they are known, as if it had ended too early.
class lateness {
public:
    std::span<double> of(int sleeper) {
        return std::span(all_).subspan(std::size_t(sleeper) * rounds, rounds);
    }

    static double since(clock::time_point start) {
        return std::chrono::duration<double, std::micro>(clock::now() - start - length).count();
    }

    /// Nothing if one ended too early.
    std::optional<double> p99() {
        std::ranges::sort(all_);
        if (all_.front() < 0) return std::nullopt;
        return all_[all_.size() * 99 / 100];
    }

private:
    std::vector<double> all_ = std::vector<double>(std::size_t{sleepers} * rounds, -1);
};

sluice::task<> sleep_in_task(std::span<double> late) {
    for (double& each : late) {
        const auto start = clock::now();
        co_await sluice::sleep_for(length);
        each = lateness::since(start);
    }
}

sluice::task<std::optional<double>> in_tasks() {
    lateness late;
    sluice::wait_group tasks;
    for (int s = 0; s < sleepers; ++s) tasks.go(sleep_in_task, late.of(s));
    co_await tasks.wait();
    co_return late.p99();
}

std::optional<double> in_threads() {
    lateness late;
    std::vector<std::jthread> threads;
    for (int s = 0; s < sleepers; ++s) {
        threads.emplace_back([of = late.of(s)] {
            for (double& each : of) {
                const auto start = clock::now();
                std::this_thread::sleep_for(length);
                each = lateness::since(start);
            }
        });
    }
    threads.clear();
    return late.p99();
}

const measured tasks("sleep_lateness", in_tasks);
const measured threads("sleep_lateness", in_threads);

}  // namespace
