#include <sluice/patterns/retry.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

const std::error_code busy = std::make_error_code(std::errc::resource_unavailable_try_again);
const std::error_code wrong = std::make_error_code(std::errc::invalid_argument);

retry_policy attempts(int most) {
    retry_policy policy;
    policy.max_attempts = most;
    return policy;
}

// Fails so often before it succeeds, and counts its calls.
struct service {
    int failures = 0;
    int calls = 0;

    result<int> operator()() {
        if (++calls <= failures) return fail(busy);
        return calls;
    }
};

}  // namespace

TEST_CASE("retry: a success at once is given as it is, without a delay") {
    simulated([]() -> task<> {
        const auto start = now();
        service s;
        const result<int> got = co_await retry(background(), attempts(5), std::ref(s));
        EXPECT(got == 1);
        EXPECT(s.calls == 1);
        EXPECT(now() == start);
    });
}

TEST_CASE("retry: failures are tried again until one call succeeds") {
    simulated([]() -> task<> {
        service s{.failures = 3};
        const result<int> got = co_await retry(background(), attempts(5), std::ref(s));
        EXPECT(got == 4);
        EXPECT(s.calls == 4);
    });
}

TEST_CASE("retry: after the last attempt it gives the last failure") {
    simulated([]() -> task<> {
        for (const int most : {1, 2, 7}) {
            service s{.failures = 100};
            const result<int> got = co_await retry(background(), attempts(most), std::ref(s));
            EXPECT(!got && got.error() == busy);
            EXPECT(s.calls == most);
        }
        int calls = 0;
        auto changing = [&calls]() -> result<> { return fail(++calls == 3 ? wrong : busy); };
        const result<> got = co_await retry(background(), attempts(3), changing);
        EXPECT(!got && got.error() == wrong);
    });
}

TEST_CASE("retry: an exception is a failure, and the last one is thrown") {
    simulated([]() -> task<> {
        int calls = 0;
        auto throws_twice = [&calls]() -> int {
            if (++calls <= 2) throw std::runtime_error(std::to_string(calls));
            return calls;
        };
        const result<int> got = co_await retry(background(), attempts(3), throws_twice);
        EXPECT(got == 3);
        calls = 0;
        std::string what;
        try {
            const result<int> never = co_await retry(background(), attempts(2), throws_twice);
            EXPECT(!never);
        } catch (const std::runtime_error& e) {
            what = e.what();
        }
        EXPECT(what == "2");
    });
}

TEST_CASE("retry: takes plain functions and coroutines, with or without a result") {
    simulated([]() -> task<> {
        const result<> nothing = co_await retry(background(), attempts(1), [] {});
        EXPECT(nothing);
        const result<int> plain = co_await retry(background(), attempts(1), [] { return 1; });
        EXPECT(plain == 1);
        const result<> slept =
            co_await retry(background(), attempts(1), []() -> task<> { co_await sleep_for(1s); });
        EXPECT(slept);
        const result<std::unique_ptr<int>> moved =
            co_await retry(background(), attempts(1), []() -> task<std::unique_ptr<int>> {
                co_await yield();
                co_return std::make_unique<int>(5);
            });
        EXPECT(moved && **moved == 5);
        auto by_number = [](retry_attempt a) -> task<result<int>> {
            co_await yield();
            if (a.number() < 3) co_return fail(busy);
            co_return a.number();
        };
        const result<int> third = co_await retry(background(), attempts(5), by_number);
        EXPECT(third == 3);
        // The function is moved in, captures and all.
        auto owner = [owned = std::make_unique<int>(7)](auto) { return *owned; };
        const result<int> seven = co_await retry(background(), attempts(1), std::move(owner));
        EXPECT(seven == 7);
    });
}

TEST_CASE("retry: a failure that the function gives up on is the last one") {
    simulated([]() -> task<> {
        const auto start = now();
        int calls = 0;
        auto rejects = [&calls](retry_attempt a) -> result<int> {
            ++calls;
            a.give_up();
            return fail(wrong);
        };
        const result<int> got = co_await retry(background(), attempts(5), rejects);
        EXPECT(!got && got.error() == wrong);
        EXPECT(calls == 1);
        EXPECT(now() == start);

        auto throws_at_last = [](retry_attempt a) {
            if (a.number() == 2) {
                a.give_up();
                throw std::logic_error("no use");
            }
            throw std::runtime_error("perhaps later");
        };
        bool thrown = false;
        try {
            const result<> never = co_await retry(background(), attempts(5), throws_at_last);
            EXPECT(!never);
        } catch (const std::logic_error&) {
            thrown = true;
        }
        EXPECT(thrown);

        auto succeeds = [](retry_attempt a) {  // what it says counts for a failure only
            a.give_up();
            return 1;
        };
        const result<int> one = co_await retry(background(), attempts(5), succeeds);
        EXPECT(one == 1);
    });
}

TEST_CASE("retry: retry_after puts the next attempt off by that and the usual delay") {
    simulated(
        []() -> task<> {
            auto last = now();
            auto told = [&last](retry_attempt a) -> result<> {
                const auto passed = std::exchange(last, now());
                if (a.number() == 2) EXPECT(last - passed >= 30s && last - passed <= 30s + 100ms);
                if (a.number() == 3) EXPECT(last - passed <= 200ms);  // it is said anew each time
                a.retry_after(a.number() == 1 ? 30s : -5s);
                return fail(busy);
            };
            const result<> got = co_await retry(background(), attempts(4), told);
            EXPECT(!got);
        },
        200);
}

namespace {

// The delays of one retry() that fails throughout.
task<std::vector<std::chrono::nanoseconds>> delays_of(retry_policy policy) {
    std::vector<std::chrono::steady_clock::time_point> times;
    auto fails = [&times]() -> result<> {
        times.push_back(now());
        return fail(busy);
    };
    const result<> got = co_await retry(background(), policy, fails);
    EXPECT(!got);
    EXPECT(times.size() == static_cast<std::size_t>(policy.max_attempts));
    std::vector<std::chrono::nanoseconds> delays;
    for (std::size_t i = 1; i < times.size(); ++i) delays.push_back(times[i] - times[i - 1]);
    co_return delays;
}

// Simulates it and gives the least and the most of the nth delays.
struct bounds {
    std::chrono::nanoseconds least = std::chrono::nanoseconds::max();
    std::chrono::nanoseconds most{0};
};

std::vector<bounds> bounds_of(jitter spread) {
    retry_policy policy = attempts(7);
    policy.first_delay = 100ms;
    policy.max_delay = 1s;
    policy.spread = spread;
    std::vector<bounds> all(6);
    simulated(
        [&]() -> task<> {
            const auto delays = co_await delays_of(policy);
            for (std::size_t i = 0; i < delays.size(); ++i) {
                all[i].least = std::min(all[i].least, delays[i]);
                all[i].most = std::max(all[i].most, delays[i]);
            }
        },
        1'000);
    return all;
}

const std::chrono::nanoseconds bound[] = {100ms, 200ms, 400ms, 800ms, 1s, 1s};

}  // namespace

TEST_CASE("retry: full jitter takes any delay up to a bound that doubles") {
    const std::vector<bounds> all = bounds_of(jitter::full);
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        CHECK(all[i].least >= 0ns);
        CHECK(all[i].least <= bound[i] / 20);
        CHECK(all[i].most <= bound[i]);
        CHECK(all[i].most >= bound[i] / 20 * 19);
    }
}

TEST_CASE("retry: equal jitter takes the upper half of that") {
    const std::vector<bounds> all = bounds_of(jitter::equal);
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        CHECK(all[i].least >= bound[i] / 2);
        CHECK(all[i].least <= bound[i] / 20 * 11);
        CHECK(all[i].most <= bound[i]);
        CHECK(all[i].most >= bound[i] / 20 * 19);
    }
}

TEST_CASE("retry: decorrelated jitter takes up to three times the delay before") {
    const std::vector<bounds> all = bounds_of(jitter::decorrelated);
    const std::chrono::nanoseconds most[] = {300ms, 900ms, 1s, 1s, 1s, 1s};
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        CHECK(all[i].least >= 100ms);
        CHECK(all[i].least <= 150ms);
        CHECK(all[i].most <= most[i]);
        CHECK(all[i].most >= most[i] / 4 * 3);
    }
    retry_policy policy = attempts(7);
    policy.spread = jitter::decorrelated;
    simulated(
        [&]() -> task<> {
            const auto delays = co_await delays_of(policy);
            for (std::size_t i = 1; i < delays.size(); ++i) EXPECT(delays[i] <= 3 * delays[i - 1]);
        },
        200);
}

TEST_CASE("retry: the longest delays there are do not overflow") {
    for (const jitter spread : {jitter::full, jitter::equal, jitter::decorrelated}) {
        retry_policy policy;
        policy.first_delay = std::chrono::nanoseconds::max() / 2;
        policy.max_delay = std::chrono::nanoseconds::max();
        policy.spread = spread;
        detail::backoff delays(policy);
        for (int i = 0; i < 100; ++i) CHECK(delays.next() >= 0);
    }
    simulated([]() -> task<> {
        auto told = [](retry_attempt a) -> result<> {
            a.retry_after(std::chrono::nanoseconds::max());
            return fail(busy);
        };
        const result<> got = co_await retry(background(), attempts(4), told);
        EXPECT(!got && got.error() == busy);  // a time that never comes is not waited for
    });
}

TEST_CASE("retry: no attempt starts later than max_elapsed after the first") {
    simulated(
        []() -> task<> {
            retry_policy policy = attempts(1'000'000);
            policy.max_elapsed = 5s;
            policy.spread = jitter::equal;
            policy.max_delay = 1s;
            const auto start = now();
            auto last = start;
            auto fails = [&last]() -> result<> {
                last = now();
                return fail(busy);
            };
            const result<> got = co_await retry(background(), policy, fails);
            EXPECT(!got && got.error() == busy);
            EXPECT(last - start <= 5s);
            EXPECT(last - start >= 4s);
            EXPECT(now() == last);  // the delay that would be too long is not begun

            policy.max_elapsed = 0s;
            service s{.failures = 100};
            const result<int> once = co_await retry(background(), policy, std::ref(s));
            EXPECT(!once);
            EXPECT(s.calls == 1);
        },
        200);
}

TEST_CASE("retry: a delay that the context's deadline would cut is not begun") {
    simulated(
        []() -> task<> {
            auto [ctx, cancel] = with_timeout(background(), 5s);
            retry_policy policy = attempts(1'000'000);
            policy.spread = jitter::equal;
            policy.max_delay = 1s;
            service s{.failures = 1'000'000};
            const auto start = now();
            const result<int> got = co_await retry(ctx, policy, std::ref(s));
            EXPECT(!got && got.error() == busy);
            EXPECT(now() - start < 5s);
            EXPECT(now() - start >= 4s);
        },
        200);
}

TEST_CASE("retry: a context that has ended lets nothing start") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        retry_policy policy;
        policy.budget = std::make_shared<retry_budget>(100, 0);
        service s;
        const result<int> got = co_await retry(ctx, policy, std::ref(s));
        EXPECT(!got && got.error() == errc::canceled);
        EXPECT(s.calls == 0);
        EXPECT(!policy.budget->withdraw());  // no call, no deposit
    });
}

TEST_CASE("retry: a context that ends in a delay cuts it at once") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        retry_policy policy = attempts(10);
        policy.first_delay = 1h;
        policy.max_delay = 1h;
        policy.spread = jitter::equal;
        policy.budget = std::make_shared<retry_budget>(0, 1);
        service s{.failures = 100};
        const auto start = now();
        go(
            [](cancel_function stop) -> task<> {
                co_await sleep_for(1s);
                stop();
            },
            std::move(cancel));
        const result<int> got = co_await retry(ctx, policy, std::ref(s));
        EXPECT(!got && got.error() == errc::canceled);
        EXPECT(now() - start == 1s);
        EXPECT(s.calls == 1);
        EXPECT(policy.budget->withdraw());  // the retry that was not made is not spent
        EXPECT(!policy.budget->withdraw());
    });
}

TEST_CASE("retry: a context that ends in an attempt makes it the last one, with its own failure") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        auto fails = [&end = cancel]() -> task<result<>> {
            co_await sleep_for(1s);
            end();
            co_return fail(busy);
        };
        const result<> got = co_await retry(ctx, attempts(5), fails);
        EXPECT(!got && got.error() == busy);

        auto [other, stop] = with_cancel(background());
        auto succeeds = [&end = stop] {
            end();
            return 1;
        };
        const result<int> one = co_await retry(other, attempts(5), succeeds);
        EXPECT(one == 1);
    });
}

TEST_CASE("retry: a policy that makes no sense is refused before anything is awaited") {
    const auto refused = [](auto change) {
        retry_policy policy;
        change(policy);
        try {
            static_cast<void>(retry(background(), policy, [] {}));
        } catch (const std::invalid_argument&) {
            return true;
        }
        return false;
    };
    CHECK_FALSE(refused([](retry_policy&) {}));
    CHECK(refused([](retry_policy& p) { p.max_attempts = 0; }));
    CHECK(refused([](retry_policy& p) { p.first_delay = 0s; }));
    CHECK(refused([](retry_policy& p) { p.max_delay = 99ms; }));
    CHECK(refused([](retry_policy& p) { p.max_elapsed = -1ns; }));
    CHECK_THROWS_AS(retry_budget(-1, 0), std::invalid_argument);
    CHECK_THROWS_AS(retry_budget(0, -1), std::invalid_argument);
    CHECK_THROWS_AS(retry_budget(0, std::numeric_limits<std::int64_t>::max()),
                    std::invalid_argument);
}

TEST_CASE("retry_budget: starts with its reserve, and is filled by calls up to that") {
    retry_budget budget(20, 2);
    CHECK(budget.withdraw());
    CHECK(budget.withdraw());
    CHECK_FALSE(budget.withdraw());
    for (int i = 0; i < 4; ++i) budget.deposit();
    CHECK_FALSE(budget.withdraw());
    budget.deposit();
    CHECK(budget.withdraw());
    CHECK_FALSE(budget.withdraw());
    for (int i = 0; i < 1'000; ++i) budget.deposit();
    CHECK(budget.withdraw());
    CHECK(budget.withdraw());
    CHECK_FALSE(budget.withdraw());
    budget.refund();
    CHECK(budget.withdraw());
    CHECK_FALSE(budget.withdraw());
    retry_budget none(0, 0);
    none.deposit();
    CHECK_FALSE(none.withdraw());
    retry_budget tiny(5'000, 1);  // a deposit of more than there is room for
    tiny.deposit();
    CHECK(tiny.withdraw());
    CHECK_FALSE(tiny.withdraw());
}

TEST_CASE("retry: an outage is not multiplied by those who share a budget") {
    simulated([]() -> task<> {
        retry_policy policy = attempts(10);
        policy.budget = std::make_shared<retry_budget>(20, 10);
        service s{.failures = 1'000'000};
        int last_failures = 0;
        wait_group all;
        for (int i = 0; i < 200; ++i)
            all.go(
                [](retry_policy p, service* asked, int* failures) -> task<> {
                    const result<int> got = co_await retry(background(), p, std::ref(*asked));
                    *failures += !got && got.error() == busy;
                },
                policy, &s, &last_failures);
        co_await all.wait();
        EXPECT(last_failures == 200);  // the last failure, not the budget's
        EXPECT(s.calls > 200);
        EXPECT(s.calls <= 200 + 10 + 200 / 5);
    });
}

namespace {

// The main program: callers of a service that fails now and then; each gets an answer in the end.
task<> callers() {
    retry_policy policy = attempts(100);
    policy.first_delay = 10us;
    policy.max_delay = 100us;
    policy.budget = std::make_shared<retry_budget>(100, 50);
    std::vector<int> answers(4, 0);
    wait_group all;
    for (int& mine : answers)
        all.go(
            [](retry_policy p, int* answer) -> task<> {
                auto ask = [](retry_attempt a) -> task<result<int>> {
                    co_await yield();
                    if (a.number() == 1) throw std::runtime_error("lost");
                    if (a.number() == 2) co_return fail(busy);
                    co_return a.number();
                };
                const result<int> got = co_await retry(background(), p, ask);
                *answer = got.value();
            },
            policy, &mine);
    co_await all.wait();
    for (const int answer : answers) EXPECT(answer == 3);
}

}  // namespace

TEST_CASE("retry: each caller gets an answer in the end, in a thousand orders") {
    simulated(callers, 1'000);
}

TEST_CASE("retry: each caller gets an answer in the end on real workers") {
    on_real_workers(callers);
}

TEST_CASE("retry: cancelled at any step it ends, with an answer or the context's error") {
    simulated_cancelled([](context ctx) -> task<> {
        retry_policy policy = attempts(4);
        policy.budget = std::make_shared<retry_budget>(0, 3);
        int calls = 0;
        auto ask = [&calls](retry_attempt a) -> task<result<int>> {
            ++calls;
            co_await yield();
            if (a.number() < 3) co_return fail(busy);
            co_return a.number();
        };
        const result<int> got = co_await retry(ctx, policy, ask);
        if (!got) EXPECT(ctx.err() && (got.error() == errc::canceled || got.error() == busy));
        if (got) EXPECT(*got == 3 && calls == 3);
        int left = 0;
        while (policy.budget->withdraw()) ++left;
        EXPECT(left == 3 - std::max(calls - 1, 0));  // only what was made is spent
    });
}
