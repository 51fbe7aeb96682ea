#include <sluice/patterns/keyed_limiter.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sluice/patterns/rate_limiter.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

TEST_CASE("keyed_limiter: each key has a bucket of its own, full at first") {
    simulated([]() -> task<> {
        keyed_limiter<std::string> limiter(rate(10), 2);
        for (const char* key : {"a", "b", ""}) {
            EXPECT(limiter.allow(key));
            EXPECT(limiter.allow(key));
            EXPECT(!limiter.allow(key));
        }
        co_await sleep_for(100ms);
        EXPECT(limiter.allow("a"));
        EXPECT(!limiter.allow("a"));
        EXPECT(limiter.allow("b"));
        EXPECT(limiter.allow("c", 2));
        EXPECT(!limiter.allow("c"));
    });
}

TEST_CASE("keyed_limiter: what is refused takes nothing") {
    simulated([]() -> task<> {
        keyed_limiter<int> limiter(rate(1), 5);
        EXPECT(limiter.allow(1, 3));
        EXPECT(!limiter.allow(1, 3));
        EXPECT(!limiter.allow(1, 6));
        EXPECT(limiter.allow(1, 2));
        EXPECT(limiter.allow(1, 0));
        co_return;
    });
}

TEST_CASE(
    "keyed_limiter: a key that can never be allowed, or asks for nothing, is not remembered") {
    simulated([]() -> task<> {
        keyed_limiter<int> limiter(rate(1), 5);
        for (int key = 0; key < 100; ++key) {
            EXPECT(!limiter.allow(key, 6));
            EXPECT(limiter.allow(key, 0));
        }
        EXPECT(limiter.size() == 0);

        keyed_limiter<int> closed(rate(1'000), 0);
        EXPECT(closed.lifetime() == 0ns);
        EXPECT(!closed.allow(1));
        EXPECT(closed.size() == 0);

        keyed_limiter<int> open(rate::infinite(), 0);
        EXPECT(open.allow(1, 1'000'000));
        EXPECT(open.size() == 0);
        co_return;
    });
}

TEST_CASE("keyed_limiter: misuse is refused at once") {
    using limiter = keyed_limiter<int>;
    CHECK_THROWS_AS(limiter(rate(1), -1), std::invalid_argument);
    CHECK_THROWS_AS(limiter(rate::infinite(), -1), std::invalid_argument);
    CHECK_THROWS_AS(limiter(rate(0), 1), std::invalid_argument);
    limiter good(rate(1), 1);
    CHECK_THROWS_AS(good.allow(1, -1), std::invalid_argument);
    CHECK(good.size() == 0);
}

TEST_CASE("keyed_limiter: the lifetime of a key is what an empty bucket takes to fill") {
    CHECK(keyed_limiter<int>(rate(10), 20).lifetime() == 2s);
    CHECK(keyed_limiter<int>(rate(10, 1min), 10).lifetime() == 1min);
    CHECK(keyed_limiter<int>(rate(3, 10ns), 1).lifetime() == 4ns);  // rounded up
    constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
    CHECK(keyed_limiter<int>(rate(1, 1h), largest).lifetime() == std::chrono::nanoseconds::max());
}

TEST_CASE("keyed_limiter: the keys of the last two lifetimes are remembered, and no others") {
    simulated(
        []() -> task<> {
            keyed_limiter<int> limiter(rate(10), 1);
            for (int key = 0; key < 20'000; ++key) {
                EXPECT(limiter.allow(key));
                if (key % 100 == 0) co_await sleep_for(10ms);  // 1,000 keys in a lifetime
            }
            EXPECT(limiter.size() >= 1'000);
            EXPECT(limiter.size() <= 2'500);  // a shard makes its turn at its next call
        },
        2);
}

TEST_CASE("keyed_limiter: keys that go and come are limited as by buckets that stay") {
    simulated(
        []() -> task<> {
            constexpr std::size_t keys = 300;
            keyed_limiter<std::uint64_t> limiter(rate(3), 4);
            std::vector<std::unique_ptr<rate_limiter>> buckets;
            for (std::size_t i = 0; i < keys; ++i)
                buckets.push_back(std::make_unique<rate_limiter>(rate(3), 4));
            int refused = 0;
            for (int i = 0; i < 3'000; ++i) {
                // Some keys are asked for all the time, most of them hardly ever.
                const std::uint64_t bits = random_bits();
                const std::uint64_t key = bits % (bits >> 60 == 0 ? keys : 20);
                const auto n = static_cast<std::int64_t>(random_bits() % 6);
                const bool allowed = limiter.allow(key, n);
                EXPECT(allowed == buckets[key]->allow(n));
                refused += !allowed;
                co_await sleep_for(std::chrono::microseconds(random_bits() % 50'000));
            }
            EXPECT(refused > 100);
            EXPECT(limiter.size() < keys);
        },
        10);
}

namespace {

// The main program: clients that share their keys, some patient and some not.
task<> clients() {
    const auto start = now();
    keyed_limiter<int> limiter(rate(100'000), 10);
    std::vector<std::int64_t> allowed(4, 0);
    wait_group all;
    for (std::size_t i = 0; i < allowed.size(); ++i)
        all.go(
            [](keyed_limiter<int>* l, int key, std::int64_t* mine) -> task<> {
                for (int n = 0; n < 40; ++n) {
                    *mine += l->allow(key);
                    if (n % 8 == 7) co_await sleep_for(20us);
                    if (n % 8 == 3) co_await yield();
                }
            },
            &limiter, static_cast<int>(i % 2), &allowed[i]);
    co_await all.wait();
    const std::int64_t passed = (now() - start) / 10us;
    for (std::size_t key = 0; key < 2; ++key) {
        const std::int64_t sum = allowed[key] + allowed[key + 2];
        EXPECT(sum >= 10);
        EXPECT(sum <= 10 + passed);
    }
}

}  // namespace

TEST_CASE("keyed_limiter: clients get no more than their share, in a thousand orders") {
    simulated(clients, 1'000);
}

TEST_CASE("keyed_limiter: clients get no more than their share on real workers") {
    on_real_workers(clients);
}

TEST_CASE("keyed_limiter: plain threads share it, and each key's burst is spent once") {
    keyed_limiter<int> limiter(rate(1, 24h), 3);
    constexpr int keys = 2'000;
    std::vector<int> allowed(3, 0);
    std::vector<std::thread> threads;
    for (int& mine : allowed)
        threads.emplace_back([&limiter, &mine] {
            for (int round = 0; round < 2; ++round)
                for (int key = 0; key < keys; ++key) mine += limiter.allow(key);
        });
    for (std::thread& t : threads) t.join();
    CHECK(std::accumulate(allowed.begin(), allowed.end(), 0) == 3 * keys);
    CHECK(limiter.size() == keys);
}

TEST_CASE("keyed_limiter: a client that is cancelled has used what it was allowed, and no more") {
    simulated_cancelled([](context ctx) -> task<> {
        keyed_limiter<int> limiter(rate(10), 2);
        std::int64_t used = 0;
        for (int i = 0; i < 5; ++i) {
            used += limiter.allow(7);
            const result<> slept = co_await within(ctx, sleep_for(30ms));
            if (!slept) break;
        }
        EXPECT(used >= 1);
        EXPECT(used <= 3);
        std::int64_t left = 0;
        while (limiter.allow(7)) ++left;
        EXPECT(used + left == 2 || used + left == 3);
    });
}

namespace {

struct calling_key;
struct same_for_all {
    std::size_t operator()(const calling_key&) const noexcept { return 0; }
};

// Calls back into the limiter that destroys it.
struct calling_key {
    int id = 0;
    keyed_limiter<calling_key, same_for_all>* back = nullptr;
    std::size_t* destroyed = nullptr;
    bool operator==(const calling_key& other) const { return id == other.id; }
    calling_key(int i, keyed_limiter<calling_key, same_for_all>* b, std::size_t* d)
        : id(i), back(b), destroyed(d) {}
    calling_key(const calling_key&) = default;
    calling_key& operator=(const calling_key&) = delete;
    ~calling_key() {
        if (back != nullptr && destroyed != nullptr) *destroyed += back->size() < 1'000;
    }
};

}  // namespace

TEST_CASE(
    "keyed_limiter: the hash it is given is the one that it keeps, also when keys have expired") {
    struct counting_hash {
        int* calls;
        explicit counting_hash(int* c) : calls(c) {}
        std::size_t operator()(int key) const noexcept {
            ++*calls;
            return static_cast<std::size_t>(key);
        }
    };
    simulated([]() -> task<> {
        int calls = 0;
        keyed_limiter<int, counting_hash> limiter(rate(1), 1, counting_hash(&calls));
        for (int round = 0; round < 4; ++round) {
            for (int key = 0; key < 100; ++key) EXPECT(limiter.allow(key));
            co_await sleep_for(1s);
        }
        EXPECT(calls >= 400);
        EXPECT(limiter.size() <= 200);
    });
}

TEST_CASE("keyed_limiter: a key that expires may use the limiter as it goes") {
    simulated([]() -> task<> {
        std::size_t destroyed = 0;
        {
            keyed_limiter<calling_key, same_for_all> limiter(rate(1), 1);
            EXPECT(limiter.allow(calling_key(1, &limiter, &destroyed)));
            const std::size_t before = destroyed;
            for (int i = 0; i < 3; ++i) {
                co_await sleep_for(1s);
                EXPECT(limiter.allow(calling_key(2, nullptr, nullptr)));
            }
            EXPECT(destroyed == before + 1);
        }
    });
}
