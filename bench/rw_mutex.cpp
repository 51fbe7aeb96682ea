// Eight tasks share a read-write lock: of a hundred locks one is for writing.

#include "measure.hpp"

#include <sluice/runtime/sync/rw_mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <array>
#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

namespace {

constexpr int sharers = 8;
constexpr int one_write_in = 100;

/// Two counters that are equal whenever nobody writes.
template <class Mutex>
struct guarded {
    Mutex mutex;
    std::array<std::int64_t, 2> counts{};

    void write() {
        for (std::int64_t& count : counts) ++count;
    }
    bool whole() const { return counts[0] == counts[1]; }
};

using guarded_by_task = guarded<sluice::rw_mutex>;
using guarded_by_thread = guarded<std::shared_mutex>;

sluice::task<> share(guarded_by_task* all, std::int64_t n, std::atomic<std::int64_t>* right) {
    std::int64_t whole = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        if (i % one_write_in == 0) {
            const auto guard = co_await all->mutex.lock();
            all->write();
        } else {
            const auto guard = co_await all->mutex.lock_shared();
            whole += all->whole();
        }
    }
    *right += whole;
}

template <class Guarded>
bool correct(const Guarded& all, std::int64_t right, std::int64_t n) {
    const std::int64_t writes = n / one_write_in;
    return all.whole() && all.counts[0] == writes && right == n - writes;
}

sluice::task<bool> in_tasks(std::int64_t n) {
    guarded_by_task all;
    std::atomic<std::int64_t> right = 0;
    sluice::wait_group tasks;
    for (int t = 0; t < sharers; ++t) tasks.go(share, &all, n / sharers, &right);
    co_await tasks.wait();
    co_return correct(all, right, n);
}

std::int64_t share_thread(guarded_by_thread& all, std::int64_t n) {
    std::int64_t whole = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        if (i % one_write_in == 0) {
            const std::unique_lock guard(all.mutex);
            all.write();
        } else {
            const std::shared_lock guard(all.mutex);
            whole += all.whole();
        }
    }
    return whole;
}

bool in_threads(std::int64_t n) {
    guarded_by_thread all;
    std::atomic<std::int64_t> right = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < sharers; ++t)
        threads.emplace_back([&, n] { right += share_thread(all, n / sharers); });
    threads.clear();
    return correct(all, right, n);
}

const measured tasks("rw_mutex", 4'000'000, in_tasks);
const measured threads("rw_mutex", 4'000'000, in_threads);

}  // namespace
