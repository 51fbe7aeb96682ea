// A client keeps to the 10 requests a second that a service grants it.
#include <sluice/sluice.hpp>

#include <sluice/patterns/rate_limiter.hpp>

using namespace std::chrono_literals;

sluice::task<bool> fetch(sluice::context ctx, sluice::rate_limiter* limiter, int page) {
    const auto start = sluice::now();
    const sluice::result<> turn = co_await limiter->wait(ctx);
    if (!turn) {
        std::printf("page %d: %s\n", page, turn.error().message().c_str());
        co_return false;
    }
    const auto waited = std::chrono::round<std::chrono::milliseconds>(sluice::now() - start);
    std::printf("page %d after %d ms\n", page, static_cast<int>(waited.count()));
    co_return true;
}

sluice::task<> fetch_all() {
    sluice::rate_limiter limiter(sluice::rate(10), 2);  // 10 a second, 2 at once
    auto [ctx, stop] = sluice::with_timeout(sluice::background(), 250ms);
    for (int page = 1;; ++page) {
        const bool fetched = co_await fetch(ctx, &limiter, page);
        if (!fetched) break;
    }

    // What need not happen is not waited for.
    std::puts(limiter.allow() ? "a preview" : "no preview now");
    co_await sluice::sleep_for(100ms);
    std::puts(limiter.allow() ? "a preview" : "no preview now");
}

// In virtual time, so that it is exact and takes none. In earnest: sluice::run(fetch_all).
int main() {
    return sluice::simulate({.seed = 1}, fetch_all);
}

// Output:
// page 1 after 0 ms
// page 2 after 0 ms
// page 3 after 100 ms
// page 4 after 100 ms
// page 5: the context's deadline comes before the turn
// no preview now
// a preview
