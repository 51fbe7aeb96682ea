// hedge: a call that is late gets a second try beside it, and the faster one counts.
//
//     auto ask = [&](context c) { return query(c, replica(), question); };
//     const auto answer = co_await hedge(ctx, 20ms, ask);
//
// When to use: now and then a call takes many times as long as usual, for a reason that another one
// would not meet (a slow replica, a lost packet), and doing it twice does no harm. With a delay
// that 95 of 100 calls are faster than, it costs 5 more calls in a hundred.
// When not: the service is slow because it has too much to do (it would get more); a call that
// failed is to be made again (retry, which can call a hedge).
//
// Concepts: the first attempt has `delay` for itself. An answer within it is the answer, be it a
// failure: only silence is hedged. Then both run, with one context, which is cancelled as soon as
// one has succeeded; the other is waited for. So both have ended on return, and what they refer to
// may go. An attempt that does not heed its context therefore holds the answer up.
//
// Cost: a task, a context and a timer; a second task for a call that is late.
//
// Rejected: leaving the slower attempt behind. It would have to own all it uses, nobody would hear
// of what it does, and under load the forgotten ones pile up. More than two attempts: where the
// second is late as well, a third seldom helps, and it triples the load of a service in trouble.
//
// Source of the idea: J. Dean and L. A. Barroso, "The Tail at Scale", 2013.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

template <class F>
using hedged = outcome<call_result<F&, context>>;

/// Owns its function: the two attempts may run at the same time.
template <class F>
task<hedged<F>> hedged_attempt(context ctx, F fn) {
    hedged<F> ended = co_await attempt(fn, std::move(ctx));
    co_return ended;
}

}  // namespace detail

/// Calls fn(context), a plain or a coroutine function; again, at the same time, if it has not ended
/// after `delay`, by a copy of fn. Gives, as result<T>, the value of the attempt that succeeds
/// first; if both fail the failure that came first, as it came (either, if both have ended by the
/// time that is looked at); if the first ends within the delay what that gave. Both have ended
/// then. Their context ends when one has succeeded, and with ctx. ctx's error if it has ended
/// before the start; if it ends meanwhile, what the attempts give, and no second one is started. A
/// delay of zero or less starts both at once.
template <std::copy_constructible F>
task<detail::call_result<F&, context>> hedge(context ctx, std::chrono::nanoseconds delay, F fn) {
    static_assert(std::is_nothrow_move_constructible_v<F>, "an attempt takes its fn along");
    const std::error_code ended = ctx.err();
    if (ended) co_return fail(ended);
    auto [shared, stop] = with_cancel(ctx);

    auto first = spawn(detail::hedged_attempt<F>, shared, fn);
    auto early = co_await within(delay, first.join());
    if (early) co_return early->take();
    if (ctx.err()) {
        detail::hedged<F> only = co_await first.join();
        co_return only.take();
    }

    std::optional<join_handle<detail::hedged<F>>> started;
    std::exception_ptr failed;
    try {
        started.emplace(spawn(detail::hedged_attempt<F>, shared, std::move(fn)));
    } catch (...) {
        failed = std::current_exception();
    }
    if (failed) {
        stop();
        static_cast<void>(co_await first.join());
        std::rethrow_exception(failed);
    }
    join_handle<detail::hedged<F>>& second = *started;
    auto faster = co_await select(first.join(), second.join());
    const bool first_is_faster = faster.index() == 0;
    detail::hedged<F> one =
        first_is_faster ? std::get<0>(std::move(faster)) : std::get<1>(std::move(faster));
    if (one.ok()) stop();
    auto& slower = first_is_faster ? second : first;
    detail::hedged<F> other = co_await slower.join();
    if (!one.ok() && other.ok()) co_return other.take();
    co_return one.take();
}

}  // namespace sluice
