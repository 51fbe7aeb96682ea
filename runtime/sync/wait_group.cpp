#include <sluice/runtime/sync/wait_group.hpp>

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace sluice {

void wait_group::add(std::int64_t n) noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        count_ += n;
        if (count_ < 0) {
            std::fputs("sluice: the counter of a wait_group became negative\n", stderr);
            std::abort();
        }
        if (count_ == 0) detail::claim_all(waiters_, wakes, [](detail::leaf&) {});
    }
    wakes.wake_all();
}

}  // namespace sluice
