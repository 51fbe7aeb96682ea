// A tree of tasks with 1,000,000 leaves, each node adding up what its ten children send it.
// An operation is the whole.

#include "measure.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>

namespace {

constexpr std::int64_t leaves = 1'000'000;
constexpr int children = 10;

/// Sends the sum of `size` numbers from `first` on.
sluice::task<> node(sluice::chan<std::int64_t> result, std::int64_t first, std::int64_t size) {
    if (size == 1) {
        co_await result.send(first);
        co_return;
    }
    auto sums = sluice::make_chan<std::int64_t>();
    const auto share = size / children;
    for (int child = 0; child < children; ++child)
        sluice::go(node, sums, first + child * share, share);
    std::int64_t sum = 0;
    for (int child = 0; child < children; ++child) {
        const auto part = co_await sums.recv();
        sum += *part;
    }
    co_await result.send(sum);
}

sluice::task<bool> skynet(std::int64_t) {
    auto result = sluice::make_chan<std::int64_t>();
    sluice::go(node, result, std::int64_t{0}, leaves);
    const auto sum = co_await result.recv();
    co_return sum == leaves*(leaves - 1) / 2;
}

const measured tasks("skynet", 1, skynet);

}  // namespace
