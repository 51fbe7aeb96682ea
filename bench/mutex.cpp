// Locking a mutex that nobody else wants, and one that eight tasks share.

#include "measure.hpp"

#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <mutex>
#include <thread>
#include <vector>

namespace {

constexpr int sharers = 8;

sluice::task<> increment(sluice::mutex* mutex, std::int64_t* count, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
        const auto guard = co_await mutex->lock();
        ++*count;
    }
}

sluice::task<bool> uncontended(std::int64_t n) {
    sluice::mutex mutex;
    std::int64_t count = 0;
    co_await increment(&mutex, &count, n);
    co_return count == n;
}

sluice::task<bool> contended(std::int64_t n) {
    sluice::mutex mutex;
    sluice::wait_group tasks;
    std::int64_t count = 0;
    for (int t = 0; t < sharers; ++t) tasks.go(increment, &mutex, &count, n / sharers);
    co_await tasks.wait();
    co_return count == n;
}

void increment_thread(std::mutex& mutex, std::int64_t& count, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
        const std::lock_guard guard(mutex);
        ++count;
    }
}

template <int threads>
bool share_threads(std::int64_t n) {
    std::mutex mutex;
    std::int64_t count = 0;
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t)
        running.emplace_back(increment_thread, std::ref(mutex), std::ref(count), n / threads);
    running.clear();
    return count == n;
}

const measured tasks("mutex", 10'000'000, uncontended);
const measured tasks_contended("mutex_contended", 4'000'000, contended);
const measured threads("mutex", 10'000'000, share_threads<1>);
const measured threads_contended("mutex_contended", 4'000'000, share_threads<sharers>);

}  // namespace
