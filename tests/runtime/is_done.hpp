#pragma once

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/task.hpp>

/// Whether done() is ready now.
inline sluice::task<bool> is_done(sluice::context ctx) {
    const auto got = co_await select(ctx.done(), sluice::otherwise);
    co_return got.index() == 0;
}
