// Whether the workers of a runtime steal from each other: decided by what it brings.
//
// A theft spreads work, and it spreads data: tasks that hand small things to each other all the
// time then do so across cores, where every channel and every value is a cache line that travels.
// Such tasks may get half as much done on two cores as on one. Nothing about a single theft tells
// which kind it is, so the monitor tries: it measures what all workers get done in a millisecond,
// turns thefts off, or on again, and measures once more. Where that is better, it stays.
//
// Concepts
//   Work is steps of tasks, and operations that did not have to wait (worker::done).
//   While thefts are off, a worker without work naps (worker::rest()) and lets the others' queues
//   be. It takes from one that has been in a single step for long, and when all others sleep it
//   turns thefts on again, so that nobody is left alone with what comes next.
//   After a change it takes a while until the tasks have gathered, or spread, again, and the locks
//   have settled: what is done meanwhile says nothing.
//
// Cost: a trial is eight milliseconds. The next one comes after 4 ms, and after four times as long
// whenever one changed nothing, up to half a second. There is none where nobody steals. Where
// operations are so far apart that a few cache lines for each do not matter, thefts are on.
//
// Source of the idea: the hill climbing of the .NET thread pool (Hellerstein, Morrison, Eilebrecht,
// "Optimizing concurrency levels in the .NET ThreadPool", 2008), here with two levels.
//
// Rejected: to judge a theft by how long it keeps the thief busy (one that fights for a channel's
// lock is busy, too).
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::detail {

/// The monitor's thread only. Times are nanoseconds of now().
class theft_trials {
public:
    /// What all workers together have done so far.
    struct tally {
        std::int64_t time;
        std::int64_t work;
        std::int64_t thefts;
        int awake;  // workers that do not sleep
    };

    /// When to call step() again; at once if `on` has changed in a pause.
    std::int64_t next() const noexcept { return next_; }
    bool due(std::int64_t time, bool on) const noexcept {
        return time >= next_ || (phase_ == phase::waiting && on != on_);
    }

    /// `on`: whether workers steal now. Gives whether they are to.
    bool step(const tally& now, bool on) noexcept {
        if (phase_ != phase::waiting && on != on_) return give_up(now, on);  // by a worker
        switch (phase_) {
            case phase::waiting:
                if (on && now.thefts == begun_.thefts)  // nothing to turn off
                    return go_on(phase::waiting, short_pause, now, on);
                return go_on(phase::before, window, now, on);
            case phase::before:
                before_ = rate(now);
                if (before_ * least_apart < now.awake) return wait(now, true);
                return go_on(phase::settling, time_to_settle, now, !on);
            case phase::settling:
                return go_on(phase::after, window, now, on);
            case phase::after:
                break;
        }
        if (rate(now) < before_ * worth_it) return give_up(now, !on);
        pause_ = long_pause;
        return wait(now, on);
    }

    /// All workers have slept: what was begun says nothing.
    void begin_again(const tally& now, bool on) noexcept { wait(now, on); }

private:
    enum class phase : std::uint8_t { waiting, before, settling, after };
    static constexpr std::int64_t window = 1'000'000;
    static constexpr std::int64_t time_to_settle = 6'000'000;
    static constexpr std::int64_t short_pause = 4'000'000;
    static constexpr std::int64_t long_pause = 32'000'000;
    static constexpr std::int64_t longest_pause = 512'000'000;
    static constexpr double least_apart = 400;  // nanoseconds between a worker's operations
    static constexpr double worth_it = 1.125;

    bool go_on(phase to, std::int64_t length, const tally& now, bool on) noexcept {
        phase_ = to;
        begun_ = now;
        on_ = on;
        next_ = now.time + length;
        return on;
    }
    bool wait(const tally& now, bool on) noexcept { return go_on(phase::waiting, pause_, now, on); }
    bool give_up(const tally& now, bool on) noexcept {
        pause_ = std::min(pause_ * 4, longest_pause);
        return wait(now, on);
    }
    double rate(const tally& now) const noexcept {
        const std::int64_t time = std::max<std::int64_t>(now.time - begun_.time, 1);
        return static_cast<double>(now.work - begun_.work) / static_cast<double>(time);
    }

    phase phase_ = phase::waiting;
    bool on_ = true;  // whether workers steal in this phase
    std::int64_t next_ = 0;
    std::int64_t pause_ = short_pause;
    tally begun_{};      // at the beginning of this phase
    double before_ = 0;  // work per nanosecond before the trial
};

}  // namespace sluice::detail
