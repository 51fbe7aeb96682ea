#include <sluice/sluice.hpp>

#include <sluice/patterns/heartbeat.hpp>

using namespace std::chrono_literals;

// Reads a feed, and hangs at the third message.
sluice::task<> read_feed(sluice::context ctx, sluice::heartbeat* heart) {
    for (int message = 1;; ++message) {
        heart->beat();
        std::printf("message %d\n", message);
        if (message == 3) co_await ctx.done();
        if (ctx.err()) co_return;
    }
}

sluice::task<> supervise() {
    auto [ctx, cancel] = with_cancel(sluice::background());
    sluice::heartbeat heart(10ms);
    auto reader = sluice::spawn(read_feed, ctx, &heart);
    const auto silent = co_await heart.missed(ctx, 50ms);
    if (silent) {
        std::puts("no sign of life for 50 ms: ending it");
        cancel();
    }
    co_await reader.join();
    std::puts("ended");
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, supervise);
}

// Output:
// message 1
// message 2
// message 3
// no sign of life for 50 ms: ending it
// ended
