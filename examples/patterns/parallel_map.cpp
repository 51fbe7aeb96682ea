// Squares of a stream of numbers, three at a time. The function refuses 4.
#include <sluice/patterns/parallel_map.hpp>
#include <sluice/sluice.hpp>

#include <stdexcept>

using namespace sluice;
using namespace std::chrono_literals;

task<> count_up(chan<int> to, int last) {
    for (int i = 1; i <= last; ++i) co_await to.send(i);
    to.close();
}

recv_chan<int> numbers(int last) {
    auto to = make_chan<int>();
    go(count_up, to, last);
    return to;
}

task<int> square(int n) {
    co_await sleep_for(1ms * (6 - n));  // the first ones take longest
    if (n == 4) throw std::domain_error("I do not like 4");
    const int squared = n * n;
    co_return squared;
}

task<> squares() {
    auto in_order = parallel_map(background(), numbers(5), 3, square);
    while (auto result = co_await in_order.recv()) {
        if (*result)
            std::printf("%d\n", **result);
        else
            std::printf("%s\n", result->error().message().c_str());
    }

    int sum = 0;
    auto as_they_come = parallel_map(background(), numbers(3), 3, square, as_completed);
    while (auto result = co_await as_they_come.recv()) sum += result->value();
    std::printf("sum %d\n", sum);
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return simulate({}, squares);
}

// Output:
// 1
// 4
// 9
// I do not like 4
// 25
// sum 14
