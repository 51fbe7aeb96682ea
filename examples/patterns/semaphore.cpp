// At most so much at once: a weighted semaphore, and a channel used as one.
#include <sluice/sluice.hpp>

#include <atomic>

using namespace std::chrono_literals;

// 64 MB are shared; a job takes what it needs and nobody overtakes a large one.
sluice::task<> job(sluice::context ctx, sluice::semaphore* megabytes, const char* name, int needs) {
    const auto memory = co_await sluice::within(ctx, megabytes->acquire(needs));
    if (!memory) {
        std::printf("%s: %s\n", name, memory.error().message().c_str());
        co_return;
    }
    std::printf("%s has %d MB\n", name, needs);
    co_await sluice::sleep_for(2ms);
}  // the permit goes back here

sluice::task<> weighted() {
    sluice::semaphore megabytes(64);
    sluice::wait_group jobs;
    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    auto held = co_await megabytes.acquire(40);
    jobs.go(job, ctx, &megabytes, "large", 60);
    co_await sluice::sleep_for(1ms);  // it is in line now
    if (!megabytes.try_acquire(10).held()) std::puts("small would overtake large");
    jobs.go(job, ctx, &megabytes, "small", 10);
    held.release();
    sluice::wait_group in_vain;
    in_vain.go(job, ctx, &megabytes, "huge", 65);  // more than there is
    co_await jobs.wait();
    cancel();
    co_await in_vain.wait();
}

// All weights are one: the room of a channel is the number of permits.
sluice::task<> visit(sluice::chan<> places, std::atomic<int>* inside, std::atomic<int>* most) {
    co_await places.send();
    const int now = ++*inside;
    for (int seen = *most; seen < now && !most->compare_exchange_weak(seen, now);) continue;
    co_await sluice::sleep_for(1ms);
    --*inside;
    places.try_recv();  // gives the place back
}

sluice::task<> by_channel() {
    const auto places = sluice::make_chan<>(3);
    std::atomic<int> inside = 0;
    std::atomic<int> most = 0;
    sluice::wait_group visitors;
    for (int i = 0; i < 12; ++i) visitors.go(visit, places, &inside, &most);
    co_await visitors.wait();
    std::printf("at most %d were inside\n", most.load());
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    sluice::simulate({}, weighted);
    return sluice::simulate({}, by_channel);
}

// Output:
// small would overtake large
// large has 60 MB
// small has 10 MB
// huge: canceled
// at most 3 were inside
