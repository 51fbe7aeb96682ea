// The work-stealing queue under the explorer, with four slots, so that a few steps reach its edges.

#include <sluice/runtime/detail/deque.hpp>

#include "task.hpp"
#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::prepared;
using sluice::model::task;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

static_assert(deque::capacity == 4);

using tasks = std::array<task, 6>;

// Runs what one thread took, which must be in the order in which it was pushed.
class runner {
public:
    void take(runnable* r) {
        const int number = model::run(r);
        check(number > last_, "a later task was taken first");
        last_ = number;
    }

    void drain(deque& q) {
        while (runnable* const r = q.pop()) take(r);
    }

private:
    int last_ = -1;
};

// Steals once, and runs all it got: the task returned was the last of them.
void steal_and_run(deque& victim, deque& own) {
    runnable* const last = victim.steal_into(own);
    if (last == nullptr) return;
    runner mine;
    mine.drain(own);
    mine.take(last);
}

void push(deque& q, tasks& all, int first, int count) {
    for (int i = first; i != first + count; ++i) {
        check(q.push(prepared(all[i], i)), "a queue with room refused a task");
    }
}

void check_all_ran(tasks& all, int count) {
    for (int i = 0; i != count; ++i) check(all[i].runs == 1, "a task was lost");
}

}  // namespace

TEST_CASE("deque: a task goes to the owner or to the thief, whole, in order, exactly once") {
    model::require_exhausted([] {
        tasks all;
        deque q;
        {
            thread owner([&] {
                push(q, all, 0, 3);
                runner().drain(q);
            });
            thread thief([&] {
                deque own;
                steal_and_run(q, own);
            });
        }
        check_all_ran(all, 3);
    });
}

TEST_CASE("deque: a slot that a thief still reads may be used again") {
    model::require_exhausted([] {
        tasks all;
        deque q;
        {
            thread owner([&] {
                runner mine;
                push(q, all, 0, 4);
                for (int i = 0; i != 2; ++i) {
                    if (runnable* const r = q.pop()) mine.take(r);
                }
                push(q, all, 4, 2);
                mine.drain(q);
            });
            thread thief([&] {
                deque own;
                steal_and_run(q, own);
            });
        }
        check_all_ran(all, 6);
    });
}

TEST_CASE("deque: a full queue gives up its older half, or a thief has made room") {
    model::require_exhausted([] {
        tasks all;
        deque q;
        {
            thread owner([&] {
                runner mine;
                push(q, all, 0, 4);
                if (!q.push(prepared(all[4], 4))) {
                    std::array<runnable*, deque::capacity / 2> half;
                    const std::uint32_t n = q.take_half(half);
                    check(n == 0 || n == 2, "not a half");
                    for (std::uint32_t i = 0; i != n; ++i) mine.take(half[i]);
                    push(q, all, 4, 1);
                }
                mine.drain(q);
            });
            thread thief([&] {
                deque own;
                steal_and_run(q, own);
            });
        }
        check_all_ran(all, 5);
    });
}

TEST_CASE("deque: two thieves share the loot exactly once") {
    model::require_exhausted([] {
        tasks all;
        deque q;
        {
            push(q, all, 0, 4);
            const auto steal = [&] {
                deque own;
                steal_and_run(q, own);
            };
            thread one(steal);
            thread other(steal);
            runner().drain(q);
        }
        check_all_ran(all, 4);
    });
}

TEST_CASE("deque: loot can be stolen in its turn, from a queue that was empty before") {
    model::require_exhausted([] {
        tasks all;
        deque q;
        deque middle;
        deque last;
        {
            thread owner([&] {
                push(q, all, 0, 4);
                runner().drain(q);
            });
            thread thief([&] {
                for (int i = 0; i != 2; ++i) steal_and_run(q, middle);
            });
            thread thief_of_thief([&] {
                for (int i = 0; i != 2; ++i) steal_and_run(middle, last);
            });
        }
        check_all_ran(all, 4);
    });
}

TEST_CASE("deque: a queue at rest tells its size, one in motion at most its capacity") {
    model::require_exhausted([] {
        tasks all;
        deque q;
        {
            thread owner([&] {
                runner mine;
                push(q, all, 0, 4);
                mine.take(q.pop());
                mine.take(q.pop());
                push(q, all, 4, 2);
                mine.drain(q);
                check(q.empty(), "a drained queue is not empty");
            });
            thread witness([&] {
                for (int i = 0; i != 3; ++i) check(q.size() <= 4, "more than the capacity");
            });
        }
        tasks more;
        push(q, more, 0, 2);
        check(q.size() == 2, "the size is wrong");
    });
}

TEST_CASE("deque: the recheck after a heavy fence sees what was pushed before a light one") {
    model::require_exhausted([] {
        tasks all;
        deque q;
        atomic<bool> idle{false};
        bool pusher_saw_idle = false;
        bool sleeper_saw_work = false;
        {
            thread pusher([&] {
                push(q, all, 0, 1);
                light_fence();
                pusher_saw_idle = idle.load(relaxed);
            });
            thread sleeper([&] {
                idle.store(true, relaxed);
                heavy_fence();
                sleeper_saw_work = !q.empty();
            });
        }
        check(pusher_saw_idle || sleeper_saw_work, "both missed the other");
    });
}
