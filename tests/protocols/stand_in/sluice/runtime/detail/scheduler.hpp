// What the protocols need of a scheduler: a place for what is ready, and the pins.
#pragma once

#include <cstdint>
#include <list>

#include <sluice/runtime/detail/promise.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::detail {

class scheduler {
public:
    scheduler() noexcept;
    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;
    ~scheduler();

    void start(runnable* frame) noexcept;
    void ready(runnable* r) noexcept;
    void inject(runnable* r) noexcept { ready(r); }
    void ended() noexcept;
    /// Runs what is ready until all tasks have ended.
    void work();

    void pin() noexcept { pins_.fetch_add(1, acq_rel); }
    void unpin() noexcept { pins_.fetch_sub(1, release); }
    void wait_until_unpinned() const noexcept {
        while (pins_.load(acquire) != 0) cpu_relax();
    }
    std::uint32_t id() const noexcept { return 1; }
    bool simulated() const noexcept { return false; }
    static scheduler* find_and_pin(std::uint32_t id) noexcept;

    worker& only_worker() noexcept { return worker_; }

private:
    static constexpr std::uint32_t one_task = 0x10000;

    atomic<std::uint32_t> counts_{0};  // of ready ones, and from one_task on of tasks
    std::list<runnable*> ready_;       // touched in one step with counts_
    atomic<std::int64_t> pins_{0};
    worker worker_{*this};
};

void action_mark(void*);

}  // namespace sluice::detail
