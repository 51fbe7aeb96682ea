// One context with a timeout ends ten thousand tasks. Where something has a stop() of its own,
// after_func() calls it at the end, and until then takes no task.
#include <sluice/sluice.hpp>

#include <algorithm>
#include <atomic>
#include <vector>

using namespace std::chrono_literals;

sluice::task<> wait_for_order(sluice::context ctx, sluice::chan<int> orders,
                              std::atomic<int>* in_vain) {
    const auto order = co_await sluice::within(ctx, orders.recv());
    if (!order && order.error() == sluice::errc::deadline_exceeded) ++*in_vain;
}

sluice::task<> many_tasks() {
    auto [ctx, cancel] = sluice::with_timeout(sluice::background(), 20ms);
    std::atomic<int> in_vain = 0;
    sluice::wait_group group;
    const auto orders = sluice::make_chan<int>();
    for (int i = 0; i < 10'000; ++i) group.go(wait_for_order, ctx, orders, &in_vain);
    co_await group.wait();
    std::printf("%d tasks have waited in vain\n", in_vain.load());
}

// Knows nothing of contexts.
struct player {
    std::atomic<bool> playing = true;
    void stop() { playing = false; }
};

sluice::task<> watch(sluice::context ctx, player* p) {
    co_await ctx.done();
    p->stop();
}

sluice::task<> many_players() {
    auto [ctx, cancel] = sluice::with_timeout(sluice::background(), 1h);
    std::array<player, 100> watched;
    sluice::wait_group group;
    for (player& p : watched) group.go(watch, ctx, &p);
    std::printf("100 watchers: %zu tasks\n", sluice::num_tasks() - 1);

    const std::size_t before = sluice::num_tasks();
    std::array<player, 100> registered;
    std::vector<sluice::stop_function> stops;
    for (player& p : registered) {
        group.add();
        stops.push_back(sluice::after_func(ctx, [&p, &group] {
            p.stop();
            group.done();
        }));
    }
    std::printf("100 calls of after_func: %zu tasks\n", sluice::num_tasks() - before);
    if (stops[0]()) group.done();  // this one is at its end anyway, and needs no stop() any more

    cancel();
    co_await group.wait();
    const auto playing = [](const player& p) { return p.playing.load(); };
    std::printf("still playing: %td and %td\n", std::ranges::count_if(watched, playing),
                std::ranges::count_if(registered, playing));
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    sluice::simulate({}, many_tasks);
    return sluice::simulate({}, many_players);
}

// Output:
// 10000 tasks have waited in vain
// 100 watchers: 100 tasks
// 100 calls of after_func: 0 tasks
// still playing: 0 and 1
