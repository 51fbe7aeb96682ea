// A wait_group waits for any number of tasks; a join handle for one, and gives its result.
#include <sluice/sluice.hpp>

#include <atomic>

sluice::task<> add_up(int from, int to, std::atomic<long>* sum) {
    long part = 0;
    for (int i = from; i < to; ++i) part += i;
    *sum += part;
    co_return;
}

sluice::task<long> multiply(long a, long b) {
    co_return a* b;
}

sluice::task<> three_ways() {
    // Many tasks, no results: go() counts each until it has ended, however it ends.
    std::atomic<long> sum = 0;
    sluice::wait_group group;
    for (int i = 0; i < 10; ++i) group.go(add_up, 100 * i, 100 * (i + 1), &sum);
    co_await group.wait();
    std::printf("the numbers below 1000 add up to %ld\n", sum.load());

    // It may be used again, and counts what is not a task, too.
    group.add(2);
    auto stop = sluice::after_func(sluice::background(), [] {});
    if (stop()) group.done();
    sluice::go([&group] { group.done(); });
    co_await group.wait();
    std::puts("both are done");

    // One task with a result, or with an exception for whoever joins.
    auto product = sluice::spawn(multiply, 6, 7);
    const long answer = co_await product.join();
    std::printf("6 times 7 is %ld\n", answer);
}

int main() {
    return sluice::run(three_ways);
}

// Output:
// the numbers below 1000 add up to 499500
// both are done
// 6 times 7 is 42
