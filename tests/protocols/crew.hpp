#pragma once

// Tasks on workers of the explorer. What waits and what readies is the product's own code; workers,
// the lock of a source and memory are replaced (stand_in/).
//
//     explore([] {
//         chan<int> ch = make_chan<int>();
//         auto sender = [&]() -> task<> { co_await ch.send(1); };
//         auto receiver = [&]() -> task<> { co_await ch.recv(); };
//         crew workers;
//         workers.run(sender(), receiver());
//     });
//
// A task that is never readied is found as a deadlock: its worker spins for ever.

#include <utility>

#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/task.hpp>

#include "../model/verdict.hpp"

namespace sluice::model {

/// For a program with millions of schedules: more of them by chance.
inline effort by_chance() {
    effort e;
    e.random_schedules = 300'000;
    e.search_schedules = 100'000;
    return e;
}

class crew {
public:
    /// Until the tasks have ended, on two workers.
    template <class... Tasks>
    void run(Tasks... tasks) {
        run_while([] {}, std::move(tasks)...);
    }

    /// The same, while a thread that is no worker calls outside().
    template <class Outside, class... Tasks>
    void run_beside(const Outside& outside, Tasks... tasks) {
        const auto from_outside = [&outside] {
            be_foreign();
            outside();
        };
        run_while(from_outside, std::move(tasks)...);
    }

private:
    template <class Meanwhile, class... Tasks>
    void run_while(const Meanwhile& meanwhile, Tasks... tasks) {
        (scheduler_.start(detail::runnable::from_frame(tasks.release())), ...);
        const auto work = [this] { scheduler_.work(); };
        thread a(work);
        thread b(work);
        meanwhile();
    }

    detail::scheduler scheduler_;
};

}  // namespace sluice::model
