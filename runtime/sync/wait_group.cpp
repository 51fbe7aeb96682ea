#include <sluice/runtime/sync/wait_group.hpp>

#include <mutex>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/misuse.hpp>

namespace sluice {

void wait_group::finish(std::int64_t n) noexcept {
    switch (count_.finish(n)) {
        case detail::group_count::outcome::more:
            return;
        case detail::group_count::outcome::zero_and_waited:
            wake_waiters();
            return;
        case detail::group_count::outcome::negative:
            die_negative();
    }
}

void wait_group::die_negative() noexcept {
    detail::die_of_misuse("the counter of a wait_group became negative");
}

void wait_group::die_of_many() noexcept {
    detail::die_of_misuse("a wait_group was given more than 2^59 tasks");
}

void wait_group::wake_waiters() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (!count_.settle()) return;
        detail::claim_all(waiters_, wakes, [](detail::leaf&) {});
    }
    wakes.wake_all();
}

}  // namespace sluice
