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
#include <functional>
#include <string>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/options.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/simulate.hpp>
#include <sluice/runtime/task.hpp>

#include "catch.hpp"

/// Usable in any task and on any thread; gives the condition. Failures are collected until the
/// test's thread calls report_expectations(), as run_on() and on_workers() do.
#define EXPECT(...) (::expect(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__))

bool expect(bool holds, const char* text, const char* file, int line);

/// The failed EXPECTs since the last call, as lines of text.
std::vector<std::string> take_failed_expectations();

/// On the test's thread: each of them becomes a failed check.
void report_expectations();

/// Calls what runs a test's tasks, and reports, whichever way that ends.
void run_and_report(const std::function<void()>& run);

/// A coroutine function to test. One type for all, so that run() and explore() are compiled once.
using test_body = std::function<sluice::task<>()>;
using test_body_with_context = std::function<sluice::task<>(sluice::context)>;

sluice::options with_workers(unsigned n);

/// Runs the coroutine function on that many workers and reports.
void run_on(unsigned workers, const test_body& fn);

/// Simulates the coroutine function with a number of seeds and reports.
void simulated(const test_body& fn, std::uint64_t seeds = 20);

/// Simulates fn(context) with the context cancelled at each step in turn, and reports.
void simulated_cancelled(const test_body_with_context& fn, std::uint64_t seeds = 20);

/// Runs the coroutine function on one worker, where the order is fixed, and on two, where it is
/// not. For what needs real time, threads or I/O, or takes long.
void on_real_workers(const test_body& fn);

/// The same, and simulates it.
void on_workers(const test_body& fn);

/// The seed of a random test, printed; SLUICE_SEED repeats it.
std::uint64_t test_seed();
