#include <sluice/patterns/elastic_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "pool_jobs.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace pool_jobs;

namespace {

task<> sleep_1ms() {
    co_await sleep_for(1ms);
}

/// Several producers, jobs of both kinds.
task<> producers_and_workers() {
    std::atomic<int> sum = 0;
    elastic_pool pool(3, 2, 2ms);
    wait_group producers;
    for (int first = 0; first != 32; first += 8)
        producers.go(produce<elastic_pool>, &pool, &sum, first);
    co_await producers.wait();
    pool.close();
    co_await pool.wait();
    EXPECT(sum == 256);  // the odd numbers below 32
    const elastic_counters c = pool.counters();
    EXPECT(c.current == 0 && c.started == c.retired);
    EXPECT(c.peak <= 3 && c.started >= c.peak);
}

}  // namespace

TEST_CASE("elastic_pool: every job is done once, and its result comes to its handle") {
    simulated(producers_and_workers, 1'000);
    on_real_workers(producers_and_workers);
}

namespace {

task<> submit_until_cancelled(context ctx) {
    auto counts = std::make_shared<tally>();
    elastic_pool pool(2, 0, 500us);
    wait_group producers;
    for (int p = 0; p != 4; ++p) producers.go(submit_some<elastic_pool>, &pool, ctx, counts);
    co_await producers.wait();
    pool.close();
    co_await pool.wait();
    EXPECT(counts->done == counts->accepted);
    EXPECT(counts.use_count() == 1);  // no job is left, done or not
    EXPECT(pool.counters().current == 0);
    if (!ctx.err()) EXPECT(counts->done == 24);
}

}  // namespace

TEST_CASE("elastic_pool: what was accepted is done, and nothing else, wherever it is cancelled") {
    simulated_cancelled(submit_until_cancelled);
}

TEST_CASE("elastic_pool: a cancelled submit leaves its room to others") {
    simulated([]() -> task<> {
        elastic_pool pool(1, 1);
        auto release = make_chan<>();
        EXPECT(pool.try_post(hold, release).has_value());
        EXPECT(pool.try_post(hold, release).has_value());
        for (int i = 0; i != 10; ++i) {
            const auto late = co_await within(1ms, pool.submit(square, 1));
            EXPECT(!late && late.error() == errc::deadline_exceeded);
        }
        static_cast<void>(pool.submit(square, 1));  // never awaited
        EXPECT(pool.try_post(sleep_1ms).error() == refusal::queue_full);
        release.close();
        co_await sleep_for(1ms);
        EXPECT(pool.try_post(sleep_1ms).has_value());
        EXPECT(pool.try_post(sleep_1ms).has_value());
        EXPECT(pool.try_post(sleep_1ms).error() == refusal::queue_full);
    });
}

TEST_CASE("elastic_pool: a new worker is started only for a job that finds all of them busy") {
    simulated([]() -> task<> {
        elastic_pool pool(4, 10);
        for (int i = 0; i != 20; ++i) {  // one after the other
            auto handle = co_await pool.submit(sleep_1ms);
            co_await handle->join();
            co_await sleep_for(1ms);
        }
        EXPECT(pool.counters().started == 1);
        auto release = make_chan<>();
        for (std::size_t busy = 1; busy != 5; ++busy) {
            const auto ok = co_await pool.post(hold, release);
            EXPECT(ok.has_value());
            EXPECT(pool.counters().current == busy);
        }
        for (int i = 0; i != 10; ++i) EXPECT(pool.try_post(hold, release).has_value());
        EXPECT(pool.try_post(hold, release).error() == refusal::queue_full);
        EXPECT(pool.counters().current == 4);  // the maximum
        EXPECT(pool.counters().peak == 4);
        release.close();
    });
}

TEST_CASE("elastic_pool: no more jobs than its maximum are under way at once") {
    simulated(
        []() -> task<> {
            int now_running = 0;
            int most = 0;
            const auto job = [&]() -> task<> {
                most = std::max(most, ++now_running);
                co_await sleep_for(1ms);
                --now_running;
            };
            elastic_pool pool(3, 2, 1ms);
            for (int i = 0; i != 30; ++i) {
                const auto ok = co_await pool.post(job);
                EXPECT(ok.has_value());
                if (i % 10 == 9) co_await sleep_for(7ms);
            }
            pool.close();
            co_await pool.wait();
            EXPECT(most == 3 && now_running == 0);
            EXPECT(pool.counters().peak == 3);
        },
        100);
}

TEST_CASE("elastic_pool: without jobs all workers retire after one to two windows") {
    simulated([]() -> task<> {
        elastic_pool pool(8, 0, 1s);
        for (int i = 0; i != 8; ++i) EXPECT(pool.try_post(sleep_1ms).has_value());
        co_await sleep_for(999ms);
        EXPECT(pool.counters().current == 8);
        co_await sleep_for(1'002ms);
        const elastic_counters c = pool.counters();
        EXPECT(c.current == 0 && c.started == 8 && c.retired == 8 && c.peak == 8);
        auto again = co_await pool.submit(square, 3);  // it grows again
        const int nine = co_await again->join();
        EXPECT(nine == 9);
        EXPECT(pool.counters().current == 1);
    });
}

TEST_CASE("elastic_pool: a light load that goes on lets the workers of a burst retire") {
    simulated([]() -> task<> {
        elastic_pool pool(8, 0, 1s);
        for (int i = 0; i != 8; ++i) EXPECT(pool.try_post(sleep_1ms).has_value());
        for (int i = 0; i != 300; ++i) {  // each of 8 workers would get one every 80 ms
            co_await sleep_for(10ms);
            EXPECT(pool.try_post(sleep_1ms).has_value());
        }
        const elastic_counters c = pool.counters();
        EXPECT(c.current == 1 && c.started == 8 && c.retired == 7);
    });
}

TEST_CASE("elastic_pool: a steady load neither starts nor retires workers") {
    simulated([]() -> task<> {
        elastic_pool pool(8, 0, 1s);
        const auto job = []() -> task<> { co_await sleep_for(25ms); };
        for (int i = 0; i != 5'000; ++i) {  // three are at work at any moment
            EXPECT(pool.try_post(job).has_value());
            co_await sleep_for(10ms);
        }
        const elastic_counters c = pool.counters();
        EXPECT(c.current == 3 && c.started == 3 && c.retired == 0);
    });
}

TEST_CASE("elastic_pool: an exception goes to the handle, and the worker goes on") {
    on_workers([]() -> task<> {
        elastic_pool pool(1, 2);
        auto bad = co_await pool.submit([]() -> int { throw std::runtime_error("bad"); });
        auto fine = co_await pool.submit(square, 5);
        std::string seen;
        try {
            static_cast<void>(co_await bad->join());
        } catch (const std::runtime_error& e) {
            seen = e.what();
        }
        const int result_of_fine = co_await fine->join();
        EXPECT(seen == "bad" && result_of_fine == 25);
        EXPECT(pool.counters().started == 1);
    });
}

TEST_CASE(
    "elastic_pool: close refuses who waits for room and who comes later, and keeps the rest") {
    simulated(
        []() -> task<> {
            elastic_pool pool(1, 1);
            auto release = make_chan<>();
            int done = 0;
            int refused = 0;
            EXPECT(pool.try_post(hold, release).has_value());
            EXPECT(pool.try_post([&] { ++done; }).has_value());
            wait_group waiting;
            for (int i = 0; i != 2; ++i) {
                waiting.go([&]() -> task<> {
                    const auto r = co_await pool.submit([&] { ++done; });
                    if (!r && r.error() == refusal::closed) ++refused;
                });
            }
            co_await sleep_for(1ms);
            pool.close();
            pool.close();  // does nothing
            co_await waiting.wait();
            EXPECT(refused == 2 && done == 0);
            EXPECT(pool.try_submit(square, 1).error() == refusal::closed);
            EXPECT(pool.try_post(sleep_1ms).error() == refusal::closed);
            const auto late = co_await pool.post(sleep_1ms);
            EXPECT(!late && late.error() == refusal::closed);
            const auto early = co_await within(1ms, pool.wait());
            EXPECT(!early);
            release.close();
            co_await pool.wait();
            EXPECT(done == 1);
        },
        100);
}

TEST_CASE("elastic_pool: a pool that never had a job closes at once") {
    simulated([]() -> task<> {
        elastic_pool pool(2, 2);
        const auto open = co_await within(1ms, pool.wait());
        EXPECT(!open);
        pool.close();
        co_await pool.wait();
        EXPECT(pool.counters().started == 0);
    });
}

TEST_CASE("elastic_pool: letting it go closes it, and what it has accepted is still done") {
    on_workers([]() -> task<> {
        std::vector<join_handle<int>> handles;
        {
            elastic_pool pool(2, 8);
            for (int i = 0; i != 8; ++i) {
                auto handle = co_await pool.submit(slow_square, i);
                handles.push_back(std::move(*handle));
            }
        }
        int sum = 0;
        for (auto& handle : handles) {
            const int got = co_await handle.join();
            sum += got;
        }
        EXPECT(sum == 140);
    });
}

TEST_CASE("elastic_pool: try_submit and close serve threads that run no tasks") {
    run_on(2, []() -> task<> {
        elastic_pool pool(2, 1'000);
        const auto outside = [&pool] {
            std::vector<join_handle<int>> handles;
            for (int i = 0; i != 100; ++i)
                handles.push_back(std::move(pool.try_submit(square, i).value()));
            int total = 0;
            for (auto& handle : handles) total += handle.get();
            EXPECT(total == 328'350);
            pool.close();
        };
        co_await blocking(outside);
        co_await pool.wait();
    });
}

TEST_CASE(
    "elastic_pool: misuse throws: no workers, no window, too large a queue, outside of a task") {
    CHECK_THROWS_AS(elastic_pool(1, 1), std::logic_error);
    simulated([]() -> task<> {
        int thrown = 0;
        try {
            const elastic_pool pool(0, 1);
        } catch (const std::invalid_argument&) {
            ++thrown;
        }
        try {
            const elastic_pool pool(1, 1, 0s);
        } catch (const std::invalid_argument&) {
            ++thrown;
        }
        try {
            const elastic_pool pool(1, static_cast<std::size_t>(-1));
        } catch (const std::logic_error&) {
            ++thrown;
        }
        EXPECT(thrown == 3);
        co_return;
    });
}

TEST_CASE(
    "elastic_pool: one that outlives its runtime keeps nobody waiting, and takes no more jobs") {
    runtime rt({.workers = 1});
    const auto pool = rt.block_on([]() -> task<std::shared_ptr<elastic_pool>> {
        co_return std::make_shared<elastic_pool>(1, 10);
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
