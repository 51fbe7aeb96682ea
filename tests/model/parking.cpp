// The explorer on parking: a consumer sleeps when there is no work, a producer wakes it.

#include <sluice/runtime/detail/seam.hpp>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::park;
using sluice::model::thread;
using sluice::model::unpark;

namespace model = sluice::model;

namespace {

struct shared {
    atomic<int> work{0};
    atomic<bool> asleep{false};
};

// Takes one piece of work, by way of `sleep` whenever there is none.
template <class Sleep>
void consume(shared& s, Sleep sleep) {
    for (;;) {
        int n = s.work.load(acquire);
        if (n != 0 && s.work.compare_exchange_strong(n, n - 1, acquire, relaxed)) return;
        if (n == 0) sleep(s);
    }
}

void produce(shared& s, void (*fence)(), std::size_t consumer) {
    s.work.fetch_add(1, release);
    fence();
    if (s.asleep.load(relaxed)) unpark(consumer);
}

template <class Sleep>
model::program one_consumer(void (*fence)(), Sleep sleep) {
    return [=] {
        shared s;
        thread consumer([&] {
            consume(s, sleep);
            consume(s, sleep);
        });
        thread producer([&] {
            produce(s, fence, consumer.id());
            produce(s, fence, consumer.id());
        });
    };
}

void park_naively(shared& s) {
    s.asleep.store(true, relaxed);
    park();
    s.asleep.store(false, relaxed);
}

// Announce, fence, look again, park.
template <class Fence>
auto announce_and_recheck(Fence fence) {
    return [=](shared& s) {
        s.asleep.store(true, relaxed);
        fence();
        if (s.work.load(acquire) == 0) park();
        s.asleep.store(false, relaxed);
    };
}

void nothing() {}

}  // namespace

TEST_CASE("parking: the explorer finds the lost wakeup when the recheck is dropped") {
    model::require_found(one_consumer(full_fence, park_naively), "lost wakeup");
}

TEST_CASE("parking: announce, heavy fence, recheck loses no wakeup against a light fence") {
    model::require_exhausted(one_consumer(light_fence, announce_and_recheck(heavy_fence)));
}

TEST_CASE("parking: announce, full fence, recheck loses no wakeup against a full fence") {
    model::require_exhausted(one_consumer(full_fence, announce_and_recheck(full_fence)));
}

TEST_CASE("parking: the explorer finds the lost wakeup when either fence is dropped") {
    model::require_found(one_consumer(light_fence, announce_and_recheck(nothing)), "lost wakeup");
    model::require_found(one_consumer(nothing, announce_and_recheck(heavy_fence)), "lost wakeup");
    model::require_found(one_consumer(light_fence, announce_and_recheck(full_fence)),
                         "lost wakeup");
}

TEST_CASE("parking: an unpark that comes before its park is remembered, two are one") {
    model::require_exhausted([] {
        thread sleeper([] { park(); });
        unpark(sleeper.id());
    });
    model::require_found(
        [] {
            thread sleeper([] {
                park();
                park();
            });
            unpark(sleeper.id());
            unpark(sleeper.id());
        },
        "lost wakeup");
}

TEST_CASE("parking: what was done before an unpark is seen after the park") {
    model::require_exhausted([] {
        plain<int> data = 0;
        thread sleeper([&] {
            park();
            check(data == 1, "the unparker's write was not seen");
        });
        data = 1;
        unpark(sleeper.id());
    });
}
