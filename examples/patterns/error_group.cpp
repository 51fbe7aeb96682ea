#include <sluice/patterns/error_group.hpp>
#include <sluice/sluice.hpp>
#include <vector>
using namespace std::chrono_literals;

// Stands for a request: the price of an item, or why there is none.
sluice::task<sluice::result<>> look_up(sluice::context ctx, int item, int* price) {
    if (item < 0) co_return sluice::fail(std::make_error_code(std::errc::no_such_device));
    const auto answered = co_await within(ctx, sluice::sleep_for(1ms));
    if (!answered) co_return answered;
    *price = 10 * item;
    co_return {};
}

sluice::task<sluice::result<int>> total(sluice::context ctx, std::vector<int> items) {
    std::vector<int> prices(items.size());
    sluice::error_group group(ctx);
    group.set_limit(4);  // requests at a time
    for (std::size_t i = 0; i != items.size(); ++i)
        co_await group.go(look_up, group.ctx(), items[i], &prices[i]);
    const auto outcome = co_await group.wait();
    if (!outcome) co_return sluice::fail(outcome.error());
    int sum = 0;
    for (const int price : prices) sum += price;
    co_return sum;
}

sluice::task<> show() {
    const std::vector<int> good{1, 2, 3, 4, 5, 6, 7};
    const std::vector<int> bad{1, 2, -1, 4};
    const auto sum = co_await total(sluice::background(), good);
    std::printf("seven items: %d\n", sum.value());
    const auto none = co_await total(sluice::background(), bad);
    std::printf("a bad one: %s\n", none.error().message().c_str());
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, show);
}

// Output:
// seven items: 280
// a bad one: No such device
