// Waiting for a number of tasks to end.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

/// A counter that can be waited for to reach zero. All members may be called from any thread. May be used again once
/// every wait() has returned. Must outlive the operations on it; done() does not touch it after readying the waiters.
class wait_group {
public:
    wait_group() = default;
    wait_group(const wait_group&) = delete;
    wait_group& operator=(const wait_group&) = delete;

    /// A counter that would become negative is fatal: it reports and aborts.
    void add(std::int64_t n = 1) noexcept;
    void done() noexcept { add(-1); }

    /// Starts fn(args...) as sluice::go does, counted until it ends, also when it is cut by a shutdown.
    template <class F, class... Args>
    void go(F&& fn, Args&&... args);

    /// Operation: waits until the counter is zero. What the tasks did before their done() is visible afterwards.
    auto wait() noexcept;

private:
    friend class wait_group_leaf;

    detail::spin_lock gate_;
    std::int64_t count_ = 0;      // under gate_
    detail::wait_queue waiters_;  // under gate_
};

class wait_group_leaf final : public detail::leaf {
public:
    explicit wait_group_leaf(wait_group& g) noexcept : group_(g) {}
    wait_group_leaf(wait_group_leaf&&) noexcept = default;
    detail::spin_lock* gate() noexcept override { return &group_.gate_; }
    bool ready() noexcept override { return group_.count_ == 0; }
    bool commit(detail::wake_list&) noexcept override { return ready(); }
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
    ~wait_group_operation() { abandon_if_parked(); }

    wait_group_leaf& the_leaf() noexcept { return leaf_; }
    void take(std::size_t) const noexcept {}

private:
    wait_group_leaf leaf_;
};

inline auto wait_group::wait() noexcept {
    return wait_group_operation(*this);
}

namespace detail {

template <class F, class... Args>
task<> call_counted(wait_group& group, F fn, Args... args) {
    struct count_down {
        explicit count_down(wait_group& g) noexcept : group(g) {}
        ~count_down() { group.done(); }
        wait_group& group;
    } const count(group);
    if constexpr (is_task<std::invoke_result_t<F, Args...>>) {
        auto body = std::invoke(std::move(fn), std::move(args)...);
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
    auto body = detail::call_counted<std::decay_t<F>, std::decay_t<Args>...>(*this, std::forward<F>(fn),
                                                                             std::forward<Args>(args)...);
    add(1);
    if (!detail::start_detached(here, std::move(body))) done();
}

}  // namespace sluice
