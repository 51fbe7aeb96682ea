// Eight tasks share four permits of a semaphore; an operation takes one and gives it back.

#include "measure.hpp"

#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <array>
#include <semaphore>
#include <thread>
#include <vector>

namespace {

constexpr int sharers = 8;
constexpr int permits = 4;

struct alignas(64) tally {
    std::int64_t n = 0;
};

template <class Tallies>
std::int64_t sum(const Tallies& all) {
    std::int64_t total = 0;
    for (const tally& each : all) total += each.n;
    return total;
}

sluice::task<> share(sluice::semaphore* s, std::int64_t n, tally* count) {
    for (std::int64_t i = 0; i < n; ++i) {
        const auto permit = co_await s->acquire();
        ++count->n;
    }
}

sluice::task<bool> contended(std::int64_t n) {
    sluice::semaphore s(permits);
    sluice::wait_group tasks;
    std::array<tally, sharers> counts;
    for (tally& count : counts) tasks.go(share, &s, n / sharers, &count);
    co_await tasks.wait();
    co_return sum(counts) == n;
}

bool contended_threads(std::int64_t n) {
    std::counting_semaphore<permits> s(permits);
    std::array<tally, sharers> counts;
    std::vector<std::jthread> threads;
    for (tally& count : counts) {
        threads.emplace_back([&s, &count, n] {
            for (std::int64_t i = 0; i < n / sharers; ++i) {
                s.acquire();
                ++count.n;
                s.release();
            }
        });
    }
    threads.clear();
    return sum(counts) == n;
}

const measured tasks("semaphore", 4'000'000, contended);
const measured threads("semaphore", 4'000'000, contended_threads);

}  // namespace
