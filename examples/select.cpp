#include <sluice/sluice.hpp>
using namespace std::chrono_literals;

sluice::task<> first_of_two(sluice::chan<int> numbers, sluice::chan<std::string> words) {
    auto got = co_await sluice::select(numbers.recv(), words.send("hello"), sluice::after(1s));
    std::printf("case %zu won\n", got.index());
}

int main() {
    auto words = sluice::make_chan<std::string>(1);
    return sluice::run(first_of_two, sluice::make_chan<int>(), words);
}

// Output:
// case 1 won
