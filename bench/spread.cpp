// Eight computations of about 200 microseconds, without a wait, are started from one task while the
// other worker sleeps; the figure is after how many microseconds two of them run at once, the
// median of the rounds.

#include "arithmetic.hpp"
#include "measure.hpp"

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <algorithm>
#include <chrono>
#include <ranges>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr int computations = 8;
constexpr int job = 200;  // microseconds
constexpr int rounds = 200;
constexpr auto pause = 1ms;

struct computation {
    clock::time_point begin, end;
    std::uint64_t result = 0;
};

void compute(computation* c, std::uint64_t kind) {
    c->begin = clock::now();
    c->result = arithmetic(kind, job);
    c->end = clock::now();
}

/// The rounds, each of which compares all results with those of the same computations before it.
class figure {
public:
    figure() {
        for (int c = 0; c < computations; ++c) compute(&expected_[c], c);
    }

    void add(clock::time_point start, std::vector<computation> done) {
        right_ = right_ && std::ranges::equal(done, expected_, {}, &computation::result,
                                              &computation::result);
        const auto both = two_at_once(std::move(done));
        all_.push_back(std::chrono::duration<double, std::micro>(both - start).count());
    }

    /// Nothing if a result was wrong.
    std::optional<double> median() {
        if (!right_) return std::nullopt;
        std::ranges::sort(all_);
        return all_[all_.size() / 2];
    }

private:
    /// When one began that did so before another had ended; the end of all if none did.
    static clock::time_point two_at_once(std::vector<computation> done) {
        std::ranges::sort(done, {}, &computation::begin);
        auto end = done.front().end;
        for (const computation& c : done | std::views::drop(1)) {
            if (c.begin < end) return c.begin;
            end = c.end;
        }
        return end;
    }

    std::vector<computation> expected_ = std::vector<computation>(computations);
    std::vector<double> all_;
    bool right_ = true;
};

sluice::task<std::optional<double>> in_tasks() {
    figure f;
    for (int round = 0; round < rounds; ++round) {
        co_await sluice::sleep_for(pause);
        std::vector<computation> all(computations);
        sluice::wait_group tasks;
        const auto start = clock::now();
        for (int c = 0; c < computations; ++c) tasks.go(compute, &all[c], c);
        co_await tasks.wait();
        f.add(start, std::move(all));
    }
    co_return f.median();
}

std::optional<double> in_threads() {
    figure f;
    for (int round = 0; round < rounds; ++round) {
        std::this_thread::sleep_for(pause);
        std::vector<computation> all(computations);
        std::vector<std::jthread> threads;
        const auto start = clock::now();
        for (int c = 0; c < computations; ++c) threads.emplace_back(compute, &all[c], c);
        threads.clear();
        f.add(start, std::move(all));
    }
    return f.median();
}

const measured tasks("spread", in_tasks);
const measured threads("spread", in_threads);

}  // namespace
