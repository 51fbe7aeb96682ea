// Three couriers share one list of parcels. One parcel cannot be delivered, which ends the day.
#include <sluice/patterns/fan_out.hpp>
#include <sluice/sluice.hpp>

#include <system_error>

using namespace sluice;
using namespace std::chrono_literals;

chan<int> parcels(int count) {
    auto list = make_chan<int>(count);
    for (int number = 1; number <= count; ++number) list.try_send(number);
    list.close();
    return list;
}

task<result<>> deliver(int number) {
    co_await sleep_for(1ms);
    if (number == 13) co_return fail(std::make_error_code(std::errc::no_such_device_or_address));
    co_return result<>();
}

task<> two_days() {
    auto list = parcels(12);
    auto done = co_await fan_out(background(), list, 3, deliver);
    if (done) std::printf("all delivered, %zu left\n", list.size());

    list = parcels(10'000);
    done = co_await fan_out(background(), list, 3, deliver);
    if (!done) std::printf("%s\n", done.error().message().c_str());
    // The couriers finished what they had in hand, and took no more.
    std::printf("some left: %s\n", list.size() > 0 ? "yes" : "no");
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return simulate({}, two_days);
}

// Output:
// all delivered, 0 left
// No such device or address
// some left: yes
