#include <sluice/runtime/runtime.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::runtime;
using sluice::task;

namespace {

task<int> echo_all(sluice::chan<int> in, sluice::chan<int> out) {
    int count = 0;
    for (;;) {
        const auto v = co_await in.recv();
        if (!v) break;
        co_await out.send(*v);
        ++count;
    }
    out.close();
    co_return count;
}

task<long> send_and_sum(sluice::chan<int> out, sluice::chan<int> in, int n) {
    long sum = 0;
    for (int i = 1; i <= n; ++i) {
        co_await out.send(i);
        const auto v = co_await in.recv();
        sum += *v;
    }
    out.close();
    co_return sum;
}

task<> waits_forever() {
    co_await sluice::background().done();
}

}  // namespace

TEST_CASE("runtime: block_on gives a result or throws the task's exception") {
    runtime rt(with_workers(2));
    CHECK(rt.block_on([](int n) -> task<int> { co_return n + 1; }, 1) == 2);
    CHECK(rt.block_on([](int n) { return n + 2; }, 1) == 3);
    rt.block_on([]() -> task<> { co_await sluice::sleep_for(1us); });
    const auto fails = []() -> task<> {
        co_await sluice::yield();
        throw std::runtime_error("inside");
    };
    CHECK_THROWS_WITH(rt.block_on(fails), "inside");
}

TEST_CASE("runtime: several threads may block on one runtime at once") {
    runtime rt(with_workers(2));
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t) {
        threads.emplace_back([&rt, t] {
            for (int i = 0; i != 200; ++i) {
                const int got = rt.block_on(
                    [](int n) -> task<int> {
                        co_await sluice::yield();
                        co_return n;
                    },
                    1000 * t + i);
                EXPECT(got == 1000 * t + i);
            }
        });
    }
    for (std::thread& t : threads) t.join();
    report_expectations();
}

TEST_CASE("runtime: several live side by side, each with its own tasks") {
    std::vector<std::unique_ptr<runtime>> all;
    for (unsigned i = 0; i != 8; ++i)
        all.push_back(std::make_unique<runtime>(with_workers(1 + i % 2)));
    for (std::size_t i = 0; i != all.size(); ++i) {
        for (std::size_t k = 0; k != i; ++k) all[i]->go(waits_forever);
    }
    for (std::size_t i = 0; i != all.size(); ++i) {
        CHECK(all[i]->num_tasks() == i);
        const std::size_t inside =
            all[i]->block_on([]() -> task<std::size_t> { co_return sluice::num_tasks(); });
        CHECK(inside == i + 1);
    }
    for (std::size_t i = 0; i != all.size(); ++i) CHECK(all[i]->shutdown(0s).cut.size() == i);
}

TEST_CASE("runtime: tasks of two runtimes wake each other through channels") {
    for (const std::ptrdiff_t capacity : {0, 4}) {
        runtime one(with_workers(2));
        runtime two(with_workers(1));
        const auto there = sluice::make_chan<int>(capacity);
        const auto back = sluice::make_chan<int>(capacity);
        auto echo = two.spawn(echo_all, there, back);
        CHECK(one.block_on(send_and_sum, there, back, 2'000) == 2'001'000);
        CHECK(echo.get() == 2'000);
    }
}

TEST_CASE("runtime: a mutex, a wait_group and a context may be shared between runtimes") {
    runtime one(with_workers(1));
    runtime two(with_workers(1));
    sluice::mutex mu;
    int shared = 0;
    const auto count = [](sluice::mutex* m, int* n) -> task<> {
        for (int i = 0; i != 1'000; ++i) {
            const auto guard = co_await m->lock();
            ++*n;
        }
    };
    auto a = one.spawn(count, &mu, &shared);
    auto b = two.spawn(count, &mu, &shared);
    a.get();
    b.get();
    CHECK(shared == 2'000);

    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    const auto waits = [](sluice::context c) -> task<> { co_await c.done(); };
    auto c = one.spawn(waits, ctx);
    auto d = two.spawn(waits, ctx);
    cancel();
    c.get();
    d.get();
    CHECK(c.done());
}

TEST_CASE("runtime: threads of the program's own send, close and cancel into it") {
    runtime rt(with_workers(2));
    const auto ch = sluice::make_chan<int>(1'000);
    auto sum = rt.spawn(
        [](sluice::chan<int> in) -> task<long> {
            long total = 0;
            for (;;) {
                const auto v = co_await in.recv();
                if (!v) co_return total;
                total += *v;
            }
        },
        ch);
    for (int i = 1; i <= 1'000; ++i) {
        while (!ch.try_send(i)) std::this_thread::yield();
    }
    ch.close();
    CHECK(sum.get() == 500'500);
}

TEST_CASE("runtime: stopping ends when shutdown begins, so that tasks end by themselves") {
    runtime rt(with_workers(2));
    std::atomic<int> ended{0};
    CHECK_FALSE(rt.stopping().err());
    for (int i = 0; i != 20; ++i) {
        rt.go(
            [](sluice::context stop, std::atomic<int>* e) -> task<> {
                co_await stop.done();
                co_await sluice::yield();
                ++*e;
            },
            rt.stopping(), &ended);
    }
    const auto report = rt.shutdown(1min);
    CHECK(report.cut.empty());
    CHECK(ended == 20);
    CHECK(rt.stopping().err() == sluice::errc::canceled);
}

TEST_CASE("runtime: the grace period is waited for only as long as tasks are left") {
    runtime rt(with_workers(1));
    const auto begin = std::chrono::steady_clock::now();
    rt.block_on([]() -> task<> { co_await sluice::yield(); });
    CHECK(rt.shutdown(10min).cut.empty());
    CHECK(std::chrono::steady_clock::now() - begin < 5min);
}

TEST_CASE("runtime: the shutdown report names each task that was cut, and what it waited for") {
    runtime rt(with_workers(2));
    rt.go(waits_forever);
    rt.go([](sluice::chan<int> ch) -> task<> { co_await ch.send(1); }, sluice::make_chan<int>());
    rt.go([]() -> task<> { co_await sluice::sleep_for(1h); });
    while (rt.stats().parks == 0 || rt.num_tasks() != 3) std::this_thread::yield();
    for (int i = 0; i != 3; ++i) rt.block_on([]() -> task<> { co_await sluice::yield(); });
    const auto report = rt.shutdown(0s);
    REQUIRE(report.cut.size() == 3);
    int named = 0;
    for (const sluice::task_info& t : report.cut) {
        INFO(t.describe());
        CHECK(t.describe().find("runtime.cpp:") != std::string::npos);
        named += std::string(t.origin.function_name()).find("waits_forever") != std::string::npos
                     ? 1
                     : 0;
    }
    CHECK(named == 1);
    CHECK(rt.num_tasks() == 0);
    CHECK(rt.shutdown(0s).cut.empty());
}

TEST_CASE("runtime: of two threads that shut it down one gets the report, and both find it ended") {
    for (int round = 0; round != 50; ++round) {
        runtime rt(with_workers(2));
        for (int i = 0; i != 10; ++i) rt.go([]() -> task<> { co_await sluice::sleep_for(1h); });
        std::atomic<std::size_t> cut{0};
        std::atomic<std::size_t> left{0};
        const auto end = [&] {
            cut += rt.shutdown(0s).cut.size();
            left += rt.num_tasks();
        };
        std::thread other(end);
        end();
        other.join();
        CHECK(cut == 10);
        CHECK(left == 0);
    }
}

TEST_CASE("runtime: a task that shuts its own runtime down is told so") {
    runtime rt(with_workers(1));
    const auto body = [](runtime* own) -> task<> {
        own->shutdown(0s);
        co_return;
    };
    CHECK_THROWS_AS(rt.block_on(body, &rt), std::logic_error);
    CHECK_FALSE(rt.stopping().err());
}

TEST_CASE("runtime: after shutdown go throws, and spawn gives a handle that says canceled") {
    runtime rt(with_workers(2));
    rt.shutdown(0s);
    const auto token = std::make_shared<int>(1);
    const auto body = [token]() -> task<int> { co_return *token; };
    CHECK_THROWS_AS(rt.go(body), std::logic_error);
    auto handle = rt.spawn(body);
    CHECK(handle.done());
    try {
        handle.get();
        FAIL("a value");
    } catch (const std::system_error& e) {
        CHECK(e.code() == sluice::errc::canceled);
    }
    CHECK_THROWS_AS(rt.block_on(body), std::system_error);
    CHECK(token.use_count() == 2);
    CHECK(rt.num_tasks() == 0);
}

TEST_CASE(
    "runtime: a task that was cut before its first step frees its arguments and completes its "
    "join") {
    runtime rt(with_workers(1));
    std::atomic<int> stage{0};
    rt.go([&stage] {
        stage = 1;
        while (stage != 2) std::this_thread::yield();
    });
    while (stage != 1) std::this_thread::yield();
    const auto token = std::make_shared<int>(1);
    auto handle = rt.spawn([token]() -> task<int> { co_return *token; });
    std::thread opener([&stage, &rt] {
        while (!rt.stopping().err()) std::this_thread::yield();
        stage = 2;
    });
    // The one worker is held until shutdown has begun, so that it may or may not come to the task.
    const auto report = rt.shutdown(0s);
    opener.join();
    if (report.cut.size() == 1) {
        CHECK_THROWS_AS(handle.get(), std::system_error);
    } else {
        CHECK(report.cut.empty());
        CHECK(handle.get() == 1);
    }
    CHECK(token.use_count() == 1);
    CHECK(rt.num_tasks() == 0);
}

TEST_CASE("runtime: each task has run or was cut, however soon it is stopped") {
    std::atomic<int> ran{0};
    int cut = 0;
    for (int round = 0; round != 200; ++round) {
        runtime rt(with_workers(1 + static_cast<unsigned>(round) % 2));
        for (int i = 0; i != 10; ++i) rt.go([&ran] { ++ran; });
        cut += static_cast<int>(rt.shutdown(round % 3 == 0 ? 0s : 1min).cut.size());
    }
    CHECK(ran + cut == 2'000);
}

TEST_CASE("runtime: wakes that come after its end touch nothing") {
    const auto ch = sluice::make_chan<int>();
    sluice::mutex mu;
    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    {
        runtime rt(with_workers(2));
        rt.go([](sluice::chan<int> c) -> task<> { static_cast<void>(co_await c.recv()); }, ch);
        rt.go([](sluice::context c) -> task<> { co_await c.done(); }, ctx);
        rt.go(
            [](sluice::mutex* m) -> task<> {
                const auto guard = co_await m->lock();
                co_await sluice::background().done();
            },
            &mu);
        rt.block_on([]() -> task<> { co_await sluice::yield(); });
    }
    CHECK_FALSE(ch.try_send(1));
    cancel();
    CHECK(mu.try_lock().owns_lock());
}
