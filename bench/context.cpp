// Making and cancelling children of a context that can itself be cancelled.

#include "measure.hpp"

#include <sluice/runtime/context.hpp>

#include <chrono>

namespace {

using namespace std::chrono_literals;

sluice::task<bool> with_cancel(std::int64_t n) {
    auto [parent, cancel_parent] = sluice::with_cancel(sluice::background());
    for (std::int64_t i = 0; i < n; ++i) {
        auto [child, cancel] = sluice::with_cancel(parent);
        cancel();
    }
    co_return true;
}

sluice::task<bool> with_timeout(std::int64_t n) {
    auto [parent, cancel_parent] = sluice::with_cancel(sluice::background());
    for (std::int64_t i = 0; i < n; ++i) {
        auto [child, cancel] = sluice::with_timeout(parent, 1h);
        cancel();
    }
    co_return true;
}

const measured cancel("with_cancel", 1'000'000, with_cancel);
const measured timeout("with_timeout", 1'000'000, with_timeout);

}  // namespace
