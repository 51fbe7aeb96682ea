// Programs of many tasks and channels, after those among Go's own tests: see docs/go-tests.md.
#include <sluice/channels/chan.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace sluice;

// The generators below never end by themselves: `end` is closed, and is a case of all they wait
// for.

TEST_CASE("program: a value passes through a chain of 10,000 tasks") {
    on_workers([]() -> task<> {
        const auto leftmost = make_chan<int>();
        auto left = leftmost;
        for (int i = 0; i < 10'000; ++i) {
            const auto right = make_chan<int>();
            go(
                [](chan<int> to, chan<int> from) -> task<> {
                    const auto v = co_await from.recv();
                    co_await to.send(*v + 1);
                },
                left, right);
            left = right;
        }
        co_await left.send(0);
        const auto got = co_await leftmost.recv();
        EXPECT(got == 10'000);
    });
}

TEST_CASE("program: tasks that are let through one after the other receive in that order") {
    on_workers([]() -> task<> {
        const auto values = make_chan<int>();
        const auto start = make_chan<>();
        auto before = start;
        for (int i = 0; i < 50; ++i) {
            const auto behind = make_chan<>();
            go(
                [](chan<int> from, int wanted, chan<> wait, chan<> tell) -> task<> {
                    static_cast<void>(co_await wait.recv());
                    const auto v = co_await from.recv();
                    EXPECT(v == wanted);
                    co_await tell.send();
                },
                values, i, before, behind);
            before = behind;
        }
        co_await start.send();
        for (int i = 0; i < 50; ++i) co_await values.send(i);
        const bool last = co_await before.recv();
        EXPECT(last);
    });
}

namespace {

task<> count_from_two(chan<int> to, recv_chan<> end) {
    for (int n = 2;; ++n) {
        const auto got = co_await select(to.send(n), end.recv());
        if (got.index() == 1) co_return;
    }
}

task<> strain(chan<int> from, chan<int> to, int prime, recv_chan<> end) {
    for (;;) {
        const auto got = co_await select(from.recv(), end.recv());
        if (got.index() == 1) co_return;
        const int n = *std::get<0>(got);
        if (n % prime == 0) continue;
        const auto sent = co_await select(to.send(n), end.recv());
        if (sent.index() == 1) co_return;
    }
}

}  // namespace

TEST_CASE("program: a sieve of one task for each prime finds the primes up to 100") {
    for (const int capacity : {0, 10}) {
        on_workers([capacity]() -> task<> {
            const auto end = make_chan<>();
            wait_group all;
            auto numbers = make_chan<int>(capacity);
            all.go(count_from_two, numbers, end);
            std::vector<int> primes;
            for (;;) {
                const auto prime = co_await numbers.recv();
                if (*prime > 100) break;
                primes.push_back(*prime);
                const auto strained = make_chan<int>(capacity);
                all.go(strain, numbers, strained, *prime, end);
                numbers = strained;
            }
            end.close();
            co_await all.wait();
            EXPECT(primes == std::vector{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                         43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97});
        });
    }
}

namespace {

// A power series is a task that makes its coefficients one by one, each when it is asked for.

struct rational {
    std::int64_t over;
    std::int64_t under;
    rational(std::int64_t o = 0, std::int64_t u = 1) : over(o), under(u) {
        const std::int64_t common = std::gcd(o, u);
        over /= common;
        under /= common;
    }
    friend rational operator+(rational a, rational b) {
        return {a.over * b.under + b.over * a.under, a.under * b.under};
    }
    friend rational operator*(rational a, rational b) {
        return {a.over * b.over, a.under * b.under};
    }
    friend bool operator==(const rational&, const rational&) = default;
};

struct series {
    series() = default;
    chan<> asked = make_chan<>();
    chan<rational> given = make_chan<rational>();
};

/// The next coefficient; nothing when the world ends.
task<std::optional<rational>> next(series s, recv_chan<> end) {
    const auto asked = co_await select(s.asked.send(), end.recv());
    if (asked.index() == 1) co_return std::nullopt;
    const auto got = co_await select(s.given.recv(), end.recv());
    if (got.index() == 1) co_return std::nullopt;
    co_return std::get<0>(got);
}

/// The other side of it: wait for the question, then answer it. False when the world ends.
task<bool> question(series s, recv_chan<> end) {
    const auto asked = co_await select(s.asked.recv(), end.recv());
    co_return asked.index() == 0;
}
task<bool> answer(series s, recv_chan<> end, std::optional<rational> value) {
    if (!value) co_return false;
    const auto given = co_await select(s.given.send(*value), end.recv());
    co_return given.index() == 0;
}

task<> ones(series out, recv_chan<> end) {
    for (;;) {
        const bool asked = co_await question(out, end);
        if (!asked) co_return;
        const bool given = co_await answer(out, end, rational(1));
        if (!given) co_return;
    }
}

// Both of two readers get every coefficient. While one is being made, for the reader who is ahead,
// the other is served: it may be what the series itself is made of.
task<> split(series in, std::array<series, 2> out, recv_chan<> end) {
    std::vector<rational> made;
    std::array<std::size_t, 2> given{};
    std::array<bool, 2> asks{};
    bool fetching = false;
    for (;;) {
        for (std::size_t who = 0; who != 2; ++who) {
            if (!asks[who]) continue;
            if (given[who] != made.size()) {
                const bool went = co_await answer(out[who], end, made[given[who]]);
                if (!went) co_return;
                ++given[who];
                asks[who] = false;
            } else if (!fetching) {
                const auto asked = co_await select(in.asked.send(), end.recv());
                if (asked.index() == 1) co_return;
                fetching = true;
            }
        }
        const chan<> first = asks[0] ? chan<>() : out[0].asked;
        const chan<> second = asks[1] ? chan<>() : out[1].asked;
        const chan<rational> fresh = fetching ? in.given : chan<rational>();
        const auto got = co_await select(first.recv(), second.recv(), fresh.recv(), end.recv());
        if (got.index() == 3) co_return;
        if (got.index() == 2) {
            made.push_back(*std::get<2>(got));
            fetching = false;
        } else {
            asks[got.index()] = true;
        }
    }
}

task<> multiply(series a, series b, series out, recv_chan<> end) {
    std::vector<rational> of_a;
    std::vector<rational> of_b;
    for (std::size_t n = 0;; ++n) {
        const bool asked = co_await question(out, end);
        if (!asked) co_return;
        const auto left = co_await next(a, end);
        if (!left) co_return;
        const auto right = co_await next(b, end);
        if (!right) co_return;
        of_a.push_back(*left);
        of_b.push_back(*right);
        rational sum;
        for (std::size_t i = 0; i <= n; ++i) sum = sum + of_a[i] * of_b[n - i];
        const bool given = co_await answer(out, end, sum);
        if (!given) co_return;
    }
}

task<> integrate(rational constant, series in, series out, recv_chan<> end) {
    for (std::int64_t n = 0;; ++n) {
        const bool asked = co_await question(out, end);
        if (!asked) co_return;
        std::optional<rational> value = constant;
        if (n != 0) {
            value = co_await next(in, end);
            if (value) value = *value * rational(1, n);
        }
        const bool given = co_await answer(out, end, value);
        if (!given) co_return;
    }
}

task<std::vector<rational>> first_of(series s, int n, recv_chan<> end) {
    std::vector<rational> all;
    for (int i = 0; i < n; ++i) {
        const auto c = co_await next(s, end);
        all.push_back(*c);
    }
    co_return all;
}

}  // namespace

TEST_CASE("program: power series as tasks that ask each other multiply and integrate") {
    on_workers([]() -> task<> {
        const auto end = make_chan<>();
        wait_group all;
        const series one;
        const std::array<series, 2> both;
        const series square;  // of 1 + x + x² + … is 1 + 2x + 3x² + …
        all.go(ones, one, end);
        all.go(split, one, both, end);
        all.go(multiply, both[0], both[1], square, end);
        const auto squares = co_await first_of(square, 10, end);
        for (std::size_t n = 0; n < 10; ++n)
            EXPECT(squares[n] == rational(static_cast<std::int64_t>(n) + 1));

        // exp is 1 and the integral of exp: a loop of tasks.
        const series exponential;
        const std::array<series, 2> copies;
        all.go(integrate, rational(1), copies[1], exponential, end);
        all.go(split, exponential, copies, end);
        const auto coefficients = co_await first_of(copies[0], 12, end);
        std::int64_t factorial = 1;
        for (std::size_t n = 0; n < 12; ++n) {
            if (n != 0) factorial *= static_cast<std::int64_t>(n);
            EXPECT(coefficients[n] == rational(1, factorial));
        }
        end.close();
        co_await all.wait();
    });
}

TEST_CASE(
    "program: one select spreads values over four channels, which join again: each comes once") {
    on_workers([]() -> task<> {
        constexpr int values = 20'000;
        std::array<chan<int>, 4> spread;
        for (auto& ch : spread) ch = make_chan<int>();
        const auto joined = make_chan<int>();
        go(
            [](std::array<chan<int>, 4> to) -> task<> {
                for (int i = 0; i < values; ++i) {
                    static_cast<void>(co_await select(to[0].send(i), to[1].send(i), to[2].send(i),
                                                      to[3].send(i)));
                }
                for (const auto& ch : to) ch.close();
            },
            spread);
        wait_group joins;
        for (const auto& ch : spread) {
            joins.go(
                [](chan<int> from, chan<int> to) -> task<> {
                    while (const auto v = co_await from.recv()) co_await to.send(*v);
                },
                ch, joined);
        }
        go(
            [](wait_group* group, chan<int> out) -> task<> {
                co_await group->wait();
                out.close();
            },
            &joins, joined);
        std::vector<bool> seen(values);
        int count = 0;
        while (const auto v = co_await joined.recv()) {
            EXPECT(!seen[static_cast<std::size_t>(*v)]);
            seen[static_cast<std::size_t>(*v)] = true;
            ++count;
        }
        EXPECT(count == values);
    });
}

TEST_CASE("program: 23 workers between two queues lose and double nothing, and end with them") {
    on_workers([]() -> task<> {
        constexpr int workers = 23;
        constexpr int jobs = 10'000;
        const auto todo = make_chan<int>(workers * 3);
        const auto results = make_chan<int>(workers * 3);
        wait_group crew;
        for (int w = 0; w < workers; ++w) {
            crew.go(
                [](chan<int> in, chan<int> out, int me) -> task<> {
                    while (const auto v = co_await in.recv()) {
                        if (*v % workers == me) co_await yield();  // out of step now and then
                        co_await out.send(*v);
                    }
                },
                todo, results, w);
        }
        go(
            [](chan<int> in, chan<int> out, wait_group* c) -> task<> {
                for (int i = 0; i < jobs; ++i) co_await in.send(i);
                in.close();
                co_await c->wait();
                out.close();
            },
            todo, results, &crew);
        int count = 0;
        std::int64_t sum = 0;
        while (const auto v = co_await results.recv()) {
            ++count;
            sum += *v;
        }
        EXPECT(count == jobs);
        EXPECT(sum == std::int64_t{jobs} * (jobs - 1) / 2);
    });
}
