// What tests of tasks and threads need beyond Catch2, whose assertions belong on the test's own
// thread: a check for everywhere else, workers by the number, and a seed that can be repeated.
//
//     TEST_CASE("chan: …") {
//         on_workers([]() -> sluice::task<> {
//             const auto got = co_await ch.recv();
//             EXPECT(got == 1);
//         });
//     }
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <sluice/runtime/options.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/task.hpp>

#include "catch.hpp"

/// Usable in any task and on any thread; gives the condition. Failures are collected until the
/// test's thread calls report_expectations(), as run_on() and on_workers() do.
#define EXPECT(...) \
    (::expectations::expect(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__))

class expectations {
public:
    static bool expect(bool holds, const char* text, const char* file, int line) {
        if (!holds)
            all().add(std::string(file) + ":" + std::to_string(line) + ": EXPECT( " + text + " )");
        return holds;
    }

    static std::vector<std::string> take() {
        expectations& e = all();
        const std::lock_guard guard(e.lock_);
        return std::exchange(e.failed_, {});
    }

    ~expectations() {
        for (const std::string& text : failed_)
            std::fprintf(stderr, "failed, unreported: %s\n", text.c_str());
        if (!failed_.empty()) std::_Exit(1);
    }

private:
    static expectations& all() {
        static expectations one;
        return one;
    }

    void add(std::string text) {
        constexpr std::size_t most = 20;
        const std::lock_guard guard(lock_);
        if (failed_.size() < most) failed_.push_back(std::move(text));
    }

    std::mutex lock_;
    std::vector<std::string> failed_;
};

/// On the test's thread: every failed EXPECT since the last call becomes a failed check.
inline void report_expectations() {
    const std::vector<std::string> failed = expectations::take();
    for (const std::string& text : failed) FAIL_CHECK(text);
    CHECK(failed.empty());
}

/// Calls what runs a test's tasks, and reports, whichever way that ends.
template <class Run>
void run_and_report(Run run) {
    try {
        run();
    } catch (...) {
        report_expectations();
        throw;
    }
    report_expectations();
}

inline sluice::options with_workers(unsigned n) {
    sluice::options o;
    o.workers = n;
    return o;
}

/// Runs the coroutine function on that many workers and reports.
template <class F>
void run_on(unsigned workers, F fn) {
    CAPTURE(workers);
    run_and_report([&] { sluice::run(with_workers(workers), std::move(fn)); });
}

/// Simulates the coroutine function with a number of seeds and reports.
template <class F>
void simulated(F fn, std::uint64_t seeds = 20) {
    run_and_report(
        [&] { sluice::explore({.seeds = seeds, .max_steps = 5'000'000}, std::move(fn)); });
}

/// Simulates fn(context) with the context cancelled at each step in turn, and reports.
template <class F>
void simulated_cancelled(F fn, std::uint64_t seeds = 20) {
    run_and_report([&] {
        CHECK(sluice::explore_cancelled({.seeds = seeds, .max_steps = 5'000'000}, std::move(fn)) >
              seeds);
    });
}

/// Runs the coroutine function on one worker, where the order is fixed, and on two, where it is
/// not. For what needs real time, threads or I/O, or takes long.
template <class F>
void on_real_workers(F fn) {
    run_on(1, fn);
    run_on(2, std::move(fn));
}

/// The same, and simulates it.
template <class F>
void on_workers(F fn) {
    on_real_workers(fn);
    simulated(std::move(fn));
}

/// The seed of a random test, printed; SLUICE_SEED repeats it.
inline std::uint64_t test_seed() {
    const char* const given = std::getenv("SLUICE_SEED");
    std::random_device device;
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0)
                                                : (std::uint64_t{device()} << 32 | device());
    std::printf("SLUICE_SEED=%llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    return seed;
}
