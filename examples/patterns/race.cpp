// A deliberate data race: two tasks on two workers write the same int, one after the other in time,
// but nothing orders them: relaxed atomics say when, and publish nothing. Built with
// -fsanitize=thread the program reports the race and fails; built without, it looks well.
#include <sluice/sluice.hpp>

#include <atomic>

void write_first(int* answer, std::atomic<long>* written) {
    *answer = 42;
    written->store(1, std::memory_order_relaxed);  // release here and acquire below would be right
    while (written->load(std::memory_order_relaxed) < 2) continue;  // keeps this worker to itself
}

void write_second(int* answer, std::atomic<long>* written) {
    while (written->load(std::memory_order_relaxed) < 1) continue;
    *answer = 42;  // the race
    written->store(2, std::memory_order_relaxed);
}

sluice::task<> program() {
    int answer = 0;
    std::atomic<long> written = 0;
    sluice::wait_group writers;
    writers.go(write_first, &answer, &written);
    writers.go(write_second, &answer, &written);
    co_await writers.wait();
    std::printf("the answer is %d\n", answer);
}

int main() {
    sluice::options two;
    two.workers = 2;
    return sluice::run(two, program);
}

// Output:
// the answer is 42
