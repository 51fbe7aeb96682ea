// Letting time or others pass: sleep_for, sleep_until, yield.
#pragma once

#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdint>

#include <sluice/runtime/detail/timer_queue.hpp>
#include <sluice/runtime/operation.hpp>

namespace sluice {

namespace detail {

/// now() + d, saturating: a sleep without end still counts as a timer.
std::int64_t deadline_after_ns(std::int64_t nanoseconds) noexcept;

template <class Rep, class Period>
std::int64_t deadline_after(std::chrono::duration<Rep, Period> d) noexcept {
    return deadline_after_ns(std::max<std::int64_t>(saturated(d), 0));
}

class timer_leaf final : public leaf, private timer_node {
public:
    explicit timer_leaf(std::int64_t until) noexcept : timer_node(&timer_leaf::fire) {
        when = until;
    }
    timer_leaf(timer_leaf&& other) noexcept : timer_leaf(other.when) {}

    spin_lock* gate() noexcept override;
    bool commit(wake_list&) noexcept override { return when <= now(); }
    bool try_commit() noexcept override;
    void enlist() noexcept override;
    void retract() noexcept override;
    wait_site site() const noexcept override { return {"a timer", this}; }

private:
    static runnable* fire(timer_node& node, wake_list& wakes) noexcept;
};

class [[nodiscard]] sleep_operation : public sole_operation<sleep_operation> {
public:
    using result_type = void;
    explicit sleep_operation(std::int64_t until) noexcept : leaf_(until) {}
    sleep_operation(sleep_operation&&) noexcept = default;

    timer_leaf& the_leaf() noexcept { return leaf_; }
    void take(std::size_t) const noexcept {}

private:
    timer_leaf leaf_;
};

struct [[nodiscard]] yield_awaiter {
    using sluice_awaitable = void;
    yield_awaiter() noexcept {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
        frame.promise().runs_again();
        run_last(runnable::from_frame(frame));
    }
    void await_resume() const noexcept {}
};

}  // namespace detail

/// The time by which timers go: of the steady clock, or virtual in a simulation. Any thread.
inline std::chrono::steady_clock::time_point now() noexcept {
    return detail::to_time_point(detail::now());
}

/// Operation: waits for that long, counted from this call; not at all for zero or less. Timers are
/// precise to some tens of microseconds on an idle worker. A sleep that loses a race or is cut has
/// no effect. Each that waits, and each bound in time, takes 16 bytes of the worker's list of
/// timers; if there is no memory for that list the process ends, and says so.
template <class Rep, class Period>
auto sleep_for(std::chrono::duration<Rep, Period> d) noexcept {
    return detail::sleep_operation(detail::deadline_after(d));
}

/// Operation: waits until then.
inline auto sleep_until(std::chrono::steady_clock::time_point t) noexcept {
    return detail::sleep_operation(
        std::min(detail::to_nanoseconds(t), detail::timer_queue::never - 1));
}

/// co_await yield(): every task that is ready on this worker runs before this one goes on. Of more
/// than 256 some stand in the runtime's common queue, which all workers serve, and may run later.
inline auto yield() noexcept {
    return detail::yield_awaiter();
}

}  // namespace sluice
