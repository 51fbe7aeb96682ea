// One publisher, a hundred subscribers that all get every message; an operation is a delivery.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/patterns/broker.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace {

constexpr int subscribers = 100;
constexpr int room = 16;

/// 0 + 1 + … + (n - 1)
constexpr std::int64_t triangle(std::int64_t n) {
    return n * (n - 1) / 2;
}

sluice::task<> listen(sluice::subscription<std::int64_t> messages, std::int64_t* sum) {
    while (auto m = co_await messages.recv()) *sum += m->value;
}

sluice::task<bool> publish(std::int64_t n) {
    const std::int64_t messages = n / subscribers;
    std::vector<std::int64_t> sums(subscribers);
    sluice::broker<std::int64_t> news;
    sluice::wait_group listeners;
    for (std::int64_t& sum : sums)
        listeners.go(listen, news.subscribe("news", {.capacity = room}), &sum);
    for (std::int64_t i = 0; i < messages; ++i) {
        const auto reached = co_await news.publish(sluice::background(), "news", i);
        if (!reached || *reached != subscribers) co_return false;
    }
    news.close();
    co_await listeners.wait();
    for (const std::int64_t sum : sums)
        if (sum != triangle(messages)) co_return false;
    co_return true;
}

bool publish_threads(std::int64_t n) {
    const std::int64_t messages = n / subscribers;
    std::vector<std::unique_ptr<thread_channel<std::int64_t>>> channels;
    std::vector<std::jthread> threads;
    std::atomic<int> right = 0;
    for (int s = 0; s < subscribers; ++s) {
        channels.push_back(std::make_unique<thread_channel<std::int64_t>>(room));
        threads.emplace_back([&right, messages, from = channels.back().get()] {
            std::int64_t sum = 0;
            while (auto m = from->recv()) sum += *m;
            right += sum == triangle(messages);
        });
    }
    for (std::int64_t i = 0; i < messages; ++i)
        for (const auto& to : channels) to->send(i);
    for (const auto& to : channels) to->close();
    threads.clear();
    return right == subscribers;
}

const measured tasks("pub_sub", 1'000'000, publish);
const measured threads("pub_sub", 100'000, publish_threads);

}  // namespace
