// Weather stations publish readings by topic. A log wants every one and makes its publisher wait; a
// display wants the latest and lets old ones go.
#include <sluice/sluice.hpp>

#include <sluice/patterns/broker.hpp>

using sluice::when_full;

sluice::task<> keep_log(sluice::subscription<int> readings) {
    while (auto m = co_await readings.recv())
        std::printf("log: %s is %d\n", m->topic.c_str(), m->value);
    std::puts("log: no more readings");
}

sluice::task<> weather() {
    sluice::broker<int> stations;
    sluice::wait_group listeners;
    listeners.go(keep_log, stations.subscribe("north.*"));
    auto latest = stations.subscribe("*", {.capacity = 1, .policy = when_full::drop_oldest});
    auto hasty = stations.subscribe("south.wind", {.capacity = 1, .policy = when_full::disconnect});

    const auto ctx = sluice::background();
    const std::array topics{"north.wind", "south.wind"};
    for (int reading = 1; reading <= 2; ++reading) {
        for (const char* topic : topics) {
            const auto heard = co_await stations.publish(ctx, topic, reading);
            if (!heard) co_return;  // cancelled, or the broker is closed
        }
    }
    stations.close();
    co_await listeners.wait();

    const auto shown = co_await latest.recv();
    std::printf("display: %s is %d\n", shown->topic.c_str(), shown->value);
    const auto counted = latest.counters();
    std::printf("display: %d shown, %d dropped\n", static_cast<int>(counted.delivered),
                static_cast<int>(counted.dropped));
    std::printf("hasty: %s\n", hasty.err().message().c_str());
}

int main() {
    return sluice::run(weather);
}

// Output:
// log: north.wind is 1
// log: north.wind is 2
// log: no more readings
// display: south.wind is 2
// display: 1 shown, 3 dropped
// hasty: the queue is full
