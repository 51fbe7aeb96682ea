#include <sluice/runtime/detail/lock_rank.hpp>

namespace sluice::detail {

#if defined(SLUICE_CHECKED)
const bool library_is_checked = true;
#else
const bool library_is_unchecked = true;
#endif

}  // namespace sluice::detail

#if defined(SLUICE_CHECKED)

#include <array>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <functional>

#include <sluice/runtime/detail/misuse.hpp>

namespace sluice::detail {

namespace {

constexpr std::array names{
    "completion queue",
    "channel",
    "ring_channel",
    "subscription",
    "task group",
    "context",
    "mutex",
    "rw_mutex",
    "semaphore",
    "wait_group",
    "join",
    "descriptor",
    "ticker's control",
    "timer queue",
    "ticker",
    "list of registrations",
    "stop inbox",
    "registry of schedulers",
    "list of sleepers",
    "global queue",
    "list of timer queues",
    "pool",
    "list of frame pools",
    "frame pool",
};
static_assert(names.size() == static_cast<std::size_t>(lock_rank::frame_pool) + 1);
static_assert(names.size() <= 32);

// What this thread holds, by rank.
struct held_locks {
    std::uint32_t ranks = 0;  // one bit each
    std::array<std::uint32_t, names.size()> count{};
    const void* latest_channel = nullptr;  // they are let go all at once
};
constinit thread_local held_locks locks_held;

}  // namespace

void ranked::locks(const void* lock) const noexcept {
    const auto mine = static_cast<std::size_t>(rank_);
    const std::uint32_t from_mine = locks_held.ranks >> mine;
    if (from_mine == 0) return;
    if (from_mine == 1 && rank_ == lock_rank::channel &&
        std::less<>()(locks_held.latest_channel, lock))
        return;
    const std::size_t innermost = static_cast<std::size_t>(std::bit_width(locks_held.ranks)) - 1;
    std::array<char, 160> text;
    std::snprintf(text.data(), text.size(),
                  "locks are taken out of order: that of a %s by who holds that of a %s "
                  "(runtime/detail/lock_rank.hpp)",
                  names[mine], names[innermost]);
    die_of_misuse(text.data());
}

void ranked::has_locked(const void* lock) const noexcept {
    const auto mine = static_cast<std::size_t>(rank_);
    locks_held.ranks |= std::uint32_t{1} << mine;
    ++locks_held.count[mine];
    if (rank_ == lock_rank::channel) locks_held.latest_channel = lock;
}

void ranked::unlocks() const noexcept {
    const auto mine = static_cast<std::size_t>(rank_);
    if (--locks_held.count[mine] == 0) locks_held.ranks &= ~(std::uint32_t{1} << mine);
}

}  // namespace sluice::detail

#endif
