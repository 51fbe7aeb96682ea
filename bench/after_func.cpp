// A function that runs when its context is cancelled: a thousand contexts at a time, each made,
// given a function and cancelled, until all functions have run.

#include "measure.hpp"

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <atomic>
#include <utility>
#include <vector>

namespace {

constexpr std::int64_t batch = 1'000;

using counter = std::atomic<std::int64_t>;

void count_one(counter* ran, sluice::wait_group* functions) {
    ran->fetch_add(1, std::memory_order_relaxed);
    functions->done();
}

sluice::task<> run_batch(counter* ran) {
    sluice::wait_group functions;
    functions.add(batch);
    std::vector<sluice::cancel_function> cancels;
    for (std::int64_t i = 0; i < batch; ++i) {
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        sluice::after_func(ctx, count_one, ran, &functions);
        cancels.push_back(std::move(cancel));
    }
    for (const auto& cancel : cancels) cancel();
    co_await functions.wait();
}

sluice::task<bool> after_func(std::int64_t n) {
    counter ran = 0;
    for (std::int64_t i = 0; i < n; i += batch) co_await run_batch(&ran);
    co_return ran == n;
}

const measured tasks("after_func", 100'000, after_func);

}  // namespace
