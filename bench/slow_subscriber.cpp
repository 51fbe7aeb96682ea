// What one slow subscriber costs the others: a broker with a hundred subscribers and a message each
// 100 microseconds, of which one subscriber takes 1 ms each. For each policy of its queue: how many
// messages were published a second, how long a message took to the others, and what became of those
// for the slow one.
//
//     slow_subscriber [SECONDS]      each policy for so long, 3 unless told
//
// The exit status is 1 when another one lost a message, or the slow one's counters are not exact.

#include <sluice/patterns/broker.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;
using message = steady_clock::time_point;  // when it was published

constexpr int others = 99;
constexpr std::size_t room = 64;

sluice::task<> listen(sluice::subscription<message> messages, std::vector<float>* delays) {
    while (auto m = co_await messages.recv()) {
        const std::chrono::duration<float, std::micro> delay = steady_clock::now() - m->value;
        delays->push_back(delay.count());
    }
}

sluice::task<> listen_slowly(const sluice::subscription<message>* messages) {
    while (auto m = co_await messages->recv()) co_await sluice::sleep_for(1ms);
}

struct figures {
    std::uint64_t published = 0;
    std::vector<std::vector<float>> delays{others};
    sluice::subscription_counters slow{};
};

sluice::task<figures> publish(std::optional<sluice::when_full> slow_policy,
                              std::chrono::seconds time) {
    figures all;
    sluice::broker<message> news;
    sluice::wait_group listeners;
    for (auto& delays : all.delays)
        listeners.go(listen, news.subscribe("news", {.capacity = room}), &delays);
    const auto slow = news.subscribe(
        slow_policy ? "news" : "nothing",
        {.capacity = room, .policy = slow_policy.value_or(sluice::when_full::block)});
    listeners.go(listen_slowly, &slow);
    const auto begin = steady_clock::now();
    for (auto due = begin; due < begin + time; due += 100us) {
        co_await sluice::sleep_until(due);
        static_cast<void>(co_await news.publish(sluice::background(), "news", steady_clock::now()));
        ++all.published;
        due = std::max(due, steady_clock::now() - 1ms);  // what was held up is not made up for
    }
    news.close();
    co_await listeners.wait();
    all.slow = slow.counters();
    co_return all;
}

bool measure(const char* name, std::optional<sluice::when_full> slow_policy,
             std::chrono::seconds time) {
    const figures all = sluice::run(publish, slow_policy, time);
    std::vector<float> delays;
    bool exact = true;
    for (const auto& one : all.delays) {
        exact &= one.size() == all.published;
        delays.insert(delays.end(), one.begin(), one.end());
    }
    std::sort(delays.begin(), delays.end());
    const auto percentile = [&delays](std::size_t p) { return delays[delays.size() * p / 100]; };
    const std::uint64_t of_slow = all.slow.delivered + all.slow.dropped + all.slow.queued;
    exact &= slow_policy == sluice::when_full::disconnect || !slow_policy
                 ? of_slow <= all.published
                 : of_slow == all.published;
    std::printf("%-14s %12.0f %9.1f %9.1f %12" PRIu64 " %10" PRIu64 "  %s\n", name,
                static_cast<double>(all.published) / static_cast<double>(time.count()),
                static_cast<double>(percentile(50)), static_cast<double>(percentile(99)),
                static_cast<std::uint64_t>(all.slow.delivered),
                static_cast<std::uint64_t>(all.slow.dropped), exact ? "exact" : "WRONG");
    return exact;
}

}  // namespace

int main(int argc, char** argv) {
    const std::chrono::seconds time{argc > 1 ? std::atoi(argv[1]) : 3};
    if (argc > 2 || time < 1s) {
        std::fprintf(stderr, "usage: slow_subscriber [SECONDS]\n");
        return 2;
    }
    using sluice::when_full;
    std::printf("%-14s %12s %9s %9s %12s %10s  sums\n", "the slow one", "published/s", "p50 us",
                "p99 us", "it received", "it missed");
    bool exact = measure("is not there", std::nullopt, time);
    exact &= measure("block", when_full::block, time);
    exact &= measure("drop_newest", when_full::drop_newest, time);
    exact &= measure("drop_oldest", when_full::drop_oldest, time);
    exact &= measure("disconnect", when_full::disconnect, time);
    return exact ? 0 : 1;
}
