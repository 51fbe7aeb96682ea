// A camera makes a picture every 10 ms, the screen shows one in 37 ms: it shows new ones and leaves
// out old ones. A simulation, so that the times are exact.
#include <sluice/sluice.hpp>

#include <sluice/patterns/ring_channel.hpp>

using namespace std::chrono_literals;

sluice::task<> camera(sluice::ring_channel<int> pictures) {
    for (int n = 0; n < 20; ++n) {
        pictures.send(n);  // never waits
        co_await sluice::sleep_for(10ms);
    }
    pictures.close();
}

sluice::task<> screen(sluice::ring_channel<int> pictures) {
    while (auto picture = co_await pictures.recv()) {
        std::printf("picture %d\n", *picture);
        co_await sluice::sleep_for(37ms);
    }
    const auto c = pictures.counters();
    std::printf("%d sent = %d shown + %d dropped\n", static_cast<int>(c.sent),
                static_cast<int>(c.received), static_cast<int>(c.dropped));
}

// As fast as it can.
sluice::task<> replay(sluice::ring_channel<int> pictures) {
    for (int n = 0; n < 10'000; ++n) {
        pictures.send(n);
        if (n % 100 == 0) co_await sluice::yield();  // send() lets nobody else run
    }
    pictures.close();
}

sluice::task<> look_at_last(sluice::ring_channel<int> pictures) {
    int last = 0;
    while (auto picture = co_await pictures.recv()) last = *picture;
    std::printf("the replay ends with picture %d\n", last);
}

sluice::task<> show() {
    sluice::ring_channel<int> pictures(2);
    sluice::wait_group both;
    both.go(camera, pictures);
    both.go(screen, pictures);
    co_await both.wait();
    const sluice::ring_channel<int> again(2);
    both.go(replay, again);
    both.go(look_at_last, again);
    co_await both.wait();
}

int main() {
    sluice::simulate({.seed = 1}, show);
}

// Output:
// picture 0
// picture 2
// picture 6
// picture 10
// picture 13
// picture 17
// picture 18
// picture 19
// 20 sent = 8 shown + 12 dropped
// the replay ends with picture 9999
