// Three shops sell; one task counts. Then shops open and close while the counting goes on.
#include <sluice/patterns/merge.hpp>
#include <sluice/sluice.hpp>

#include <vector>

using namespace sluice;

task<> sell(chan<int> sold, int amount, int times) {
    for (int i = 0; i < times; ++i) co_await sold.send(amount);
    sold.close();
}

chan<int> shop(int amount, int times) {
    auto sold = make_chan<int>();
    go(sell, sold, amount, times);
    return sold;
}

task<> total_of_three(context ctx) {
    auto sales = merge(ctx, shop(1, 10), shop(20, 10), shop(300, 10));
    int total = 0;
    while (auto amount = co_await sales.recv()) total += *amount;
    std::printf("three shops sold %d\n", total);
}

task<> shops_come_and_go(context ctx) {
    merger<int> shops(ctx);
    auto sales = shops.out();

    auto always_shut = shops.add(recv_chan<int>());
    shops.add(shop(5, 2));
    int total = (co_await sales.recv()).value_or(0);
    shops.add(shop(70, 1));
    shops.remove(always_shut);  // else it would never end
    shops.finish();             // no more will open
    while (auto amount = co_await sales.recv()) total += *amount;
    std::printf("those that came and went sold %d\n", total);
}

task<> counting() {
    auto [ctx, cancel] = with_cancel(background());
    co_await total_of_three(ctx);
    co_await shops_come_and_go(ctx);
}

int main() {
    return run(counting);
}

// Output:
// three shops sold 3210
// those that came and went sold 80
