// One task adds up a stream, another one finds its largest value; each sees all of it.
#include <sluice/patterns/tee.hpp>
#include <sluice/sluice.hpp>

#include <algorithm>

using namespace sluice;

task<> count_up(chan<int> to, int last) {
    for (int i = 1; i <= last; ++i) co_await to.send(i);
    to.close();
}

task<int> sum_of(recv_chan<int> values) {
    int sum = 0;
    while (auto v = co_await values.recv()) sum += *v;
    co_return sum;
}

task<int> largest_of(recv_chan<int> values) {
    int largest = 0;
    while (auto v = co_await values.recv()) largest = std::max(largest, *v);
    co_return largest;
}

task<> both() {
    auto numbers = make_chan<int>();
    go(count_up, numbers, 100);
    auto [left, right] = tee(background(), numbers);
    auto largest = spawn(largest_of, left);
    const int sum = co_await sum_of(right);
    const int most = co_await largest.join();
    std::printf("sum %d, largest %d\n", sum, most);
}

int main() {
    return run(both);
}

// Output:
// sum 5050, largest 100
