// The count of a wait_group: how many tasks were added, and how many have ended.
//
// Concepts
//   One task usually adds while others end, on other workers; were the count one word, each add()
//   and each finish() would fetch it from the other's core (70 ns). So the tasks added and the
//   tasks ended stand on cache lines of their own. Whoever ends a task compares with
//   added_at_least_, which stands beside ended_, and looks at added_ only when the two would become
//   equal.
//
// Invariants
//   added_ and the count in ended_ only grow, and ended_ <= added_. added_at_least_ <= added_.
//   A thread that has made the count zero touches nothing afterwards unless somebody waited, since
//   the group may be gone: what the step will be is known before the compare-and-swap that takes
//   it. While somebody waits (a bit of ended_) the count does not pass for zero, so that nobody can
//   end the group under the one who is about to wake; and one at a time is (another bit): a wait
//   may be given up and leave the first bit, and the count may then become zero again before he has
//   come to wake. No zero is missed: who waits sets the bit after all that was added before; who
//   ends a task reads the bit, by acquire, and then added_; who is about to wake looks at the count
//   again.
//
// Rejected: one word (three times slower when a task starts a million others), deferring finish()
// on the worker (a worker that computes for long would hold the waiter up).
#pragma once

#include <cstddef>
#include <cstdint>

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

class group_count {
public:
    enum class outcome : std::uint8_t { more, zero_and_waited, negative };

    /// The most tasks that may ever be added, and so that finish() may take.
    static constexpr std::int64_t most = std::int64_t{1} << 59;

    /// n more tasks, at least 0. Called by one that the count includes, or while nobody waits.
    /// False, and the group is of no use any more: those added are too many.
    bool add(std::int64_t n) noexcept {
        // relaxed: reaches whoever must see it by way of the task that is started, or of ended_.
        return n <= most && added_.fetch_add(n, relaxed) <= most - n;
    }

    /// n tasks have ended. zero_and_waited: the caller takes the waiters' lock, calls settle() and
    /// wakes them.
    outcome finish(std::int64_t n) noexcept {
        // acquire: what others did before they ended their tasks is visible to whoever sees zero,
        // and with the bit, what was added before the wait.
        std::int64_t before = ended_.load(acquire);
        for (;;) {
            std::int64_t after = before + n * one;
            const bool waited = (before & waited_for) != 0;
            std::int64_t added = added_at_least_.load(relaxed);
            if (after / one >= added + (waited ? 0 : 1)) {
                added = added_.load(relaxed);
                if (after / one > added) return outcome::negative;
                added_at_least_.store(added, relaxed);
            }
            const bool wakes = waited && (before & waking) == 0 && after / one == added;
            if (wakes) after |= waking;
            // release: pairs with the acquire loads of ended_.
            if (ended_.compare_exchange_weak(before, after, acq_rel, acquire))
                return wakes ? outcome::zero_and_waited : outcome::more;
        }
    }

    /// Under the waiters' lock. True: the count is zero, and nobody is about to wake waiters.
    /// False: whoever makes it zero will get zero_and_waited.
    bool zero_or_wait() noexcept {
        std::int64_t ended = ended_.load(acquire);
        for (;;) {
            if ((ended & waited_for) != 0) return false;
            if (ended / one == added_.load(relaxed)) return true;
            // release: pairs with the acquire in finish(), which then sees what has been added.
            if (ended_.compare_exchange_weak(ended, ended | waited_for, acq_rel, acquire))
                return false;
        }
    }

    /// Under the waiters' lock, after zero_and_waited. False: the group is in use again, and
    /// whoever makes it zero then wakes.
    bool settle() noexcept {
        std::int64_t ended = ended_.load(acquire);
        for (;;) {
            const bool zero = ended / one == added_.load(relaxed);
            const std::int64_t after = ended & ~(zero ? waking | waited_for : waking);
            if (ended_.compare_exchange_weak(ended, after, acq_rel, acquire)) return zero;
        }
    }

private:
    static constexpr std::int64_t waited_for = 1;
    static constexpr std::int64_t waking = 2;  // somebody has got zero_and_waited and not settled
    static constexpr std::int64_t one = 4;

    atomic<std::int64_t> added_{0};
    // Two lines, since CPUs fetch them in pairs. Not alignas: a coroutine frame may hold this.
    [[maybe_unused]] std::byte apart_[120];
    atomic<std::int64_t> ended_{0};           // times four, plus the two bits
    atomic<std::int64_t> added_at_least_{0};  // written before ended_, by whoever ends a task
};

}  // namespace sluice::detail
