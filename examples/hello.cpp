#include <sluice/sluice.hpp>

sluice::task<> hello() {
    std::puts("hello from a task");
    co_return;
}

int main() {
    return sluice::run(hello);
}

// Output:
// hello from a task
