// What a thing with a stop() of its own costs per context: 100,000 of them, each stopped when one
// context ends, by a task that watches the context or by after_func. Resident memory of each, the
// time to set it up, and the time from the cancel to the last stop.
//
//     watchers task
//     watchers after_func

#include "resident.hpp"

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <chrono>
#include <cstdio>
#include <string_view>

namespace {

using std::chrono::steady_clock;

constexpr int things = 100'000;

double nanoseconds_since(steady_clock::time_point begin) {
    return std::chrono::duration<double, std::nano>(steady_clock::now() - begin).count();
}

sluice::task<> watch(sluice::context ctx, sluice::wait_group* ready, sluice::wait_group* stopped) {
    ready->done();
    co_await ctx.done();
    stopped->done();
}

sluice::task<> with_watchers(sluice::context ctx, sluice::wait_group* stopped) {
    sluice::wait_group ready;
    ready.add(things);
    for (int i = 0; i < things; ++i) sluice::go(watch, ctx, &ready, stopped);
    co_await ready.wait();
}

sluice::task<> with_after_func(sluice::context ctx, sluice::wait_group* stopped) {
    for (int i = 0; i < things; ++i)
        static_cast<void>(sluice::after_func(ctx, [stopped] { stopped->done(); }));
    co_return;
}

using set_up = sluice::task<> (*)(sluice::context, sluice::wait_group*);

// The first round makes the memory: its figures are the bytes, those of the second the times.
sluice::task<> measure(set_up make) {
    double bytes = 0;
    double making = 0;
    double stopping = 0;
    for (const bool first : {true, false}) {
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        sluice::wait_group stopped;
        stopped.add(things);
        const double before = resident_bytes();
        auto begin = steady_clock::now();
        co_await make(ctx, &stopped);
        making = nanoseconds_since(begin) / things;
        if (first) bytes = (resident_bytes() - before) / things;
        begin = steady_clock::now();
        cancel();
        co_await stopped.wait();
        stopping = nanoseconds_since(begin) / things;
    }
    std::printf("each: %.0f bytes, %.0f ns to set up, %.0f ns from the cancel to its stop\n", bytes,
                making, stopping);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view way = argc == 2 ? argv[1] : "";
    set_up make = nullptr;
    if (way == "task") make = &with_watchers;
    if (way == "after_func") make = &with_after_func;
    if (make == nullptr) {
        std::fprintf(stderr, "usage: watchers task|after_func\n");
        return 2;
    }
    return sluice::run(measure, make);
}
