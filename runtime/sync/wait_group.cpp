#include <sluice/runtime/sync/wait_group.hpp>

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice {

void wait_group::add(std::int64_t n) noexcept {
    // acq_rel: what the tasks did before done() is visible to whoever sees zero.
    const std::int64_t word = word_.fetch_add(n * one, detail::acq_rel) + n * one;
    if (word < 0) {
        std::fputs("sluice: the counter of a wait_group became negative\n", stderr);
        std::abort();
    }
    if (word == waited_for) wake_waiters();
}

// Gate held. True: the count is zero and nobody is about to wake waiters. False: whoever makes it
// zero will do that.
bool wait_group::zero_or_wait() noexcept {
    std::int64_t word = word_.load(detail::acquire);
    while (word != 0) {
        if ((word & waited_for) != 0) return false;
        if (word_.compare_exchange_weak(word, word | waited_for, detail::acq_rel, detail::acquire))
            return false;
    }
    return true;
}

void wait_group::wake_waiters() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        // If the group is in use again meanwhile, whoever makes it zero then wakes.
        std::int64_t expected = waited_for;
        if (!word_.compare_exchange_strong(expected, 0, detail::acq_rel, detail::acquire)) return;
        detail::claim_all(waiters_, wakes, [](detail::leaf&) {});
    }
    wakes.wake_all();
}

}  // namespace sluice
