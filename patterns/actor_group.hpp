// actor_group: the long-lived parts of a program, which end together; oklog's run.Group.
//
//     actor_group actors;
//     actors.add(serve, stop_serving);
//     actors.add(consume, stop_consuming);
//     actors.add(signal_actor(background(), {SIGINT, SIGTERM}));
//     const auto why = co_await actors.run();    // an error that names the signal
//
// When to use: main(): a server, a consumer, a ticker and whatever says stop, none of which makes
// sense without the others.
// When not: parts of one answer (error_group); tasks that come and go (wait_group,
// graceful_shutdown).
//
// Concepts
//   An actor is a pair: `execute` works until it is told to end, or cannot go on; `interrupt` tells
//   it to end, and does not wait for that. Usually execute() looks at a context and interrupt is
//   its cancel_cause_function; an actor that ends because another one does (a consumer whose
//   channel the server closes) has an interrupt that does nothing.
//
// Invariants
//   No actor is interrupted before one has ended by itself. Then each is, once, the one that has
//   ended included, one after the other in the order of their adding. run() ends after all of them.
//
// What run() gives is how the first actor ended. Error codes of later ones are consequences of the
// interrupts, and dropped. Exceptions are not: the first one is thrown, whoever threw it.
//
// Cost: one task and two allocations an actor, and one channel for all.
//
// Rejected: actors that end in the reverse order of their adding, each waited for before the next
// is interrupted (one that hangs would keep the others from being told; where an order matters, the
// end of one actor is what ends the next).
//
// Source: github.com/oklog/run.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

namespace detail {

/// Both functions of an actor. No virtual functions, because g++ 12 warns of coroutines that are
/// instantiated for one.
struct actor_parts {
    std::shared_ptr<void> functions;  // run()'s, and the actor's task's
    task<outcome<result<>>> (*execute)(void* functions);
    void (*interrupt)(void* functions, const failure& why);
};

template <class Execute, class Interrupt>
actor_parts make_actor(Execute execute, Interrupt interrupt) {
    using pair = std::pair<Execute, Interrupt>;
    return {
        std::make_shared<pair>(std::move(execute), std::move(interrupt)),
        [](void* both) { return attempt(static_cast<pair*>(both)->first); },
        [](void* both, const failure& why) { std::invoke(static_cast<pair*>(both)->second, why); }};
}

}  // namespace detail

/// What works until it is told to end. Move-only.
class actor {
public:
    /// execute(): plain or a coroutine, gives nothing or a result<>. It runs once, in a task of its
    /// own. interrupt(const failure&): plain; makes execute() end, without waiting for that, and is
    /// given why (empty: the first to end did so without an error). It may run at the same time as
    /// execute(), and after its end. Both are kept until run() has ended, so a lambda with captures
    /// may be a coroutine here.
    template <class Execute, class Interrupt>
    actor(Execute execute, Interrupt interrupt)
        : parts_(detail::make_actor(std::move(execute), std::move(interrupt))) {
        static_assert(std::is_same_v<detail::call_result<Execute&>, result<>>,
                      "execute() gives nothing, or a result<>");
        static_assert(std::is_void_v<std::invoke_result_t<Interrupt&, const failure&>>,
                      "interrupt(const failure&) is a plain function that gives nothing");
    }
    actor(actor&&) noexcept = default;
    actor& operator=(actor&&) noexcept = default;
    ~actor() = default;

private:
    friend class actor_group;
    detail::actor_parts parts_;
};

/// For one task at a time.
class actor_group {
public:
    actor_group() = default;
    actor_group(const actor_group&) = delete;
    actor_group& operator=(const actor_group&) = delete;

    void add(actor a);
    template <class Execute, class Interrupt>
    void add(Execute execute, Interrupt interrupt) {
        add(actor(std::move(execute), std::move(interrupt)));
    }

    /// Starts all actors that were added, waits until the first one ends, with or without an error,
    /// interrupts all of them, and waits for all. Gives the first one's error; throws the first
    /// exception of an actor or an interrupt. Without actors it ends at once. It has no context of
    /// its own: add a context_actor. The group is empty afterwards.
    task<result<>> run();

private:
    std::vector<detail::actor_parts> actors_;
};

/// An actor that waits for one of the signals, from this call on, and ends with its number as an
/// error of signal_category(); with the context's error if that ends first (or the signal that is
/// its cause). Once the group has noted which actor was the first to end, and interrupts this one,
/// a further signal has its former action again, by default the end of the process: whoever cannot
/// wait for an orderly end sends a second one. Called in a task.
/// Throws std::system_error for a signal that cannot be caught.
actor signal_actor(const context& ctx, std::initializer_list<int> signals);

/// An actor that waits for the context's end, and ends with its error. Any thread.
actor context_actor(const context& ctx);

}  // namespace sluice
