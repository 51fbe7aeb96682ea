#include <sluice/patterns/graceful_shutdown.hpp>
#include <sluice/sluice.hpp>
using namespace std::chrono_literals;

// A job of some hours; it can be told to stop.
sluice::task<> job(sluice::context ctx, int hours) {
    const auto worked = co_await within(ctx, sluice::sleep_for(std::chrono::hours(hours)));
    std::printf("%d hours: %s\n", hours, worked ? "done" : "cut");
}

sluice::task<> operate(sluice::cancel_function stop) {
    co_await sluice::sleep_for(24h);
    stop();
}

// In a program of its own `stopping` comes from notify_context({SIGINT, SIGTERM}).
sluice::task<> take_jobs(sluice::context stopping) {
    sluice::graceful_shutdown work(stopping);
    for (const int hours : {1, 30, 80, 35}) {
        const std::string name = "a job of " + std::to_string(hours) + " hours";
        if (!work.go(name, job, hours)) std::printf("too late\n");
    }
    const auto outcome = co_await work.drain(sluice::background(), 12h);
    std::printf("failures: %s\n", outcome ? "none" : outcome.error().message().c_str());
    for (const auto& name : work.cut()) std::printf("had to cut %s\n", name.c_str());
    if (!work.go("one more", job, 1)) std::printf("no more jobs are taken\n");
}

sluice::task<> program() {
    auto [stopping, stop] = sluice::with_cancel(sluice::background());
    sluice::go(operate, std::move(stop));
    co_await take_jobs(stopping);
}

int main() {
    return sluice::simulate({}, program);  // so that hours cost nothing
}

// Output:
// 1 hours: done
// 30 hours: done
// 35 hours: done
// 80 hours: cut
// failures: none
// had to cut a job of 80 hours
// no more jobs are taken
