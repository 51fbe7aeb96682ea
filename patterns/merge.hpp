// merge: many channels become one (fan-in). merger is the same with sources that come and go.
//
//     auto all = merge(ctx, lines_of(a), lines_of(b));
//     while (auto line = co_await all.recv()) use(*line);    // until both are closed, or ctx ended
//
// When to use: one task wants the values of several channels and does not care from which one each
// comes; how many there are is known at run time only, or changes.
// When not: a few channels whose values are treated differently (select); channels that all have
// the same senders (hand those the same channel: senders share one without any help).
//
// Concepts: each source has a task that receives from it and sends to the output, which has no
// buffer. A source that waits for the reader therefore holds one value in hand, and the values of
// one source keep their order. A nil source is one that is never ready and never closes.
//
// Invariant: the output is open as long as one source is there, and `open` counts as one: a nil
// source that finish() removes. It is closed by the last source that goes.
//
// Cost: about 700 bytes a source; a value costs two sends and two receives, however many
// sources there are. Adding and removing cost the same for the first and the ten thousandth.
//
// Rejected: one task with a run-time select over all sources (Go's reflect.Select). It needs one
// task and has no value in hand, but each value costs time in proportion to the number of sources,
// which are locked, shuffled and enlisted in anew, and an add must wake the task first.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/detail/stream.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

namespace detail {

/// The output of a merger and the sources it has.
template <class T>
class merge_state {
public:
    static constexpr std::uint64_t open = 0;

    merge_state(context c, cancel_function close) : ctx(std::move(c)) {
        sources_.emplace(open, std::move(close));
    }

    /// A number for one more source. Nothing if ctx has ended and all sources have gone.
    std::optional<std::uint64_t> enter(cancel_function stop) {
        const std::lock_guard guard(lock_);
        if (finished_) throw std::logic_error("add() after finish() of a merger");
        if (sources_.empty()) return std::nullopt;
        sources_.emplace(++last_, std::move(stop));
        return last_;
    }

    /// The source's task stops taking values. False: it does so already.
    bool stop(std::uint64_t id) {
        std::optional<cancel_function> stops;  // when it goes, after the lock
        const std::lock_guard guard(lock_);
        const auto found = sources_.find(id);
        if (found != sources_.end()) stops.swap(found->second);
        return stops.has_value();
    }

    void finish() {
        {
            const std::lock_guard guard(lock_);
            finished_ = true;
        }
        stop(open);
    }

    /// The source's task has come to its end.
    void leave(std::uint64_t id) {
        typename table::node_type gone;
        {
            const std::lock_guard guard(lock_);
            gone = sources_.extract(id);
            if (!sources_.empty()) return;
        }
        out.close();
    }

    const context ctx;
    const chan<T> out = make_chan<T>();

private:
    using table = std::unordered_map<std::uint64_t, std::optional<cancel_function>>;

    std::mutex lock_;
    table sources_;              // under lock_; without a function: stopped, and still delivering
    std::uint64_t last_ = open;  // under lock_
    bool finished_ = false;      // under lock_
};

/// A source's place among the others: moved into its task, and left when that ends or is cut.
template <class T>
class merge_place {
public:
    merge_place(std::shared_ptr<merge_state<T>> in, std::uint64_t id) noexcept
        : in_(std::move(in)), id_(id) {}
    merge_place(merge_place&&) noexcept = default;
    merge_place& operator=(merge_place&&) = delete;
    ~merge_place() {
        if (in_) in_->leave(id_);
    }

    const context& ctx() const noexcept { return in_->ctx; }
    const chan<T>& out() const noexcept { return in_->out; }

private:
    std::shared_ptr<merge_state<T>> in_;
    std::uint64_t id_;
};

template <class T>
task<> merge_source(context own, recv_chan<T> from, merge_place<T> place) {
    co_await forward_values(std::move(own), place.ctx(), std::move(from), place.out());
}

}  // namespace detail

/// A fan-in whose sources come and go. Made in a task; remove() and finish() may be called from any
/// thread, add() from any task of that runtime. Letting it go finishes it. It may go before its
/// output is read.
template <class T = void>
class merger {
public:
    /// A source, for remove().
    enum class source : std::uint64_t {};

    /// When ctx ends, the output is closed as soon as the tasks of the sources have run once more;
    /// the values they have in hand, at most one a source, are destroyed, all others stay in their
    /// sources. Throws std::logic_error on a thread that runs no tasks.
    explicit merger(context ctx) {
        auto [own, close] = with_cancel(ctx);
        state_ = std::make_shared<detail::merge_state<T>>(std::move(ctx), std::move(close));
        start(std::move(own), recv_chan<T>(), detail::merge_state<T>::open);
    }
    merger(const merger&) = delete;
    merger& operator=(const merger&) = delete;
    ~merger() { finish(); }

    /// The values of `from` go to the output from now on, until it is closed or removed. A channel
    /// that is added twice is two sources. Does nothing when ctx has ended. Throws std::logic_error
    /// after finish().
    source add(recv_chan<T> from) {
        auto [own, stop] = with_cancel(state_->ctx);
        const auto id = state_->enter(std::move(stop));
        if (!id) return source(detail::merge_state<T>::open);
        start(std::move(own), std::move(from), *id);
        return source(*id);
    }

    /// No more is taken from the source; what was taken, or is at this moment, is still delivered.
    /// Does not wait for that. False if the source has ended or was removed before.
    bool remove(source s) {
        const auto id = static_cast<std::uint64_t>(s);
        return id != detail::merge_state<T>::open && state_->stop(id);
    }

    /// No more will be added: the output is closed when the last source is closed or removed and
    /// its values are delivered. The second time it does nothing.
    void finish() { state_->finish(); }

    /// What the sources give; without a buffer. Read by any number of tasks.
    recv_chan<T> out() const noexcept { return state_->out; }

private:
    void start(context own, recv_chan<T> from, std::uint64_t id) {
        go(detail::merge_source<T>, std::move(own), std::move(from),
           detail::merge_place<T>(state_, id));
    }

    std::shared_ptr<detail::merge_state<T>> state_;
};

/// The values of all sources, in one channel that is closed when they are all closed and their
/// values delivered, or when ctx has ended (see merger). It must be read until then: if its reader
/// goes away earlier, ctx has to end. Values of one source keep their order. A nil source keeps it
/// open until ctx ends. Must be called in a task.
template <detail::stream Source>
detail::receiving_end<Source> merge(context ctx, const std::vector<Source>& sources) {
    merger<typename Source::value_type> all(std::move(ctx));
    for (const Source& s : sources) all.add(s);
    return all.out();
}

template <detail::stream First, detail::stream... More>
    requires(std::same_as<typename First::value_type, typename More::value_type> && ...)
detail::receiving_end<First> merge(context ctx, const First& first, const More&... more) {
    return merge(std::move(ctx), std::vector<detail::receiving_end<First>>{first, more...});
}

}  // namespace sluice
