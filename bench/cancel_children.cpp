// A context with a hundred thousand children is cancelled; an operation is a child, made and ended.

#include "measure.hpp"

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/result.hpp>

#include <utility>
#include <vector>

namespace {

sluice::task<bool> cancel_children(std::int64_t n) {
    auto [parent, cancel_parent] = sluice::with_cancel(sluice::background());
    std::vector<std::pair<sluice::context, sluice::cancel_function>> children;
    children.reserve(n);
    for (std::int64_t i = 0; i < n; ++i) children.push_back(sluice::with_cancel(parent));
    cancel_parent();
    std::int64_t canceled = 0;
    for (const auto& [child, cancel] : children) canceled += child.err() == sluice::errc::canceled;
    co_return canceled == n;
}

const measured tasks("cancel_children", 100'000, cancel_children);

}  // namespace
