// What the tests of the two pools have in common: jobs, and those who bring them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

namespace pool_jobs {

inline int square(int x) {
    return x * x;
}

inline sluice::task<int> slow_square(int x) {
    co_await sluice::sleep_for(std::chrono::milliseconds(x % 3));
    co_return x* x;
}

inline sluice::task<> hold(sluice::chan<> until) {
    static_cast<void>(co_await until.recv());
}

/// Jobs of both kinds, results by their handles.
template <class Pool>
sluice::task<> produce(Pool* pool, std::atomic<int>* sum, int first) {
    std::vector<sluice::join_handle<int>> handles;
    for (int i = first; i != first + 8; ++i) {
        if (i % 2 == 0) {
            auto handle = co_await pool->submit(slow_square, i);
            handles.push_back(std::move(handle.value()));
        } else {
            const auto posted = co_await pool->post([sum, i] { *sum += i; });
            EXPECT(posted.has_value());
        }
    }
    for (int k = 0; k != 4; ++k) {
        const int got = co_await handles[static_cast<std::size_t>(k)].join();
        EXPECT(got == square(first + 2 * k));
    }
}

struct tally {
    int accepted = 0;
    int done = 0;
};

/// Jobs of 1 ms each; submitting, doing and waiting are each cut by the context.
template <class Pool>
sluice::task<> submit_some(Pool* to, sluice::context until, std::shared_ptr<tally> t) {
    const auto slow = [t]() -> sluice::task<int> {
        co_await sluice::sleep_for(std::chrono::milliseconds(1));
        co_return ++t->done;
    };
    const auto quick = [t] { ++t->done; };
    for (int i = 0; i != 3; ++i) {
        auto handle = co_await within(until, to->submit(slow));
        if (!handle) {
            EXPECT(handle.error() == sluice::errc::canceled);
            co_return;
        }
        ++t->accepted;
        const auto got = co_await within(until, handle->join());
        if (got) EXPECT(*got > 0);
        const auto posted = co_await within(until, to->post(quick));
        if (posted) ++t->accepted;
    }
}

}  // namespace pool_jobs
