// The lock of every source under the explorer, where a worker needs but two acquisitions in a row
// to become the favourite, and a request is given up after any number of looks.

#include <sluice/runtime/detail/spin_lock.hpp>

#include <mutex>
#include <optional>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

// A lock, and data that shows whether it excludes and publishes.
struct guarded {
    spin_lock lock{lock_rank::channel};
    plain<int> count = 0;

    void visit(int times) {
        for (int i = 0; i != times; ++i) {
            const std::lock_guard guard(lock);
            ++count;
        }
    }
};

// Two threads that take the lock so many times each.
model::program visits(int first, int second) {
    return [=] {
        guarded object;
        {
            thread a([&] { object.visit(first); });
            thread b([&] { object.visit(second); });
        }
        check(object.count == first + second, "a visit was lost");
    };
}

bool sits_in(const spin_lock& lock) {
    return lock_seat(lock_identity()).load(relaxed) == &lock;
}

}  // namespace

TEST_CASE("spin_lock: one holder at a time, and each sees what the one before wrote") {
    model::require_exhausted(visits(1, 1));
    model::require_exhausted([] {
        guarded object;
        {
            thread a([&] { object.visit(1); });
            thread b([&] { object.visit(1); });
            object.visit(1);
        }
        check(object.count == 3, "a visit was lost");
    });
}

TEST_CASE("spin_lock: a worker that takes it again and again becomes its favourite") {
    model::require_exhausted([] {
        guarded object;
        object.visit(2);
        const std::lock_guard guard(object.lock);
        check(sits_in(object.lock), "the favourite did not enter by its seat");
    });
}

TEST_CASE("spin_lock: a favourite is revoked without ever sharing the lock with its successor") {
    model::require_exhausted(visits(4, 1));
    model::require_sound(visits(4, 4));
    model::require_sound([] {
        guarded object;
        {
            thread favourite([&] { object.visit(4); });
            thread one([&] { object.visit(1); });
            thread other([&] { object.visit(1); });
        }
        check(object.count == 6, "a visit was lost");
    });
}

TEST_CASE("spin_lock: a favourite leaves when it is asked, with all that it wrote") {
    model::require_exhausted([] {
        guarded object;
        object.visit(2);
        {
            thread one([&] { object.visit(2); });
            object.visit(2);
        }
        check(object.count == 6, "a visit was lost");
    });
    model::require_sound([] {
        guarded object;
        {
            thread one([&] { object.visit(6); });
            thread other([&] { object.visit(6); });
        }
        check(object.count == 12, "a visit was lost");
    });
}

TEST_CASE("spin_lock: the bias can pass to another worker while the former favourite dawdles") {
    model::require_sound(visits(4, 9));
    model::require_sound([] {
        guarded object;
        object.visit(2);
        {
            thread successor([&] {
                object.visit(7);
                const std::lock_guard guard(object.lock);
                ++object.count;
            });
            thread third([&] { object.visit(1); });
            object.visit(1);
        }
        check(object.count == 12, "a visit was lost");
    });
}

TEST_CASE("spin_lock: a thread that is no worker revokes and never becomes the favourite") {
    model::require_exhausted([] {
        guarded object;
        {
            thread favourite([&] { object.visit(4); });
            thread foreign([&] {
                model::be_foreign();
                object.visit(3);
            });
        }
        check(object.count == 7, "a visit was lost");
    });
}

TEST_CASE("spin_lock: a favourite inside one lock takes a second one that favours it too") {
    model::require_exhausted([] {
        guarded outer;
        guarded inner;
        outer.visit(2);
        inner.visit(2);
        const auto both = [&] {
            const std::lock_guard guard(outer.lock);
            ++outer.count;
            inner.visit(1);
        };
        {
            thread other([&] {
                inner.visit(1);
                both();
            });
            both();
            inner.visit(1);
        }
        check(outer.count == 4 && inner.count == 6, "a visit was lost");
    });
}

TEST_CASE("spin_lock: try_lock takes a free lock or gives up, and excludes as lock does") {
    for (const int before : {0, 2}) {
        model::require_exhausted([=] {
            guarded object;
            int taken = before;
            {
                object.visit(before);
                thread a([&] {
                    if (!object.lock.try_lock()) return;
                    ++object.count;
                    ++taken;
                    object.lock.unlock();
                });
                object.visit(2);
                taken += 2;
            }
            check(object.count == taken, "a visit was lost");
            check(object.lock.try_lock(), "a free lock was refused");
            check(!object.lock.try_lock(), "a held lock was given");
            object.lock.unlock();
        });
    }
}

TEST_CASE("spin_lock: whoever comes last under the lock may free it") {
    for (const int before : {0, 2}) {
        model::require_exhausted([=] {
            std::optional<guarded> object(std::in_place);
            object->visit(before);
            const auto visit = [&] {
                object->lock.lock();
                ++object->count;
                const bool last = object->count == before + 2;
                object->lock.unlock();
                if (last) object.reset();
            };
            thread other(visit);
            visit();
        });
    }
}
