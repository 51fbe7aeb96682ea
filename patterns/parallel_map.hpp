// parallel_map: calls a function for each value of a channel, several at once, and gives what it
// made of them in a channel: in the order of the values, or as they are completed.
//
//     auto pages = parallel_map(ctx, urls, 8, fetch);
//     while (auto page = co_await pages.recv()) use(page->value());    // throws what fetch threw
//
// When to use: a step of a pipeline that waits or computes for long, whose results somebody reads.
// When not: results that nobody reads (fan_out); a step so short that the two hand-overs cost more
// than it does (call it in the loop).
//
// Concepts: n tasks, each with one value at a time, from when it takes it until the reader has the
// result. So at most n calls are under way, and at most n results are held back, together. As
// completed, the tasks compete. In order, they stand in a ring, and two batons go round: who has
// `take` receives the next value and passes it on; who has `give` sends his result and passes it
// on. Both pass each task in turn, so the results come in the order of the values.
//
// Invariant: there is one baton of each kind, in a task's hands or waiting for the next one.
//
// Cost: n tasks and, in order, 2n small channels, made at the start; per value two receives, two
// sends and two frames, one of them the call's, and in order two batons passed on. In order a slow
// value holds up the tasks behind it when they are done: then fewer than n calls are under way.
//
// Rejected: a task per value, with its number, and a map of the results that are not due yet. That
// map grows without end behind one slow value, and where it is bounded this is the same thing.
// Rejected: to end with the first failure. A reader who wants that can cancel; one who does not
// could not take it back.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

/// What the function made of one value: a U, or the failure that it ended with. `*m` does not
/// check.
template <class U>
class [[nodiscard]] mapped : public tl::expected<detail::regular<U>, failure> {
    using base = tl::expected<detail::regular<U>, failure>;

public:
    using value_type = U;
    using base::base;

    /// The U; or throws the function's exception, or std::system_error with its error code.
    template <class V = U>
        requires(!std::is_void_v<V>)
    V& value() & {
        check();
        return **this;
    }
    template <class V = U>
        requires(!std::is_void_v<V>)
    V&& value() && {
        check();
        return std::move(**this);
    }
    template <class V = U>
        requires std::is_void_v<V>
    void value() const {
        check();
    }

private:
    void check() const {
        if (!this->has_value()) this->error().raise();
    }
};

/// The last argument of a parallel_map() whose results need no order.
struct as_completed_t {
    explicit as_completed_t() = default;
};
inline constexpr as_completed_t as_completed{};

namespace detail {

/// mapped<U> for what Fn gives, be it U, result<U>, or a task of one of them.
template <class Fn, class T>
using mapped_by = mapped<typename call_result<Fn&, T>::value_type>;

template <class Result>
mapped<typename Result::value_type> to_mapped(outcome<Result> ended) {
    using made = typename Result::value_type;
    if (!ended.ok()) return tl::unexpected<failure>(ended.why());
    if constexpr (std::is_void_v<made>) {
        return {};
    } else {
        return mapped<made>(std::move(*ended.take()));
    }
}

/// What the tasks of a map share. The last of them destroys fn, and closes the output then.
template <class T, class Fn>
struct map_state {
    map_state(const context& parent, recv_chan<T> from, Fn f)
        : in(std::move(from)), fn(std::move(f)), own(with_cancel(parent)), ctx(own.first) {}

    const output<mapped_by<Fn, T>> out{make_chan<mapped_by<Fn, T>>()};  // first, so destroyed last
    const recv_chan<T> in;
    Fn fn;
    const std::pair<context, cancel_function> own;
    const context& ctx;
};

/// Starts the tasks of a map; if one cannot be, ends the others.
template <class Map, class Start>
void start_all(const Map& map, std::size_t n, Start start) {
    try {
        for (std::size_t i = 0; i < n; ++i) start(i);
    } catch (...) {
        map->own.second();
        throw;
    }
}

template <class T, class Fn>
task<> map_next(std::shared_ptr<map_state<T, Fn>> map) {
    while (auto got = co_await within(map->ctx, map->in.recv())) {
        if (!*got) co_return;
        auto ended = co_await attempt(map->fn, std::move(**got));
        auto made = to_mapped(std::move(ended));
        const auto sent = co_await within(map->ctx, map->out.channel().send(std::move(made)));
        if (!sent) co_return;
    }
}

/// A task's place in the ring: where it waits for the batons. Each holds at most its one baton, so
/// passing one on never waits.
struct map_turn {
    map_turn() : take(make_chan<>(1)), give(make_chan<>(1)) {}
    chan<> take;
    chan<> give;
};

template <class T, class Fn>
task<> map_in_turn(std::shared_ptr<map_state<T, Fn>> map, map_turn mine, map_turn next) {
    while (auto turn = co_await within(map->ctx, mine.take.recv())) {
        auto got = co_await within(map->ctx, map->in.recv());
        if (!got) co_return;
        next.take.try_send();  // after the end too: each finds it for itself
        if (!*got) co_return;
        auto ended = co_await attempt(map->fn, std::move(**got));
        auto made = to_mapped(std::move(ended));
        const auto due = co_await within(map->ctx, mine.give.recv());
        if (!due) co_return;
        const auto sent = co_await within(map->ctx, map->out.channel().send(std::move(made)));
        if (!sent) co_return;
        next.give.try_send();
    }
}

template <class T, class Fn>
std::shared_ptr<map_state<T, Fn>> make_map(context ctx, recv_chan<T> in, std::size_t n, Fn fn) {
    if (n == 0) throw std::invalid_argument("parallel_map() without tasks");
    return std::make_shared<map_state<T, Fn>>(std::move(ctx), std::move(in), std::move(fn));
}

}  // namespace detail

/// mapped<U> for each value of `in`, in the order of the values: what fn(value) gave, or its
/// failure, which ends nothing else. fn is a plain or a coroutine function that gives U or
/// result<U>; up to n calls of the same fn run at once. The channel has no buffer; it is closed
/// when `in` is closed and all is delivered, or when ctx has ended and the calls under way have
/// returned (a fn that shall end early looks at the context itself). What is in hand then, at most
/// n values or results, is destroyed; the rest stays in `in`. It must be read until it is closed:
/// if its reader goes away earlier, ctx has to end. fn is gone when it is closed. Throws
/// std::invalid_argument for n = 0, and std::logic_error on a thread that runs no tasks.
template <detail::stream Source, class Fn>
    requires std::invocable<Fn&, typename Source::value_type>
auto parallel_map(context ctx, const Source& in, std::size_t n, Fn fn)
    -> recv_chan<detail::mapped_by<Fn, typename Source::value_type>> {
    using value = typename Source::value_type;
    const auto map = detail::make_map<value, Fn>(std::move(ctx), in, n, std::move(fn));
    const std::vector<detail::map_turn> ring(n);
    detail::start_all(map, n, [&](std::size_t i) {
        go(detail::map_in_turn<value, Fn>, map, ring[i], ring[(i + 1) % n]);
    });
    ring[0].take.try_send();
    ring[0].give.try_send();
    return map->out.channel();
}

/// The same, each result as soon as it is there and the reader wants it.
template <detail::stream Source, class Fn>
    requires std::invocable<Fn&, typename Source::value_type>
auto parallel_map(context ctx, const Source& in, std::size_t n, Fn fn, as_completed_t)
    -> recv_chan<detail::mapped_by<Fn, typename Source::value_type>> {
    using value = typename Source::value_type;
    const auto map = detail::make_map<value, Fn>(std::move(ctx), in, n, std::move(fn));
    detail::start_all(map, n, [&](std::size_t) { go(detail::map_next<value, Fn>, map); });
    return map->out.channel();
}

}  // namespace sluice
