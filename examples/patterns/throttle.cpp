#include <sluice/sluice.hpp>

#include <sluice/patterns/throttle.hpp>

using namespace std::chrono_literals;

sluice::task<> download(sluice::chan<int> progress) {
    for (int percent = 0; percent <= 100; ++percent) co_await progress.send(percent);
    co_await sluice::sleep_for(150ms);
    progress.close();
}

sluice::task<> show() {
    auto progress = sluice::make_chan<int>();
    auto shown = sluice::throttle(sluice::background(), progress, 100ms);
    sluice::go(download, progress);
    while (auto percent = co_await shown.recv()) {
        std::printf("%d%%\n", *percent);
    }
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, show);
}

// Output:
// 0%
// 100%
