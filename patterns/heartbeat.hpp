// heartbeat: a task that works shows that it lives, and others notice when it falls silent.
//
// When to use: to restart, cancel or report work that may hang without an error: a consumer of a
// feed, a loop that calls into code of others.
// When not: for one call (bound it with within); to learn that a task has ended (join_handle); to
// find a worker thread that is blocked (the runtime does).
//
// Concepts
//   The worker beats whenever it gets on, as often as it likes. A beat leaves its time; a watcher
//   sleeps until the silence would be too long and looks, so that beats wake nobody. Who wants to
//   see the beats themselves receives pulses: at most one each period, and one that nobody takes
//   stands for those after it.
//
// Invariant: the time of the latest beat never goes back. Making it counts as a beat.
//
// Cost: about 200 bytes; a beat takes a short lock and a look at the clock, and no watcher slows it
// down. A watcher is one timer.
//
// Rejected: pulses alone, as a channel: then a second watcher takes the pulses of the first one.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <stdexcept>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

/// Any thread may use it. Must outlive its operations and watchers.
class heartbeat {
public:
    /// period: of pulses, at the most often. Throws std::invalid_argument unless it is positive.
    explicit heartbeat(std::chrono::nanoseconds period) : period_(period) {
        if (period.count() <= 0)
            throw std::invalid_argument("heartbeat: the period must be positive");
    }
    heartbeat(const heartbeat&) = delete;
    heartbeat& operator=(const heartbeat&) = delete;

    /// The worker lives. Never waits for a watcher.
    void beat() {
        if (note()) pulses_.try_send();
    }

    /// How long ago the latest beat is.
    std::chrono::nanoseconds silence() const {
        const std::lock_guard guard(lock_);
        return now() - latest_;
    }

    /// Operation: waits for a pulse, a beat that comes at least a period after the pulse before it;
    /// true. One may be pending. Several receivers share the pulses. Losing a race takes none.
    auto pulse() const noexcept { return pulses_.recv(); }

    /// Waits until there has been no beat for `limit`, counted from the latest one, which may have
    /// come before the call. errc::canceled or errc::deadline_exceeded if ctx has ended: so the end
    /// of the work is told. Any number of watchers, each with a limit of its own.
    task<result<>> missed(context ctx, std::chrono::nanoseconds limit) {
        for (;;) {
            const auto left = limit - silence();
            const auto slept = co_await within(ctx, sleep_for(left));
            if (!slept || left.count() <= 0) co_return slept;
        }
    }

private:
    using time_point = std::chrono::steady_clock::time_point;

    // True: it is time for a pulse.
    bool note() {
        const std::lock_guard guard(lock_);
        latest_ = now();
        if (latest_pulse_ && latest_ - *latest_pulse_ < period_) return false;
        latest_pulse_ = latest_;
        return true;
    }

    const std::chrono::nanoseconds period_;
    const chan<> pulses_ = make_chan(1);
    mutable std::mutex lock_;
    time_point latest_ = now();               // under lock_
    std::optional<time_point> latest_pulse_;  // under lock_
};

}  // namespace sluice
