#include <sluice/sluice.hpp>

#include <sluice/patterns/circuit_breaker.hpp>

using namespace std::chrono_literals;

// A service that is down for its first four calls.
sluice::result<int> fetch(int* calls) {
    if (++*calls <= 4) return sluice::fail(std::make_error_code(std::errc::connection_refused));
    return *calls;
}

sluice::task<> program() {
    sluice::circuit_breaker breaker({
        .name = "prices",
        .timeout = 10ms,
        .ready_to_trip = [](const auto& counts) { return counts.consecutive_failures == 3; },
        .on_state_change =
            [](const std::string& name, auto from, auto to) {
                std::printf("%s: %s to %s\n", name.c_str(), to_string(from), to_string(to));
            },
    });
    int calls = 0;
    for (int i = 1; i <= 8; ++i) {
        const auto price = co_await breaker.call(fetch, &calls);
        if (price) {
            std::printf("%d: %d\n", i, *price);
        } else {
            std::printf("%d: %s\n", i, price.error().message().c_str());
            if (price.error() == sluice::refusal::circuit_open) co_await sluice::sleep_for(10ms);
        }
    }
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, program);
}

// Output:
// 1: Connection refused
// 2: Connection refused
// prices: closed to open
// 3: Connection refused
// 4: the circuit is open
// prices: open to half-open
// prices: half-open to open
// 5: Connection refused
// 6: the circuit is open
// prices: open to half-open
// prices: half-open to closed
// 7: 5
// 8: 6
