// What the tests of the simulated network share.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sluice/io/tcp.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "loopback.hpp"

namespace loopback {

/// Whole transfers, each 1 ms under way.
inline sluice::simulated_network steady() {
    sluice::simulated_network n;
    n.min_delay = n.max_delay = 1ms;
    n.partial = 0;
    return n;
}

inline sluice::simulated_network rough() {
    sluice::simulated_network n;
    n.max_delay = 20ms;
    n.partial = 0.5;
    n.drop = 0.05;
    n.reset = 0.02;
    return n;
}

/// The coroutine function with many seeds.
inline void on_network(const sluice::simulated_network& n, const test_body& fn,
                       std::uint64_t seeds = 200) {
    run_and_report([&] { sluice::explore({.seeds = seeds, .network = n}, fn); });
}

inline void on_network(const test_body& fn) {
    on_network({}, fn);
}

/// A sum over the simulations of many seeds.
template <class F>
int total(const sluice::simulated_network& n, F fn, std::uint64_t seeds = 200) {
    sluice::simulator world(1'000'000, n);
    int sum = 0;
    run_and_report([&] {
        for (std::uint64_t seed = 0; seed != seeds; ++seed) sum += world.run(seed, fn);
    });
    return sum;
}

inline sluice::task<> send_and_end(const tcp_stream* to, std::string_view text) {
    const auto sent = co_await to->write_all(text);
    EXPECT(sent.has_value());
    EXPECT(to->shutdown().has_value());
}

/// All up to the end of the stream, or to the error that takes its place.
inline sluice::task<std::string> read_all(const tcp_stream* from,
                                          std::error_code* error = nullptr) {
    std::string all;
    std::array<char, 100> buffer;
    for (;;) {
        const auto n = co_await from->read(buffer);
        if (!n && error != nullptr) *error = n.error();
        if (!n || *n == 0) co_return all;
        all.append(buffer.data(), *n);
    }
}

inline sluice::task<> echo(tcp_stream conn) {
    std::array<std::byte, 64> buffer;
    for (;;) {
        const auto n = co_await conn.read(buffer);
        if (!n || *n == 0) co_return;
        const auto wrote = co_await conn.write_all(std::span(buffer).first(*n));
        if (!wrote) co_return;
    }
}

inline sluice::task<> serve_echo(const tcp_listener* at, sluice::context until) {
    sluice::wait_group connections;
    for (;;) {
        auto conn = co_await within(until, at->accept());
        if (!conn) break;
        connections.go(echo, std::move(*conn));
    }
    co_await connections.wait();
}

inline std::string letters(std::size_t n) {
    std::string text(n, ' ');
    for (std::size_t i = 0; i != n; ++i) text[i] = static_cast<char>('a' + i % 23);
    return text;
}

}  // namespace loopback
