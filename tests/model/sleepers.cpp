// The parking protocol under the explorer, with real queues and a worker of a few lines around it.
//
// The pusher queues tasks and then computes for ever, so other workers must come for them. Each
// task waits until all of them run: not even one worker may sleep while a task waits.

#include <sluice/runtime/detail/sleepers.hpp>

#include <algorithm>
#include <array>

#include <sluice/runtime/detail/deque.hpp>

#include "task.hpp"
#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::park;
using sluice::model::prepared;
using sluice::model::task;
using sluice::model::thread;
using sluice::model::unpark;

namespace model = sluice::model;

namespace {

// What a worker may forget; the protocol is all of it.
struct protocol {
    bool announce_first = true;
    bool heavy = true;
    bool recheck = true;
    bool search_ends = true;
    bool last_searcher_picks = true;
    bool searches_after_recheck = true;  // counted so from the moment it is awake
};

class pool {
public:
    static constexpr int thieves = 2;

    explicit pool(protocol p, bool foreign = false) : protocol_(p), foreign_(foreign) {}

    // Worker 0, which runs nothing. For a foreign thread its queue stands for the global one: then
    // others take from it whether they search or not.
    void push_all() {
        for (int i = 0; i != thieves; ++i) {
            check(queues_[0].push(prepared(all_[i], i)), "the queue is full");
            wake(foreign_ ? sleepers_.pick_from_outside() : sleepers_.pick());
        }
    }

    // Workers 1 and 2: run one task each.
    void work(int me) {
        threads_[me].store(model::this_thread(), release);
        bool searching = false;
        for (;;) {
            if (runnable* const r = find(me, searching)) {
                if (searching) end_search();
                model::run(r);
                meet();
                return;
            }
            sleep(me, searching);
        }
    }

private:
    runnable* find(int me, bool& searching) {
        if (foreign_) {
            if (runnable* const r = queues_[0].steal_into(queues_[me])) return r;
        }
        if (!searching) searching = sleepers_.start_searching();
        return searching ? steal(me) : nullptr;
    }

    runnable* steal(int me) {
        for (int i = 0; i <= thieves; ++i) {
            if (i == me) continue;
            if (runnable* const r = queues_[i].steal_into(queues_[me])) return r;
        }
        return nullptr;
    }

    bool work_visible() const {
        return std::any_of(queues_.begin(), queues_.end(), [](auto& q) { return !q.empty(); });
    }

    void end_search() {
        if (!protocol_.search_ends) return;
        if (sleepers_.stop_searching() && protocol_.last_searcher_picks) wake(sleepers_.pick());
    }

    void sleep(int me, bool& searching) {
        const bool seen_before = !protocol_.announce_first && work_visible();
        sleepers_.announce(me, searching);
        if (protocol_.heavy) heavy_fence();
        const bool seen = protocol_.announce_first ? work_visible() : seen_before;
        const bool stays = protocol_.recheck && seen;
        if (!stays) park();
        searching = sleepers_.withdraw(me, stays && protocol_.searches_after_recheck);
        if (stays) cpu_relax();  // work that another searching worker takes: let it
    }

    void meet() {
        running_.fetch_add(1, relaxed);
        while (running_.load(relaxed) != thieves) cpu_relax();
    }

    void wake(int worker) {
        if (worker != sleepers::nobody) unpark(threads_[worker].load(acquire));
    }

    const protocol protocol_;
    const bool foreign_;
    sleepers sleepers_{thieves + 1};
    std::array<task, thieves> all_;
    std::array<deque, thieves + 1> queues_;
    std::array<atomic<std::size_t>, thieves + 1> threads_{};
    atomic<int> running_{0};
};

model::program two_tasks_for_two(protocol p, bool foreign = false) {
    return [=] {
        // Nobody becomes a favourite of the lock inside: spin_lock.cpp explores that by itself.
        model::be_foreign();
        pool workers(p, foreign);
        const auto work = [&workers](int id) {
            model::be_foreign();
            workers.work(id);
        };
        thread one([&] { work(1); });
        thread other([&] { work(2); });
        workers.push_all();
    };
}

}  // namespace

TEST_CASE("sleepers: no worker sleeps while a task of a busy worker waits") {
    model::require_exhausted(two_tasks_for_two({}));
}

TEST_CASE("sleepers: no worker sleeps while a task from a foreign thread waits") {
    model::require_exhausted(two_tasks_for_two({}, true));
}

TEST_CASE("sleepers: the explorer finds the lost wakeup when a step of the protocol is dropped") {
    model::require_found(two_tasks_for_two({.recheck = false}), "lost wakeup");
    model::require_found(two_tasks_for_two({.heavy = false}), "lost wakeup");
    model::require_found(two_tasks_for_two({.announce_first = false}), "lost wakeup");
    model::require_found(two_tasks_for_two({.last_searcher_picks = false}), "lost wakeup");
    model::require_found(two_tasks_for_two({.search_ends = false}), "lost wakeup");
    model::require_found(two_tasks_for_two({.searches_after_recheck = false}, true), "lost wakeup");
}

TEST_CASE("sleepers: picking and withdrawing agree on who was idle") {
    // Whoever is picked searches; whoever withdraws unpicked runs. The counts come out even.
    model::require_exhausted([] {
        sleepers all(3);
        int picked = sleepers::nobody;
        bool was_idle = false;
        {
            thread sleeper([&] {
                all.announce(1, false);
                was_idle = !all.withdraw(1, false);
            });
            thread pusher([&] { picked = all.pick(); });
        }
        check(was_idle == (picked == sleepers::nobody), "picked and withdrawn, or neither");
        check(all.idle_count() == 0, "somebody is still idle");
        if (picked == 1) check(all.stop_searching(), "the picked worker was not searching");
    });
}

TEST_CASE("sleepers: a burst of pushes wakes one worker, which searches") {
    model::require_exhausted([] {
        sleepers all(4);
        all.announce(1, false);
        all.announce(2, false);
        int woken = 0;
        {
            int by_pusher = sleepers::nobody;
            int by_other = sleepers::nobody;
            thread pusher([&] { by_pusher = all.pick(); });
            thread other([&] { by_other = all.pick_from_outside(); });
            pusher.join();
            other.join();
            woken = (by_pusher != sleepers::nobody) + (by_other != sleepers::nobody);
        }
        check(woken == 1, "not one worker was woken");
        check(all.idle_count() == 1, "not one worker is left idle");
    });
}

TEST_CASE("sleepers: half of the running workers search at most, as one thread counts them") {
    model::require_exhausted([] {
        sleepers all(4);
        check(all.start_searching() && all.start_searching(), "a searcher was refused");
        check(!all.start_searching(), "three of four search");
        check(!all.stop_searching() && all.stop_searching(), "the last one was not told");
    });
}
