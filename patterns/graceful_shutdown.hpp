// graceful_shutdown: work in flight that is finished when a program is told to stop, up to a limit.
//
//     auto [stopping, stop_listening] = notify_context({SIGINT, SIGTERM});
//     graceful_shutdown work(stopping);
//     while (auto conn = co_await within(stopping, listener.accept()))
//         work.go("connection", answer, std::move(*conn));    // answer(ctx, conn)
//     const auto ended = co_await work.drain(background(), 10s);
//     for (const auto& name : work.cut()) std::printf("cut: %s\n", name.c_str());
//
// When to use: a server whose requests, or a consumer whose jobs, shall be finished when SIGTERM
// comes, but not for ever.
// When not: the parts of the program themselves (actor_group; this may be inside one of them);
// tasks that may be waited for without a limit (wait_group).
//
// Concepts
//   Two contexts. The one that is given says stop: from its end on nothing is taken. The other one,
//   ctx(), is what the tasks work under; it ends when the grace is over.
//
// Invariants
//   A task is registered, by name, from go() until all that was moved into it is gone. go() looks
//   whether it is too late, and registers, under the lock under which drain() closes the register;
//   so nothing is registered that drain() does not wait for.
//
// Cost: for each task three frames beside its own, its name in a list, and two short locks.
//
// Rejected: leaving behind what does not end when it is cut (it would go on with what its starter
// has destroyed by then; runtime::shutdown cuts by force, at the end of a whole runtime).
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/patterns/detail/outcome.hpp>
#include <sluice/patterns/error_group.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/task.hpp>

namespace sluice {

namespace detail {

/// What a graceful_shutdown shares with its tasks.
class flight_register {
public:
    using names = std::list<std::string>;

    explicit flight_register(context stopping)
        : stop(std::move(stopping)), work_(with_cancel_cause(without_cancel(stop))) {}

    /// Moves the one name in, and counts it. False: it is too late.
    bool enter(names& one);
    void leave(names::iterator which) noexcept;
    /// From here on enter() says no.
    void close();
    /// Notes who is still here, and ends their context.
    void cut(const failure& why);

    const context& ctx() const noexcept { return work_.first; }
    std::vector<std::string> names_cut() const;

    const context stop;
    wait_group alive;   // one count for each name
    error_group group;  // keeps the first failure

private:
    const std::pair<context, cancel_cause_function> work_;
    mutable std::mutex mutex_;
    names in_flight_;               // under mutex_
    std::vector<std::string> cut_;  // under mutex_
    bool closed_ = false;           // under mutex_
    bool was_cut_ = false;          // under mutex_
};

/// A task's place in the register.
class flight {
public:
    flight(std::shared_ptr<flight_register> in, std::string name);
    flight(flight&&) noexcept = default;
    flight& operator=(flight&&) = delete;
    ~flight() {
        if (in_ != nullptr) in_->leave(which_);
    }

    /// False: it came too late.
    explicit operator bool() const noexcept { return in_ != nullptr; }
    const context& ctx() const noexcept { return in_->ctx(); }
    /// Whether a failure is no more than the consequence of having been cut.
    bool explains(const failure& why) const noexcept {
        return ctx().err() && why.code() == errc::canceled;
    }

private:
    std::shared_ptr<flight_register> in_;
    flight_register::names::iterator which_;
};

template <class F, class... Args>
task<result<>> run_in_flight(flight self, F fn, Args... args) {
    auto how = co_await attempt(fn, self.ctx(), std::move(args)...);
    if (how.ok() || self.explains(how.why())) co_return result<>();
    const auto given = how.take();  // or throws
    co_return fail(given.error());
}

}  // namespace detail

/// All members may be called from any thread, go() from tasks only. It may go before its tasks; an
/// exception that no drain() has thrown then ends the process, as with an error_group.
class graceful_shutdown {
public:
    /// `stop` says when to take no more: usually a notify_context.
    explicit graceful_shutdown(context stop)
        : register_(std::make_shared<detail::flight_register>(std::move(stop))) {}
    graceful_shutdown(const graceful_shutdown&) = delete;
    graceful_shutdown& operator=(const graceful_shutdown&) = delete;

    /// What the tasks work under: has the values of `stop`, not its end. Ends with errc::canceled
    /// when all tasks have ended in time, or when the grace is over; then its cause is
    /// errc::deadline_exceeded, or that of what hurried.
    const context& ctx() const noexcept { return register_->ctx(); }

    /// Starts fn(ctx(), args...) as sluice::go does; the name need not be unique. False: `stop` has
    /// ended, or drain() has closed; nothing was started, and fn and args are left as they were. A
    /// failure of fn, by a result<T> or an exception, is kept for drain(). Throws std::logic_error
    /// on a thread that runs no tasks.
    template <class F, class... Args>
    bool go(std::string name, F&& fn, Args&&... args) {
        detail::scheduler_here("graceful_shutdown::go()");
        detail::flight place(register_, std::move(name));
        if (!place) return false;
        register_->group.try_go(detail::run_in_flight<std::decay_t<F>, std::decay_t<Args>...>,
                                std::move(place), std::forward<F>(fn), std::forward<Args>(args)...);
        return true;
    }

    /// Waits until `stop` has ended, lets the tasks finish for up to `grace`, ends ctx(), and waits
    /// for those that are left: a task that does not look at its context holds it up. Gives the
    /// first failure of a task, an exception by throwing it; errc::canceled of a task that was cut
    /// is none. The end of `hurry` is the end of the grace, and of the wait for `stop`;
    /// background() does not hurry. May be called again, and then finds nothing to do.
    task<result<>> drain(context hurry, std::chrono::nanoseconds grace);

    /// The names of the tasks that had not ended when the grace was over, in the order of their
    /// starts; also of one that then ended as if nothing had been, which looks the same from here.
    /// Complete when drain() has ended.
    std::vector<std::string> cut() const { return register_->names_cut(); }

private:
    const std::shared_ptr<detail::flight_register> register_;
};

}  // namespace sluice
