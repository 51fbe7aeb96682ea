#include <sluice/sluice.hpp>

#include <sluice/patterns/single_flight.hpp>

using namespace std::chrono_literals;

using prices = sluice::single_flight<std::string, int>;

sluice::task<int> slow_price(std::string item) {
    std::printf("asking for the price of %s\n", item.c_str());
    co_await sluice::sleep_for(50ms);
    co_return static_cast<int>(item.size());
}

sluice::task<int> customer(prices* shop, std::string item) {
    const auto price = co_await shop->call(item, slow_price, item);
    co_return price->value;
}

sluice::task<> market() {
    prices shop;
    auto one = sluice::spawn(customer, &shop, "bread");
    auto two = sluice::spawn(customer, &shop, "bread");
    std::printf("one: %d\n", co_await one.join());
    std::printf("two: %d\n", co_await two.join());

    // Who does not want to wait leaves; the call goes on for others.
    const auto hasty = co_await within(1ms, shop.call("milk", slow_price, "milk"));
    std::printf("hasty: %s\n", hasty.error().message().c_str());
    const auto patient = co_await shop.call("milk", slow_price, "milk");
    std::printf("patient: %d, %s\n", patient->value, patient->shared ? "shared" : "alone");
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, market);
}

// Output:
// asking for the price of bread
// one: 5
// two: 5
// asking for the price of milk
// hasty: deadline exceeded
// patient: 4, shared
