// Orders of three kinds wait. By strict priority the lower ones wait for all of the upper ones;
// with a bound of five picks each kind gets at least one in five.
#include <sluice/sluice.hpp>

#include <sluice/patterns/priority_select.hpp>

using kinds = std::array<sluice::chan<>, 3>;

kinds twelve_of_each() {
    kinds orders;
    for (auto& kind : orders) {
        kind = sluice::make_chan(12);
        for (int n = 0; n < 12; ++n) kind.try_send();
    }
    return orders;
}

sluice::task<> strictly(kinds orders) {
    for (int n = 0; n < 20; ++n) {
        const auto got =
            co_await sluice::priority_select(orders[0].recv(), orders[1].recv(), orders[2].recv());
        std::printf("%zu ", got.index());
    }
    std::printf("strictly\n");
}

sluice::task<> with_a_bound(kinds orders) {
    sluice::fair_priority<3> fair(5);
    for (int n = 0; n < 20; ++n) {
        const auto got = co_await fair.select(orders[0].recv(), orders[1].recv(), orders[2].recv());
        std::printf("%zu ", got.index());
    }
    std::printf("with a bound\n");
}

// A task that computes and waits for nothing gives others their turn now and then.
sluice::task<> compute(int* steps) {
    for (int n = 0; n < 1'000; ++n) {
        ++*steps;
        if (n % 100 == 99) co_await sluice::yield();
    }
}

sluice::task<> demo() {
    co_await strictly(twelve_of_each());
    co_await with_a_bound(twelve_of_each());
    int steps = 0;
    co_await compute(&steps);
    std::printf("%d steps\n", steps);
}

int main() {
    return sluice::run(demo);
}

// Output:
// 0 0 0 0 0 0 0 0 0 0 0 0 1 1 1 1 1 1 1 1 strictly
// 0 0 0 1 2 0 0 1 2 0 0 1 2 0 0 1 2 0 0 1 with a bound
// 1000 steps
