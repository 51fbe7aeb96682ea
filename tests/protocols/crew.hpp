#pragma once

// Tasks on workers of the explorer. What waits and what readies is the product's own code; workers,
// the lock of a source and memory are replaced (stand_in/).
//
//     explore([] {
//         chan<int> ch = make_chan<int>();
//         auto sender = [&]() -> task<> { co_await ch.send(1); };
//         crew workers;
//         workers.add(sender());
//         workers.run();
//     });
//
// A task that is never readied is found as a deadlock: its worker spins for ever.

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
    void add(task<> t) { scheduler_.start(detail::runnable::from_frame(t.release())); }

    /// Until all tasks have ended, with two workers and, beside them, threads that are none.
    template <class... Foreign>
    void run(Foreign... foreign) {
        const auto work = [this] { scheduler_.work(); };
        thread a(work);
        thread b(work);
        (outside(foreign), ...);
    }

private:
    template <class Foreign>
    static void outside(Foreign foreign) {
        be_foreign();
        foreign();
    }

    detail::scheduler scheduler_;
};

}  // namespace sluice::model
