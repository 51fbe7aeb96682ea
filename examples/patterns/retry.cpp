// A client that asks again while the service is busy, and not when the answer will not change.
#include <sluice/sluice.hpp>

#include <sluice/patterns/retry.hpp>

using namespace std::chrono_literals;

struct reply {
    int status;
    std::chrono::seconds retry_after;
};

// A service that is busy at first, and then says when to come back.
reply service(int path, int attempt) {
    if (path == 404) return {404, 0s};
    if (attempt == 1) return {503, 0s};
    if (attempt == 2) return {503, 20s};
    return {200, 0s};
}

sluice::task<sluice::result<int>> ask(int path, sluice::retry_attempt attempt) {
    const reply r = service(path, attempt.number());
    std::printf("attempt %d: %d\n", attempt.number(), r.status);
    if (r.status == 200) co_return r.status;
    if (r.status < 500) attempt.give_up();
    if (r.retry_after > 0s) attempt.retry_after(r.retry_after);
    co_return sluice::fail(std::make_error_code(std::errc::connection_refused));
}

sluice::task<> client() {
    sluice::retry_policy policy;
    policy.max_attempts = 5;
    policy.budget = std::make_shared<sluice::retry_budget>(20, 10);

    for (const int path : {1, 404}) {
        const auto start = sluice::now();
        auto call = [path](sluice::retry_attempt attempt) { return ask(path, attempt); };
        const sluice::result<int> got = co_await sluice::retry(sluice::background(), policy, call);
        std::printf("%s, %s\n", got ? "answered" : got.error().message().c_str(),
                    sluice::now() - start >= 20s ? "after 20 s" : "at once");
    }
}

// In virtual time, so that it takes none. In earnest: sluice::run(client).
int main() {
    return sluice::simulate({.seed = 1}, client);
}

// Output:
// attempt 1: 503
// attempt 2: 503
// attempt 3: 200
// answered, after 20 s
// attempt 1: 404
// Connection refused, at once
