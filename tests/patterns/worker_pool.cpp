#include <sluice/patterns/worker_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "pool_jobs.hpp"
#include "runtime/child.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace pool_jobs;

namespace {

/// A pool of one worker, busy until `release` is closed.
struct busy_pool {
    explicit busy_pool(std::size_t queue) : pool(1, queue) {}
    worker_pool pool;
    chan<> release = make_chan<>();
};

/// Several producers, jobs of both kinds.
task<> producers_and_workers() {
    std::atomic<int> sum = 0;
    worker_pool pool(3, 2);
    wait_group producers;
    for (int first = 0; first != 32; first += 8)
        producers.go(produce<worker_pool>, &pool, &sum, first);
    co_await producers.wait();
    pool.close();
    co_await pool.wait();
    EXPECT(sum == 256);  // the odd numbers below 32
}

}  // namespace

TEST_CASE("worker_pool: every job is done once, and its result comes to its handle") {
    simulated(producers_and_workers, 1'000);
    on_real_workers(producers_and_workers);
}

namespace {

task<> submit_until_cancelled(context ctx) {
    auto counts = std::make_shared<tally>();
    worker_pool pool(2, 1);
    wait_group producers;
    for (int p = 0; p != 3; ++p) producers.go(submit_some<worker_pool>, &pool, ctx, counts);
    co_await producers.wait();
    pool.close();
    co_await pool.wait();
    EXPECT(counts->done == counts->accepted);
    EXPECT(counts.use_count() == 1);  // no job is left, done or not
    if (!ctx.err()) EXPECT(counts->done == 18);
}

}  // namespace

TEST_CASE("worker_pool: what was accepted is done, and nothing else, wherever it is cancelled") {
    simulated_cancelled(submit_until_cancelled);
}

TEST_CASE("worker_pool: no more jobs than workers are under way at once") {
    simulated(
        []() -> task<> {
            int now_running = 0;
            int most = 0;
            worker_pool pool(3, 10);
            const auto job = [&]() -> task<> {
                most = std::max(most, ++now_running);
                co_await sleep_for(1ms);
                --now_running;
            };
            for (int i = 0; i != 12; ++i) {
                const auto accepted = co_await pool.post(job);
                EXPECT(accepted.has_value());
            }
            pool.close();
            co_await pool.wait();
            EXPECT(most == 3);
            EXPECT(now_running == 0);
        },
        100);
}

TEST_CASE("worker_pool: twelve jobs of a second take three workers four seconds") {
    simulated([]() -> task<> {
        const auto start = now();
        worker_pool pool(3, 12);
        for (int i = 0; i != 12; ++i) {
            const auto ok = co_await pool.post([]() -> task<> { co_await sleep_for(1s); });
            EXPECT(ok.has_value());
        }
        pool.close();
        co_await pool.wait();
        EXPECT(now() - start == 4s);
    });
}

TEST_CASE("worker_pool: one worker does the jobs in the order in which they were accepted") {
    on_workers([]() -> task<> {
        std::vector<int> order;
        worker_pool pool(1, 4);
        for (int i = 0; i != 50; ++i) {
            const auto ok = co_await pool.post([&order, i] { order.push_back(i); });
            EXPECT(ok.has_value());
        }
        pool.close();
        co_await pool.wait();
        std::vector<int> expected(50);
        std::iota(expected.begin(), expected.end(), 0);
        EXPECT(order == expected);
    });
}

TEST_CASE("worker_pool: try_submit is refused while the queue is full, and then accepted again") {
    simulated([]() -> task<> {
        busy_pool one(2);
        const auto held = co_await one.pool.submit(hold, one.release);
        EXPECT(held.has_value());
        co_await sleep_for(1ms);  // the worker has it
        auto first = one.pool.try_submit(square, 3);
        auto second = one.pool.try_submit(square, 4);
        const auto third = one.pool.try_submit(square, 5);
        EXPECT(first.has_value() && second.has_value());
        EXPECT(!third && third.error() == refusal::queue_full);
        EXPECT(one.pool.try_post([] {}).error() == refusal::queue_full);
        one.release.close();
        const int nine = co_await first->join();
        const int sixteen = co_await second->join();
        EXPECT(nine == 9 && sixteen == 16);
        EXPECT(one.pool.try_post([] {}).has_value());
        one.pool.close();
        co_await one.pool.wait();
    });
}

TEST_CASE("worker_pool: what a refused job owns is gone at once, as is that of a lost submit") {
    simulated([]() -> task<> {
        busy_pool one(0);
        const auto token = std::make_shared<int>(1);
        const auto use = [](std::shared_ptr<int>) { return 0; };
        const auto held = co_await one.pool.submit(hold, one.release);
        EXPECT(held.has_value());
        EXPECT(!one.pool.try_submit(use, token));
        EXPECT(token.use_count() == 1);
        EXPECT(!one.pool.try_post(use, token));
        EXPECT(token.use_count() == 1);
        {
            const auto late = co_await within(1ms, one.pool.submit(use, token));
            EXPECT(!late && late.error() == errc::deadline_exceeded);
        }
        {
            const auto got = co_await select(one.pool.post(use, token), sleep_for(1ms));
            EXPECT(got.index() == 1);
        }
        static_cast<void>(one.pool.submit(use, token));  // never awaited
        EXPECT(token.use_count() == 1);
        one.release.close();
        one.pool.close();
        co_await one.pool.wait();
    });
}

TEST_CASE("worker_pool: with a queue of 0 a job is accepted when a worker is free") {
    simulated([]() -> task<> {
        worker_pool pool(2, 0);
        const auto start = now();
        const auto job = []() -> task<> { co_await sleep_for(1s); };
        for (int i = 0; i != 2; ++i) {
            const auto ok = co_await pool.post(job);
            EXPECT(ok && now() == start);
        }
        EXPECT(pool.try_post(job).error() == refusal::queue_full);
        const auto third = co_await pool.post(job);
        EXPECT(third && now() - start == 1s);
        pool.close();
        co_await pool.wait();
        EXPECT(now() - start == 2s);
    });
}

TEST_CASE("worker_pool: an exception goes to the handle, and the worker goes on") {
    on_workers([]() -> task<> {
        worker_pool pool(1, 8);
        auto plain = co_await pool.submit([]() -> int { throw std::runtime_error("plain"); });
        auto waiting = co_await pool.submit([]() -> task<int> {
            co_await yield();
            throw std::runtime_error("coroutine");
        });
        auto number = co_await pool.submit([]() { throw 42; });
        auto fine = co_await pool.submit(square, 5);
        std::vector<std::string> seen;
        try {
            static_cast<void>(co_await plain->join());
        } catch (const std::runtime_error& e) {
            seen.emplace_back(e.what());
        }
        try {
            static_cast<void>(co_await waiting->join());
        } catch (const std::runtime_error& e) {
            seen.emplace_back(e.what());
        }
        try {
            co_await number->join();
        } catch (int n) {
            seen.emplace_back(std::to_string(n));
        }
        EXPECT(seen == std::vector<std::string>{"plain", "coroutine", "42"});
        const int result_of_fine = co_await fine->join();
        EXPECT(result_of_fine == 25);
    });
}

TEST_CASE("worker_pool: an exception of a posted job ends the process, with its message") {
    const child_end end = run_child([] {
        options o;
        o.workers = 1;
        run(o, []() -> task<> {
            worker_pool pool(1, 1);
            static_cast<void>(pool.try_post([]() -> task<> {
                co_await yield();
                throw std::runtime_error("nobody hears this");
            }));
            pool.close();
            co_await pool.wait();
        });
    });
    INFO(end.errors);
    CHECK(aborts_saying(end, "nobody hears this"));
    CHECK(end.errors.find("worker_pool::work") != std::string::npos);
}

TEST_CASE("worker_pool: results of any kind: none, a result<T>, one that can only be moved") {
    simulated([]() -> task<> {
        worker_pool pool(2, 4);
        auto nothing = co_await pool.submit([] {});
        auto error = co_await pool.submit(
            []() -> result<int> { return fail(std::make_error_code(std::errc::io_error)); });
        auto owned = co_await pool.submit(
            [](std::unique_ptr<int> p) {
                ++*p;
                return p;
            },
            std::make_unique<int>(6));
        auto value = co_await pool.submit([]() -> task<std::string> { co_return "text"; });
        co_await nothing->join();
        EXPECT(nothing->done());
        const result<int> r = co_await error->join();
        EXPECT(!r && r.error() == std::errc::io_error);
        const auto seven = co_await owned->join();
        EXPECT(*seven == 7);
        const std::string text = co_await value->join();
        EXPECT(text == "text");
    });
}

TEST_CASE("worker_pool: close refuses who waits for room and who comes later, and keeps the rest") {
    simulated(
        []() -> task<> {
            busy_pool one(1);
            std::atomic<int> done = 0;
            const auto count = [&done] { ++done; };
            const auto held = co_await one.pool.submit(hold, one.release);
            EXPECT(held.has_value());
            co_await sleep_for(1ms);
            EXPECT(one.pool.try_post(count).has_value());
            wait_group waiting;
            int refused = 0;
            waiting.go([&]() -> task<> {
                const auto r = co_await one.pool.submit(count);
                if (!r && r.error() == refusal::closed) ++refused;
            });
            waiting.go([&]() -> task<> {
                const auto r = co_await one.pool.post(count);
                if (!r && r.error() == refusal::closed) ++refused;
            });
            co_await sleep_for(1ms);
            one.pool.close();
            one.pool.close();  // does nothing
            co_await waiting.wait();
            EXPECT(refused == 2);
            EXPECT(one.pool.try_submit(count).error() == refusal::closed);
            EXPECT(one.pool.try_post(count).error() == refusal::closed);
            const auto late = co_await one.pool.submit(count);
            EXPECT(!late && late.error() == refusal::closed);
            EXPECT(done == 0);
            one.release.close();
            co_await one.pool.wait();
            EXPECT(done == 1);
        },
        100);
}

TEST_CASE("worker_pool: wait can be bounded, and waited for by many") {
    simulated([]() -> task<> {
        busy_pool one(1);
        const auto held = co_await one.pool.submit(hold, one.release);
        EXPECT(held.has_value());
        one.pool.close();
        const auto early = co_await within(1s, one.pool.wait());
        EXPECT(!early && early.error() == errc::deadline_exceeded);
        wait_group waiting;
        int over = 0;
        for (int i = 0; i != 3; ++i) {
            waiting.go([&]() -> task<> {
                co_await one.pool.wait();
                ++over;
            });
        }
        one.release.close();
        co_await waiting.wait();
        EXPECT(over == 3);
    });
}

TEST_CASE("worker_pool: letting it go closes it, and what it has accepted is still done") {
    on_workers([]() -> task<> {
        auto done = std::make_shared<std::atomic<int>>(0);
        const auto count = [done] { ++*done; };
        std::optional<join_handle<int>> last;
        {
            worker_pool pool(2, 16);
            for (int i = 0; i != 8; ++i) {
                const auto ok = co_await pool.post(count);
                EXPECT(ok.has_value());
            }
            auto handle = co_await pool.submit(slow_square, 4);
            last.emplace(std::move(*handle));
        }
        const int got = co_await last->join();
        EXPECT(got == 16);
        while (num_tasks() != 1) co_await yield();
        EXPECT(*done == 8);
    });
}

TEST_CASE("worker_pool: a handle that is let go leaves its job to be done") {
    simulated([]() -> task<> {
        worker_pool pool(1, 4);
        int done = 0;
        for (int i = 0; i != 3; ++i) static_cast<void>(co_await pool.submit([&] { ++done; }));
        pool.close();
        co_await pool.wait();
        EXPECT(done == 3);
    });
}

TEST_CASE("worker_pool: a job may submit to its own pool while there is room") {
    simulated([]() -> task<> {
        worker_pool pool(1, 1);
        auto outer = co_await pool.submit([&pool]() -> task<int> {
            auto inner = pool.try_submit(square, 7);
            EXPECT(inner.has_value());
            const auto full = pool.try_submit(square, 8);
            EXPECT(!full && full.error() == refusal::queue_full);
            pool.close();
            co_return 1;
        });
        const int one = co_await outer->join();
        EXPECT(one == 1);
        co_await pool.wait();
    });
}

TEST_CASE("worker_pool: try_submit and close serve threads that run no tasks") {
    run_on(2, []() -> task<> {
        worker_pool pool(2, 1'000);
        std::atomic<int> sum = 0;
        const auto outside = [&pool, &sum] {
            std::vector<join_handle<int>> handles;
            for (int i = 0; i != 100; ++i) {
                handles.push_back(std::move(pool.try_submit(square, i).value()));
                EXPECT(pool.try_post([&sum, i] { sum += i; }).has_value());
            }
            int total = 0;
            for (auto& handle : handles) total += handle.get();
            EXPECT(total == 328'350);
            pool.close();
        };
        co_await blocking(outside);
        co_await pool.wait();
        EXPECT(sum == 4'950);
    });
}

TEST_CASE("worker_pool: jobs that the end of their runtime cuts say so to their handles") {
    std::optional<join_handle<int>> running;
    std::optional<join_handle<int>> queued;
    {
        runtime rt(options{.workers = 1});  // its end cuts what is left
        rt.block_on([&]() -> task<> {
            worker_pool pool(1, 1);
            auto first = co_await pool.submit([]() -> task<int> {
                co_await sleep_for(24h);
                co_return 1;
            });
            running.emplace(std::move(*first));
            auto second = co_await pool.submit(square, 2);
            queued.emplace(std::move(*second));
        });
    }
    CHECK_THROWS_AS(running->get(), std::system_error);
    CHECK_THROWS_AS(queued->get(), std::system_error);
}

TEST_CASE(
    "worker_pool: one that outlives its runtime keeps nobody waiting, and takes no more jobs") {
    runtime rt({.workers = 1});
    const auto pool = rt.block_on([]() -> task<std::shared_ptr<worker_pool>> {
        co_return std::make_shared<worker_pool>(1, 10);
    });
    const auto for_ever = []() -> task<int> {
        co_await sleep_for(std::chrono::hours(1));
        co_return 1;
    };
    auto running = pool->try_submit(for_ever);
    auto queued = pool->try_submit(for_ever);
    REQUIRE((running.has_value() && queued.has_value()));
    static_cast<void>(rt.shutdown(std::chrono::seconds(0)));
    CHECK_THROWS_AS(running->get(), std::system_error);
    CHECK_THROWS_AS(queued->get(), std::system_error);
    const auto late = pool->try_post([] {});
    CHECK(!late);
    CHECK(late.error() == refusal::closed);
}

TEST_CASE("worker_pool: misuse throws: no workers, too large a queue, outside of a task") {
    CHECK_THROWS_AS(worker_pool(1, 1), std::logic_error);
    simulated([]() -> task<> {
        bool no_workers = false;
        bool too_large = false;
        try {
            const worker_pool pool(0, 1);
        } catch (const std::invalid_argument&) {
            no_workers = true;
        }
        try {
            const worker_pool pool(1, static_cast<std::size_t>(-1));
        } catch (const std::logic_error&) {
            too_large = true;
        }
        EXPECT(no_workers && too_large);
        co_return;
    });
}
