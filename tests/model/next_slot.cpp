// The slot of the next task under the explorer: the owner's plain stores against a thief's fence.

#include <sluice/runtime/detail/next_slot.hpp>

#include "task.hpp"
#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::prepared;
using sluice::model::task;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

void steal_and_run(next_slot& slot) {
    if (runnable* const r = slot.steal()) model::run(r);
}

void check_all_ran(std::array<task, 3>& all) {
    for (task& t : all) check(t.runs == 1, "a task was lost");
}

}  // namespace

TEST_CASE("next_slot: what the owner puts and takes, and a thief steals, runs exactly once") {
    model::require_exhausted([] {
        std::array<task, 3> all;
        next_slot slot;
        {
            thread owner([&] {
                for (int i = 0; i != 3; ++i) {
                    if (runnable* const before = slot.put(prepared(all[i], i))) model::run(before);
                }
                if (runnable* const r = slot.take()) model::run(r);
                check(slot.take() == nullptr, "a slot holds more than one task");
            });
            thread thief([&] { steal_and_run(slot); });
        }
        check_all_ran(all);
    });
}

TEST_CASE("next_slot: an owner that takes each task at once races a persistent thief") {
    model::require_exhausted([] {
        std::array<task, 3> all;
        next_slot slot;
        {
            thread owner([&] {
                for (int i = 0; i != 3; ++i) {
                    slot.put(prepared(all[i], i));
                    if (runnable* const r = slot.take()) model::run(r);
                }
            });
            thread thief([&] {
                for (int i = 0; i != 3; ++i) steal_and_run(slot);
            });
        }
        check_all_ran(all);
    });
}

TEST_CASE("next_slot: two thieves and the owner share the tasks exactly once") {
    model::require_exhausted([] {
        std::array<task, 3> all;
        next_slot slot;
        {
            thread owner([&] {
                for (int i = 0; i != 3; ++i) {
                    if (runnable* const before = slot.put(prepared(all[i], i))) model::run(before);
                }
                if (runnable* const r = slot.take()) model::run(r);
            });
            thread one([&] { steal_and_run(slot); });
            thread other([&] { steal_and_run(slot); });
        }
        check_all_ran(all);
    });
}

TEST_CASE("next_slot: a thief alone takes what is there") {
    model::require_exhausted([] {
        std::array<task, 3> all;
        next_slot slot;
        slot.put(prepared(all[0], 0));
        check(!slot.empty(), "a full slot is empty");
        runnable* stolen = nullptr;
        {
            thread thief([&] { stolen = slot.steal(); });
        }
        check(stolen == &all[0], "the thief got nothing");
        check(slot.empty() && slot.take() == nullptr, "the task is still there");
    });
}
