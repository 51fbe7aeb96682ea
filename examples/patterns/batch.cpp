#include <sluice/sluice.hpp>

#include <sluice/patterns/batch.hpp>

using namespace std::chrono_literals;

sluice::task<> requests(sluice::chan<std::string> log) {
    for (int i = 1; i <= 7; ++i) co_await log.send("request " + std::to_string(i));
    log.close();
}

sluice::task<> write_log() {
    auto log = sluice::make_chan<std::string>();
    auto batches = sluice::batch(sluice::background(), log, 3, 100ms);
    sluice::go(requests, log);
    while (auto lines = co_await batches.recv()) {
        std::printf("one write of %zu lines, from %s on\n", lines->size(), lines->front().c_str());
    }
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, write_log);
}

// Output:
// one write of 3 lines, from request 1 on
// one write of 3 lines, from request 4 on
// one write of 1 lines, from request 7 on
