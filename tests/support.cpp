#include "support.hpp"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <utility>

namespace {

/// The failed EXPECTs that no test has reported yet.
class expectations {
public:
    void add(std::string text) {
        constexpr std::size_t most = 20;
        const std::lock_guard guard(lock_);
        if (failed_.size() < most) failed_.push_back(std::move(text));
    }

    std::vector<std::string> take() {
        const std::lock_guard guard(lock_);
        return std::exchange(failed_, {});
    }

    ~expectations() {
        for (const std::string& text : failed_)
            std::fprintf(stderr, "failed, unreported: %s\n", text.c_str());
        if (!failed_.empty()) std::_Exit(1);
    }

private:
    std::mutex lock_;
    std::vector<std::string> failed_;
};

expectations& unreported() {
    static expectations all;
    return all;
}

sluice::simulation long_simulation(std::uint64_t seeds) {
    return {.seeds = seeds, .max_steps = 5'000'000};
}

}  // namespace

bool expect(bool holds, const char* text, const char* file, int line) {
    if (!holds)
        unreported().add(std::string(file) + ":" + std::to_string(line) + ": EXPECT( " + text +
                         " )");
    return holds;
}

std::vector<std::string> take_failed_expectations() {
    return unreported().take();
}

void report_expectations() {
    const std::vector<std::string> failed = take_failed_expectations();
    for (const std::string& text : failed) FAIL_CHECK(text);
    CHECK(failed.empty());
}

void run_and_report(const std::function<void()>& run) {
    try {
        run();
    } catch (...) {
        report_expectations();
        throw;
    }
    report_expectations();
}

sluice::options with_workers(unsigned n) {
    sluice::options o;
    o.workers = n;
    return o;
}

void run_on(unsigned workers, const test_body& fn) {
    CAPTURE(workers);
    run_and_report([&] { sluice::run(with_workers(workers), fn); });
}

void simulated(const test_body& fn, std::uint64_t seeds) {
    run_and_report([&] { sluice::explore(long_simulation(seeds), fn); });
}

void simulated_cancelled(const test_body_with_context& fn, std::uint64_t seeds) {
    run_and_report([&] { CHECK(sluice::explore_cancelled(long_simulation(seeds), fn) > seeds); });
}

void on_real_workers(const test_body& fn) {
    run_on(1, fn);
    run_on(2, fn);
}

void on_workers(const test_body& fn) {
    on_real_workers(fn);
    simulated(fn);
}

std::uint64_t test_seed() {
    const char* const given = std::getenv("SLUICE_SEED");
    std::random_device device;
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0)
                                                : (std::uint64_t{device()} << 32 | device());
    std::printf("SLUICE_SEED=%llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    return seed;
}
