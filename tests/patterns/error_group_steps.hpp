// What the tests of the error group have in common: members that fail.
#pragma once

#include <chrono>
#include <system_error>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace error_group_steps {

inline const std::error_code io_error = std::make_error_code(std::errc::io_error);

/// Fails after that time, or when ctx ends.
inline sluice::task<sluice::result<>> fails_after(sluice::context ctx,
                                                  std::chrono::nanoseconds time,
                                                  std::error_code code) {
    const auto slept = co_await within(ctx, sluice::sleep_for(time));
    if (!slept) co_return slept;
    co_return sluice::fail(code);
}

inline sluice::task<sluice::result<>> until_the_end_of(sluice::context ctx) {
    co_await ctx.done();
    co_return sluice::fail(ctx.err());
}

}  // namespace error_group_steps
