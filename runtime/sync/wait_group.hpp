// Waiting for a number of tasks to end.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include <sluice/runtime/detail/group_count.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

/// A counter that can be waited for to reach zero. All members may be called from any thread. May
/// be used again once every wait() has returned: used earlier, a wait that zero has not let go yet
/// may wait for the next zero, which nothing detects. Must outlive the operations on it; done()
/// does not touch it after readying the waiters.
class wait_group {
public:
    wait_group() = default;
    wait_group(const wait_group&) = delete;
    wait_group& operator=(const wait_group&) = delete;

    /// A counter that would become negative is fatal: it reports and aborts. So are more than 2^59
    /// tasks in the life of a group.
    void add(std::int64_t n = 1) noexcept {
        if (n >= 0) {
            if (!count_.add(n)) die_of_many();
        } else if (n >= -detail::group_count::most) {
            finish(-n);
        } else {
            die_negative();
        }
    }
    void done() noexcept { finish(1); }

    /// Starts fn(args...) as sluice::go does, counted until it ends, also when it is cut by a
    /// shutdown.
    template <class F, class... Args>
    void go(F&& fn, Args&&... args);

    /// Operation: waits until the counter is zero. What the tasks did before their done() is
    /// visible afterwards.
    auto wait() noexcept;

private:
    friend class wait_group_leaf;

    void finish(std::int64_t n) noexcept;
    [[noreturn]] static void die_negative() noexcept;
    [[noreturn]] static void die_of_many() noexcept;
    void wake_waiters() noexcept;

    detail::group_count count_;
    detail::spin_lock gate_{detail::lock_rank::wait_group};
    detail::wait_queue waiters_;  // under gate_
};

class wait_group_leaf final : public detail::leaf {
public:
    explicit wait_group_leaf(wait_group& g) noexcept : group_(g) {}
    wait_group_leaf(wait_group_leaf&&) noexcept = default;
    detail::spin_lock* gate() noexcept override { return &group_.gate_; }
    bool ready() noexcept override { return group_.count_.zero_or_wait(); }
    bool commit(detail::wake_list&) noexcept override { return group_.count_.zero_or_wait(); }
    void enlist() noexcept override { group_.waiters_.push_back(*this); }
    detail::wait_site site() const noexcept override { return {"wait of a wait_group", &group_}; }

private:
    wait_group& group_;
};

class [[nodiscard]] wait_group_operation : public detail::sole_operation<wait_group_operation> {
public:
    using result_type = void;
    explicit wait_group_operation(wait_group& g) noexcept : leaf_(g) {}
    wait_group_operation(wait_group_operation&&) noexcept = default;

    wait_group_leaf& the_leaf() noexcept { return leaf_; }
    void take(std::size_t) const noexcept {}

private:
    wait_group_leaf leaf_;
};

inline auto wait_group::wait() noexcept {
    return wait_group_operation(*this);
}

namespace detail {

/// One count of a group, given back at the end of the task, also when it is cut before its first
/// step.
class counted {
public:
    explicit counted(wait_group& g) noexcept : group_(&g) { g.add(1); }
    counted(counted&& other) noexcept : group_(std::exchange(other.group_, nullptr)) {}
    counted& operator=(counted&&) = delete;
    ~counted() {
        if (group_ != nullptr) group_->done();
    }

private:
    wait_group* group_;
};

template <class F, class... Args>
task<> call_counted([[maybe_unused]] counted count, F fn, Args... args) {
    if constexpr (is_task<std::invoke_result_t<F, Args...>>) {
        auto body = std::invoke(std::move(fn), std::move(args)...);
        co_await origin_of(body.origin());
        static_cast<void>(co_await std::move(body));
    } else {
        static_cast<void>(std::invoke(std::move(fn), std::move(args)...));
        co_return;
    }
}

}  // namespace detail

template <class F, class... Args>
void wait_group::go(F&& fn, Args&&... args) {
    detail::scheduler& here = detail::scheduler_here("wait_group::go()");
    detail::start_detached(
        here, detail::call_counted<std::decay_t<F>, std::decay_t<Args>...>(
                  detail::counted(*this), std::forward<F>(fn), std::forward<Args>(args)...));
}

}  // namespace sluice
