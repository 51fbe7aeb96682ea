// Readers that take no lock, and who frees what they may look at, under the explorer.

#include <sluice/patterns/detail/seat_visit.hpp>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

struct object {
    plain<int> alive = 1;
};

struct place {
    object first;
    atomic<object*> shown{&first};

    void look() {
        const seat_visit inside(this);
        check(static_cast<bool>(inside), "the seat is free");
        if (object* const seen = shown.load(acquire)) check(seen->alive == 1, "it was freed");
    }

    void free() {
        shown.store(nullptr, relaxed);
        wait_for_visitors(this);
        first.alive = 0;  // the explorer reports who reads it at the same time
    }
};

}  // namespace

TEST_CASE(
    "seat_visit: nobody looks at what has been taken out before those inside were waited for") {
    model::require_exhausted([] {
        place all;
        {
            thread reader([&] {
                all.look();
                all.look();
            });
            all.free();
        }
    });
    model::require_sound([] {
        place all;
        {
            thread one([&] { all.look(); });
            thread other([&] { all.look(); });
            all.free();
        }
    });
}

TEST_CASE("seat_visit: who is inside already, or is no worker, has no seat to spare") {
    model::require_exhausted([] {
        place one;
        place other;
        {
            const seat_visit outer(&one);
            const seat_visit inner(&other);
            check(outer && !inner, "two seats");
        }
        one.look();
        thread foreign([&] {
            model::be_foreign();
            const seat_visit inside(&one);
            check(!inside, "a seat for a stranger");
        });
    });
}
