// Two tasks give way to each other; an operation is a yield of both.

#include "measure.hpp"

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <thread>

namespace {

sluice::task<> give_way(std::int64_t n, sluice::wait_group* both) {
    for (std::int64_t i = 0; i < n; ++i) co_await sluice::yield();
    both->done();
}

sluice::task<bool> yield(std::int64_t n) {
    sluice::wait_group both;
    both.add(2);
    sluice::go(give_way, n, &both);
    sluice::go(give_way, n, &both);
    co_await both.wait();
    co_return true;
}

bool yield_threads(std::int64_t n) {
    const auto give_way = [n] {
        for (std::int64_t i = 0; i < n; ++i) std::this_thread::yield();
    };
    std::jthread one(give_way);
    std::jthread other(give_way);
    return true;
}

const measured tasks("yield", 1'000'000, yield);
const measured threads("yield", 1'000'000, yield_threads);

}  // namespace
