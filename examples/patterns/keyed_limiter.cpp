// A server that answers each client twice at once and then once a second; the rest gets a 429.
#include <sluice/sluice.hpp>

#include <sluice/patterns/keyed_limiter.hpp>

using namespace std::chrono_literals;

int status_for(sluice::keyed_limiter<std::string>& limiter, const std::string& client) {
    return limiter.allow(client) ? 200 : 429;
}

sluice::task<> serve() {
    sluice::keyed_limiter<std::string> limiter(sluice::rate(1), 2);
    for (const char* client : {"ann", "ann", "ann", "bob"})
        std::printf("%s: %d\n", client, status_for(limiter, client));
    co_await sluice::sleep_for(1s);
    std::printf("ann, a second later: %d\n", status_for(limiter, "ann"));

    // Who stays away is forgotten.
    for (int client = 0; client < 10'000; ++client) limiter.allow(std::to_string(client));
    std::printf("%zu clients known\n", limiter.size());
    for (int round = 0; round < 3; ++round) {
        co_await sluice::sleep_for(limiter.lifetime());
        for (int client = 0; client < 1'000; ++client) limiter.allow(std::to_string(client));
    }
    std::printf("%zu clients known later\n", limiter.size());
}

// In virtual time, so that it is exact and takes none. In earnest: sluice::run(serve).
int main() {
    return sluice::simulate({.seed = 1}, serve);
}

// Output:
// ann: 200
// ann: 200
// ann: 429
// bob: 200
// ann, a second later: 200
// 10002 clients known
// 1000 clients known later
