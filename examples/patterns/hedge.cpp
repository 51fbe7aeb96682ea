// A question goes to a second replica when the first one does not answer in time.
#include <sluice/sluice.hpp>

#include <atomic>

#include <sluice/patterns/hedge.hpp>

using namespace std::chrono_literals;

// Every third question meets a replica that is busy with something else for a second.
sluice::task<sluice::result<int>> query(sluice::context ctx, int question, int replica) {
    const auto time = question % 3 == 0 && replica == 1 ? 1s : 5ms;
    const sluice::result<> done = co_await sluice::within(ctx, sluice::sleep_for(time));
    if (!done) {
        std::printf("  replica %d: %s\n", replica, done.error().message().c_str());
        co_return sluice::fail(done.error());
    }
    co_return replica;
}

sluice::task<> client() {
    for (int question = 1; question <= 3; ++question) {
        const auto start = sluice::now();
        std::atomic<int> replica = 0;  // the two attempts may run at the same time
        auto ask = [question, &replica](sluice::context ctx) {
            return query(ctx, question, ++replica);
        };
        const sluice::result<int> answer = co_await sluice::hedge(sluice::background(), 20ms, ask);
        const auto time = std::chrono::round<std::chrono::milliseconds>(sluice::now() - start);
        std::printf("answer %d from replica %d after %d ms\n", question, answer.value(),
                    static_cast<int>(time.count()));
    }
}

// In virtual time, so that it is exact and takes none. In earnest: sluice::run(client).
int main() {
    return sluice::simulate({.seed = 1}, client);
}

// Output:
// answer 1 from replica 1 after 5 ms
// answer 2 from replica 1 after 5 ms
//   replica 1: canceled
// answer 3 from replica 2 after 25 ms
