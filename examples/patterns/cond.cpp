// A warehouse: orders wait until there is enough of something. How much each waits for differs, so
// a channel would not do.
#include <sluice/sluice.hpp>
using namespace std::chrono_literals;

struct warehouse {
    sluice::mutex lock;
    sluice::cond changed{lock};
    int apples = 0;    // under lock
    int served = 0;    // under lock
    bool open = true;  // under lock
};

sluice::task<> order(warehouse* w, const char* who, int apples) {
    auto guard = co_await w->lock.lock();
    co_await w->changed.wait(guard, [=] { return w->apples >= apples || !w->open; });
    if (w->apples < apples) {
        std::printf("%s goes home\n", who);
        co_return;
    }
    w->apples -= apples;
    ++w->served;
    std::printf("%s takes %d\n", who, apples);
    w->changed.broadcast();  // what is left may do for another one
}

sluice::task<> deliver(warehouse* w, int apples) {
    const auto guard = co_await w->lock.lock();
    w->apples += apples;
    std::printf("%d are delivered\n", apples);
    w->changed.broadcast();  // not signal(): whoever waits longest may need more
}

sluice::task<> all_served(warehouse* w, int customers) {
    auto guard = co_await w->lock.lock();
    co_await w->changed.wait(guard, [=] { return w->served == customers; });
}

sluice::task<> day() {
    warehouse w;
    sluice::wait_group customers;
    customers.go(order, &w, "Ada", 10);
    customers.go(order, &w, "Bob", 3);
    customers.go(order, &w, "Cleo", 99);
    co_await deliver(&w, 5);
    co_await all_served(&w, 1);
    co_await deliver(&w, 9);
    co_await all_served(&w, 2);

    auto guard = co_await w.lock.lock();
    const auto more = co_await sluice::within(1ms, w.changed.wait(guard));
    if (!more) std::printf("nothing more comes: %s\n", more.error().message().c_str());
    w.open = false;  // the guard holds the lock again, also when the time was up
    w.changed.broadcast();
    guard.unlock();
    co_await customers.wait();
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, day);
}

// Output:
// 5 are delivered
// Bob takes 3
// 9 are delivered
// Ada takes 10
// nothing more comes: deadline exceeded
// Cleo goes home
