// The count of a wait_group under the explorer: a waiter ends the group as soon as the count is
// zero.

#include <sluice/runtime/detail/group_count.hpp>

#include <mutex>
#include <optional>
#include <utility>

#include <sluice/runtime/detail/spin_lock.hpp>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::park;
using sluice::model::thread;
using sluice::model::unpark;

namespace model = sluice::model;

namespace {

// What wait_group makes of the count, with one waiter.
struct group {
    group_count count;
    spin_lock gate{lock_rank::wait_group};
    bool waiting = false;  // under gate
    std::size_t waiter = 0;

    void finish(std::int64_t n) {
        const group_count::outcome o = count.finish(n);
        check(o != group_count::outcome::negative, "the count became negative");
        if (o != group_count::outcome::zero_and_waited) return;
        bool wakes = false;
        std::size_t whom = 0;
        {
            const std::lock_guard guard(gate);
            if (!count.settle()) return;
            wakes = std::exchange(waiting, false);
            whom = waiter;
        }
        if (wakes) unpark(whom);
    }

    void wait(std::size_t self) {
        {
            const std::lock_guard guard(gate);
            if (count.zero_or_wait()) return;
            waiting = true;
            waiter = self;
        }
        park();
    }
};

// The calling thread adds and waits, so many threads end one task each; then the group is gone.
model::program waits_for(int threads) {
    return [threads] {
        plain<int> done[3] = {0, 0, 0};
        std::optional<thread> ends[3];
        {
            std::optional<group> g(std::in_place);
            for (int i = 0; i != threads; ++i) {
                g->count.add(1);
                ends[i].emplace([&g, &done, i] {
                    done[i] = 1;
                    g->finish(1);
                });
            }
            g->wait(model::this_thread());
            g.reset();
            for (int i = 0; i != threads; ++i) check(done[i] == 1, "it did not wait for all");
        }
    };
}

}  // namespace

TEST_CASE("group_count: a waiter sees zero once, after all have ended, and may end the group") {
    model::require_exhausted(waits_for(1));
    model::require_exhausted(waits_for(2));
    model::require_sound(waits_for(3));
}

TEST_CASE("group_count: a task that is counted may add before it ends") {
    model::require_sound([] {
        std::optional<group> g(std::in_place);
        std::optional<thread> child;
        g->count.add(1);
        thread parent([&] {
            g->count.add(1);
            child.emplace([&] { g->finish(1); });
            g->finish(1);
        });
        g->wait(model::this_thread());
        g.reset();
        parent.join();
    });
}

TEST_CASE("group_count: it counts anew after a wait") {
    model::require_sound([] {
        group g;
        for (int round = 0; round != 2; ++round) {
            g.count.add(2);
            thread a([&] { g.finish(1); });
            thread b([&] { g.finish(1); });
            g.wait(model::this_thread());
        }
    });
}

TEST_CASE("group_count: after a wait that was given up nobody is left who would still wake") {
    model::require_sound([] {
        std::optional<group> g(std::in_place);
        g->count.add(1);
        thread a([&] { g->finish(1); });
        {
            const std::lock_guard guard(g->gate);  // a wait whose time is up at once
            static_cast<void>(g->count.zero_or_wait());
        }
        g->count.add(1);
        thread b([&] { g->finish(1); });
        g->wait(model::this_thread());
        g.reset();
    });
}

TEST_CASE("group_count: more ends than tasks are told") {
    model::require_exhausted([] {
        group_count count;
        count.add(1);
        check(count.finish(1) == group_count::outcome::more, "nobody waited");
        check(count.finish(1) == group_count::outcome::negative, "a negative count went unseen");
    });
}
