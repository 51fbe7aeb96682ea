// Bursts of requests: the pool grows with each burst, and shrinks when there is none. A simulation,
// so that the hours cost nothing.
#include <sluice/sluice.hpp>

#include <sluice/patterns/elastic_pool.hpp>

using namespace std::chrono_literals;

sluice::task<> request() {
    co_await sluice::sleep_for(100ms);
}

void report(const char* when, const sluice::elastic_pool& pool) {
    const auto c = pool.counters();
    std::printf("%s: workers %zu, started %d, retired %d\n", when, c.current,
                static_cast<int>(c.started), static_cast<int>(c.retired));
}

sluice::task<> bursts() {
    sluice::elastic_pool pool(4, 100, 1min);  // at most 4 workers, windows of a minute
    for (int n = 0; n < 20; ++n) static_cast<void>(co_await pool.post(request));
    report("a burst of 20", pool);
    co_await sluice::sleep_for(30s);
    report("half a minute later", pool);
    co_await sluice::sleep_for(1h);
    report("an hour later", pool);
    for (int n = 0; n < 3'600; ++n) {
        static_cast<void>(co_await pool.post(request));
        co_await sluice::sleep_for(1s);
    }
    report("an hour at one a second", pool);
    pool.close();
    co_await pool.wait();
    report("closed", pool);
}

int main() {
    sluice::simulate({.seed = 1}, bursts);
}

// Output:
// a burst of 20: workers 4, started 4, retired 0
// half a minute later: workers 4, started 4, retired 0
// an hour later: workers 0, started 4, retired 4
// an hour at one a second: workers 1, started 5, retired 4
// closed: workers 0, started 5, retired 5
