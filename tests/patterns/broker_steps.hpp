// What the tests of the broker have in common: steps that check, naming the line of their caller.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <sluice/patterns/broker.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

namespace broker_steps {

inline constexpr std::array every_policy{sluice::when_full::block, sluice::when_full::drop_newest,
                                         sluice::when_full::drop_oldest,
                                         sluice::when_full::disconnect};

// Publishes; so many subscriptions must have it.
template <class T>
sluice::task<> publish_to(std::size_t many, sluice::broker<T>& b, std::string topic, T value,
                          const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    const auto taken = co_await b.publish(sluice::background(), std::move(topic), std::move(value));
    ::expect(taken == many, "published to so many", file, line);
}

inline std::string text(int value) {
    return std::to_string(value);
}
inline std::string text(std::string value) {
    return value;
}

// Receives what is queued, which must be these values.
template <class T>
sluice::task<> expect_queued(const sluice::subscription<T>& sub, std::string values,
                             const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    std::string queued;
    for (;;) {
        const auto got = co_await sluice::within(std::chrono::seconds(0), sub.recv());
        if (!got || *got == nullptr) break;
        queued += (queued.empty() ? "" : " ") + text((*got)->value);
    }
    ::expect(queued == values, "queued", file, line);
}

inline bool counts(const sluice::subscription_counters& c, std::uint64_t delivered,
                   std::uint64_t dropped, std::size_t queued) {
    return c.delivered == delivered && c.dropped == dropped && c.queued == queued;
}

}  // namespace broker_steps
