// Looking up a value that lies ten contexts up, each of which has one under a key of its own.

#include "measure.hpp"

#include <sluice/runtime/context.hpp>

#include <array>

namespace {

const std::array<sluice::context_key<std::int64_t>, 10> keys;

sluice::task<bool> context_value(std::int64_t n) {
    auto ctx = sluice::background();
    std::int64_t next = 1;
    for (const auto& key : keys) ctx = sluice::with_value(ctx, key, next++);
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += *ctx.value(keys.front());
    co_return sum == n;
}

const measured tasks("context_value", 10'000'000, context_value);

}  // namespace
