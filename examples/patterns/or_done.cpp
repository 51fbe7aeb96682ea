// A function that knows no contexts counts what comes, until the time is up.
#include <sluice/patterns/or_done.hpp>
#include <sluice/sluice.hpp>

using namespace sluice;
using namespace std::chrono_literals;

task<int> count_all(recv_chan<int> values) {
    int count = 0;
    while (auto v = co_await values.recv()) ++count;
    co_return count;
}

task<> limited() {
    auto three = make_chan<int>(3);
    for (int i = 0; i < 3; ++i) three.try_send(i);
    auto [ctx, cancel] = with_timeout(background(), 250ms);
    // Nobody closes `three`: without the context this would count for ever.
    const int count = co_await count_all(or_done(ctx, three));
    std::printf("%d values, then: %s\n", count, ctx.err().message().c_str());
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return simulate({}, limited);
}

// Output:
// 3 values, then: deadline exceeded
