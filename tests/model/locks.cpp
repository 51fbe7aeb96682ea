// The explorer on locks: what a broken one does is found, a right one passes.

#include <sluice/runtime/detail/seam.hpp>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

struct exchange_lock {
    std::memory_order taking = acquire;
    std::memory_order giving = release;
    atomic<bool> held{false};

    void lock() {
        while (held.exchange(true, taking)) cpu_relax();
    }
    void unlock() { held.store(false, giving); }
};

// Looks before it takes, in two steps.
struct two_step_lock {
    atomic<bool> held{false};

    void lock() {
        while (held.load(acquire)) cpu_relax();
        held.store(true, relaxed);
    }
    void unlock() { held.store(false, release); }
};

// Looks at the lock again after it has let go.
struct late_lock {
    atomic<bool> held{false};
    atomic<int> waiters{0};

    void lock() {
        waiters.fetch_add(1, relaxed);
        while (held.exchange(true, acquire)) cpu_relax();
        waiters.fetch_sub(1, relaxed);
    }
    void unlock() {
        held.store(false, release);
        waiters.load(relaxed);
    }
};

template <class Lock, class... Orders>
model::program two_increments(Orders... orders) {
    return [=] {
        Lock lock{orders...};
        plain<int> count = 0;
        const auto add = [&] {
            lock.lock();
            ++count;
            lock.unlock();
        };
        {
            thread a(add);
            thread b(add);
        }
        check(count == 2, "an increment was lost");
    };
}

// Whoever comes second under the lock frees the lock with what it protects.
template <class Lock>
model::program freed_by_the_second() {
    return [] {
        struct shared {
            Lock lock;
            plain<int> visits = 0;
        };
        std::optional<shared> object(std::in_place);
        const auto visit = [&] {
            object->lock.lock();
            const int visits = object->visits + 1;
            object->visits = visits;
            object->lock.unlock();
            if (visits == 2) object.reset();
        };
        thread a(visit);
        thread b(visit);
    };
}

}  // namespace

TEST_CASE("locks: a lock by exchange excludes and publishes") {
    model::require_exhausted(two_increments<exchange_lock>());
}

TEST_CASE("locks: a lock whose orders are weakened is a data race") {
    model::require_found(two_increments<exchange_lock>(relaxed, release), "data race");
    model::require_found(two_increments<exchange_lock>(acquire, relaxed), "data race");
}

TEST_CASE("locks: a lock that looks and takes in two steps lets two in") {
    model::require_found(two_increments<two_step_lock>(), "data race");
}

TEST_CASE("locks: a lock whose release is its last touch may be freed by the next holder") {
    model::require_exhausted(freed_by_the_second<exchange_lock>());
}

TEST_CASE("locks: a lock that is touched after its release may not") {
    model::require_found(freed_by_the_second<late_lock>(), "atomic was");
}

TEST_CASE("locks: two locks taken in opposite orders deadlock") {
    const auto take_both = [](bool opposite) {
        return [=] {
            exchange_lock left;
            exchange_lock right;
            const auto take = [](exchange_lock& first, exchange_lock& second) {
                first.lock();
                second.lock();
                second.unlock();
                first.unlock();
            };
            thread a([&] { take(left, right); });
            thread b([&] { opposite ? take(right, left) : take(left, right); });
        };
    };
    model::require_found(take_both(true), "deadlock");
    model::require_exhausted(take_both(false));
}
