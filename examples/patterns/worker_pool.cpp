// A pool of four workers: results in order, results as they come, and a refusal when it is full.
#include <sluice/sluice.hpp>

#include <vector>

#include <sluice/patterns/worker_pool.hpp>

int square(int n) {
    return n * n;
}

sluice::task<> in_order(sluice::worker_pool& pool) {
    std::vector<sluice::join_handle<int>> handles;
    for (int n = 1; n <= 5; ++n) {
        auto accepted = co_await pool.submit(square, n);  // waits while the queue is full
        handles.push_back(std::move(accepted.value()));
    }
    for (auto& handle : handles) {
        const int result = co_await handle.join();  // an exception of the job would come here
        std::printf("%d ", result);
    }
    std::printf("in order\n");
}

sluice::task<> send_square(sluice::chan<int> to, int n) {
    co_await to.send(square(n));
}

sluice::task<> as_they_come(sluice::worker_pool& pool) {
    auto results = sluice::make_chan<int>(5);
    for (int n = 1; n <= 5; ++n) static_cast<void>(co_await pool.post(send_square, results, n));
    int sum = 0;
    for (int n = 1; n <= 5; ++n) {
        const auto result = co_await results.recv();
        sum += *result;
    }
    std::printf("%d in all\n", sum);
}

sluice::task<> overloaded() {
    sluice::worker_pool pool(1, 1);
    auto gate = sluice::make_chan<>();
    const auto busy = [](sluice::chan<> until) -> sluice::task<> { co_await until.recv(); };
    int status = 200;
    for (int request = 0; request < 3; ++request) {
        if (pool.try_post(busy, gate)) continue;
        status = 503;  // refusal::queue_full
    }
    std::printf("status %d\n", status);
    gate.close();
    pool.close();
    co_await pool.wait();
}

sluice::task<> demo() {
    sluice::worker_pool pool(4, 2);
    co_await in_order(pool);
    co_await as_they_come(pool);
    pool.close();
    co_await pool.wait();  // all that was accepted is done
    co_await overloaded();
}

int main() {
    return sluice::run(demo);
}

// Output:
// 1 4 9 16 25 in order
// 55 in all
// status 503
