// fan_out: a fixed number of tasks compete for the values of one channel.
//
//     auto done = co_await fan_out(ctx, jobs, 8, handle);    // 8 at once, until jobs is closed
//
// When to use: work that comes through a channel, of which at most so many pieces may be under way.
// When not: work that comes from calls (worker_pool); results that somebody reads (parallel_map);
// work of which one piece may fail without ending the rest (let fn deal with it and give nothing).
//
// Concepts: a consumer takes a value, calls fn with it, and takes the next. Whoever is free takes
// it: a slow value holds up one consumer. Nothing is taken in advance, so besides the values in the
// consumers' hands there are only those that the channel itself holds.
//
// Invariant: the failure that is reported is the first one, and it stops all consumers before their
// next value. Each of them ends by itself and none is cut in the middle of a value.
//
// Cost: a task per consumer, made at the start; per value a receive and two frames, one of them
// the call's.
//
// Rejected: a task per value behind a semaphore. It costs a task each, and takes the next value
// from the channel before anybody is free to work on it.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

/// What the consumers share; lives in the frame that waits for them.
template <class T, class Fn>
class fan_out_state {
public:
    fan_out_state(const context& parent, recv_chan<T> from, Fn f)
        : in(std::move(from)), fn(std::move(f)), own_(with_cancel(parent)) {}

    /// fn has failed; the first call decides.
    void stop(failure why) {
        {
            const std::lock_guard guard(lock_);
            if (!why_) why_ = std::move(why);
        }
        own_.second();
    }

    /// `in` is closed, and all its values are in hand or handled.
    void drained() {
        const std::lock_guard guard(lock_);
        drained_ = true;
    }

    const context& ctx() const noexcept { return own_.first; }

    /// After all consumers have ended.
    result<> outcome() const {
        if (why_.exception()) why_.raise();
        if (why_) return fail(why_.code());
        if (!drained_) return fail(ctx().err());
        return {};
    }

    const recv_chan<T> in;
    Fn fn;

private:
    const std::pair<context, cancel_function> own_;
    std::mutex lock_;
    failure why_;           // under lock_
    bool drained_ = false;  // under lock_
};

template <class T, class Fn>
task<> consume(fan_out_state<T, Fn>* shared) {
    while (auto got = co_await within(shared->ctx(), shared->in.recv())) {
        if (!*got) {
            shared->drained();
            co_return;
        }
        const auto ended = co_await attempt(shared->fn, std::move(**got));
        if (!ended.ok()) {
            shared->stop(ended.why());
            co_return;
        }
    }
}

template <class T, class Fn>
task<result<>> consume_all(context ctx, recv_chan<T> in, std::size_t consumers, Fn fn) {
    fan_out_state<T, Fn> shared(ctx, std::move(in), std::move(fn));
    wait_group running;
    try {
        for (std::size_t i = 0; i < consumers; ++i) running.go(consume<T, Fn>, &shared);
    } catch (...) {
        shared.stop(std::current_exception());
    }
    co_await running.wait();
    co_return shared.outcome();
}

}  // namespace detail

/// Calls fn(value) for each value of `in`, in that many tasks at once. fn is a plain or a coroutine
/// function; all tasks use the same one. What it gives is dropped, but for an error of a result<T>.
/// Ends when `in` is closed and drained; at the first error or exception of fn, which is given or
/// thrown; or when ctx has ended, with errc::canceled or errc::deadline_exceeded. In all three
/// cases no value is taken any more, and those in hand are finished first: a fn that shall end
/// early looks at the context itself. What is left in `in` stays there. Throws
/// std::invalid_argument for no consumers.
template <detail::stream Source, class Fn>
    requires std::invocable<Fn&, typename Source::value_type>
task<result<>> fan_out(context ctx, Source in, std::size_t consumers, Fn fn) {
    if (consumers == 0) throw std::invalid_argument("fan_out() without consumers");
    return detail::consume_all<typename Source::value_type, Fn>(std::move(ctx), std::move(in),
                                                                consumers, std::move(fn));
}

}  // namespace sluice
