// Overload in real time: a producer that makes a value of 1 KiB every microsecond, a consumer that
// takes ten for each, a queue of 1,024. For each policy: what got through, what did not, and the
// most memory the process had.
//
//     overload [SECONDS]      each policy for so long, 10 unless told
//
// The exit status is 1 when the sums are not exact.

#include <sluice/channels/chan.hpp>
#include <sluice/patterns/ring_channel.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <malloc.h>

#include <array>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int room = 1'024;

struct payload {
    std::uint64_t number;
    std::array<char, 1'016> rest;
};
using value = std::unique_ptr<payload>;

struct sums {
    std::uint64_t made = 0;
    std::uint64_t refused = 0;
    std::uint64_t dropped = 0;
    std::uint64_t received = 0;
    bool in_order = true;
};

void work(std::chrono::nanoseconds time) {
    const auto end = steady_clock::now() + time;
    while (steady_clock::now() < end) {
    }
}

value make(sums* all) {
    work(1us);
    auto made = std::make_unique<payload>();
    made->number = all->made++;
    return made;
}

/// Waits while the queue is full.
sluice::task<> block(sluice::chan<value> to, std::chrono::seconds time, sums* all) {
    for (const auto end = steady_clock::now() + time; steady_clock::now() < end;)
        co_await to.send(make(all));
    to.close();
}

/// Drops what it has made when the queue is full, and says so.
sluice::task<> refuse(sluice::chan<value> to, std::chrono::seconds time, sums* all) {
    for (const auto end = steady_clock::now() + time; steady_clock::now() < end;) {
        if (!to.try_send(make(all))) ++all->refused;
        co_await sluice::yield();
    }
    to.close();
}

/// The oldest value makes room.
sluice::task<> drop_oldest(sluice::ring_channel<value> to, std::chrono::seconds time, sums* all) {
    for (const auto end = steady_clock::now() + time; steady_clock::now() < end;) {
        to.send(make(all));
        co_await sluice::yield();
    }
    to.close();
    all->dropped = to.counters().dropped;
}

template <class Channel>
sluice::task<> consume(Channel from, sums* all) {
    std::uint64_t next = 0;
    while (auto got = co_await from.recv()) {
        all->in_order &= (*got)->number >= next;
        next = (*got)->number + 1;
        ++all->received;
        work(10us);
    }
}

template <class Channel, class Produce>
sluice::task<sums> overload(Channel channel, Produce produce, std::chrono::seconds time) {
    sums all;
    sluice::wait_group both;
    both.go(produce, channel, time, &all);
    both.go(consume<Channel>, channel, &all);
    co_await both.wait();
    co_return all;
}

/// The most resident memory since forget_peak(), in KiB; 0 where the kernel does not tell.
long peak_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        if (long kib = 0; word == "VmHWM:" && status >> kib) return kib;
    }
    return 0;
}

void forget_peak() {
    ::malloc_trim(0);  // what the policy before has freed
    std::ofstream("/proc/self/clear_refs") << "5";
}

template <class Channel, class Produce>
bool measure(const char* policy, Channel channel, Produce produce, std::chrono::seconds time) {
    forget_peak();
    const long before = peak_memory();
    const auto begin = steady_clock::now();
    const sums all = sluice::run(overload<Channel, Produce>, channel, produce, time);
    const std::chrono::duration<double> took = steady_clock::now() - begin;
    const bool exact = all.in_order && all.made == all.received + all.refused + all.dropped;
    std::printf("%-12s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12.0f %10ld  %s\n",
                policy, all.made, all.received, all.refused, all.dropped,
                static_cast<double>(all.received) / took.count(), peak_memory() - before,
                exact ? "exact" : "WRONG");
    return exact;
}

}  // namespace

int main(int argc, char** argv) {
    const std::chrono::seconds time{argc > 1 ? std::atoi(argv[1]) : 10};
    if (argc > 2 || time < 1s) {
        std::fprintf(stderr, "usage: overload [SECONDS]\n");
        return 2;
    }
    std::printf("%-12s %12s %12s %12s %12s %12s %10s  sums\n", "policy", "made", "received",
                "refused", "dropped", "received/s", "more KiB");
    bool exact = measure("block", sluice::make_chan<value>(room), block, time);
    exact &= measure("refuse", sluice::make_chan<value>(room), refuse, time);
    exact &= measure("drop oldest", sluice::ring_channel<value>(room), drop_oldest, time);
    return exact ? 0 : 1;
}
