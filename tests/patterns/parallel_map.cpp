#include <sluice/patterns/parallel_map.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "streams.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using namespace streams;

namespace {

constexpr int at_once = 3;
constexpr int values = 20;

task<int> square_slowly(int i) {
    for (std::uint64_t steps = random_bits() % 4; steps > 0; --steps) co_await yield();
    const int squared = i * i;
    co_return squared;
}

/// The main program, with whatever happens to ctx.
template <class... Order>
task<> map_all(context ctx, Order... order) {
    auto in = make_chan<int>();
    std::atomic<int> sent = 0;
    wait_group producer;
    producer.go(produce<decltype(sent)>, ctx, in, values, &sent);
    std::vector<int> got;
    auto out = parallel_map(ctx, in, at_once, square_slowly, order...);
    for (;;) {
        auto m = co_await out.recv();
        if (!m) break;
        got.push_back(m->value());
        // A send may have been taken and not been counted yet, and no more are in hand.
        EXPECT(sent - static_cast<int>(got.size()) <= at_once);
    }
    co_await producer.wait();
    if constexpr (sizeof...(Order) > 0) std::sort(got.begin(), got.end());
    if (!ctx.err()) EXPECT(got.size() == values);
    EXPECT(sent - static_cast<int>(got.size()) <= at_once);
    for (std::size_t i = 0; i < got.size(); ++i) {
        // In order, what was delivered has no gaps.
        if (sizeof...(Order) == 0 || !ctx.err()) EXPECT(got[i] == static_cast<int>(i * i));
    }
    EXPECT(std::adjacent_find(got.begin(), got.end()) == got.end());
}

task<> in_order_to_the_end() {
    co_await map_all(background());
}
task<> as_completed_to_the_end() {
    co_await map_all(background(), as_completed);
}

std::error_code io_error() {
    return std::make_error_code(std::errc::io_error);
}

}  // namespace

TEST_CASE("parallel_map: gives the results in the order of the values") {
    simulated(in_order_to_the_end, 1'000);
    on_real_workers(in_order_to_the_end);
}

TEST_CASE("parallel_map: as completed, every value has its result, in any order") {
    simulated(as_completed_to_the_end, 1'000);
    on_real_workers(as_completed_to_the_end);
}

TEST_CASE("parallel_map: a context cancelled at any moment ends it, with at most n in hand") {
    simulated_cancelled([](context ctx) { return map_all(ctx); }, 50);
    simulated_cancelled([](context ctx) { return map_all(ctx, as_completed); }, 50);
}

TEST_CASE("parallel_map: n calls run at once") {
    simulated([]() -> task<> {
        auto slow = [](int i) -> task<int> {
            co_await sleep_for(1s);
            co_return i;
        };
        const auto start = now();
        auto ordered = parallel_map(background(), closed_with(12), 4, slow);
        int next = 0;
        for (;;) {
            auto m = co_await ordered.recv();
            if (!m) break;
            EXPECT(**m == next++);
        }
        EXPECT(next == 12);
        EXPECT(now() - start == 3s);
        auto one = parallel_map(background(), closed_with(3), 1, slow);
        for (int i = 0; i < 3; ++i) {
            auto m = co_await one.recv();
            EXPECT(m && **m == i);
        }
        const auto end = co_await one.recv();
        EXPECT(!end);
        EXPECT(now() - start == 6s);
        auto many = parallel_map(background(), closed_with(2), 100, slow, as_completed);
        int count = 0;
        for (;;) {
            auto m = co_await many.recv();
            if (!m) break;
            ++count;
        }
        EXPECT(count == 2);
        EXPECT(now() - start == 7s);
    });
}

TEST_CASE("parallel_map: behind a slow value at most n are taken; as completed the rest goes on") {
    simulated([]() -> task<> {
        auto first_slow = [](int i) -> task<int> {
            co_await sleep_for(i == 0 ? 100s : 1s);
            co_return i;
        };
        auto in = closed_with(50);
        const auto start = now();
        auto ordered = parallel_map(background(), in, 4, first_slow);
        const auto none = co_await within(99s, ordered.recv());
        EXPECT(none.error() == errc::deadline_exceeded);
        EXPECT(in.size() == 46);
        for (int i = 0; i < 4; ++i) {
            auto m = co_await ordered.recv();
            EXPECT(m && **m == i);
        }
        EXPECT(now() - start == 100s);
        for (int i = 4; i < 50; ++i) {
            auto m = co_await ordered.recv();
            EXPECT(m && **m == i);
        }

        auto any = parallel_map(background(), closed_with(50), 4, first_slow, as_completed);
        for (int i = 0; i < 49; ++i) {
            auto m = co_await any.recv();
            EXPECT(m && **m != 0);
        }
        auto last = co_await any.recv();
        EXPECT(last && **last == 0);
        const auto end = co_await any.recv();
        EXPECT(!end);
    });
}

TEST_CASE("parallel_map: a reader that does not come leaves at most n values taken") {
    simulated([]() -> task<> {
        auto in = closed_with(50);
        auto other = closed_with(50);
        auto [ctx, cancel] = with_timeout(background(), 1h);
        auto ordered = parallel_map(ctx, in, 4, [](int i) { return i; });
        auto any = parallel_map(ctx, other, 4, [](int i) { return i; }, as_completed);
        co_await sleep_for(59min);
        EXPECT(in.size() == 46);
        EXPECT(other.size() == 46);
        co_await sleep_for(2min);
        EXPECT(!ordered.try_recv());
        EXPECT(!any.try_recv());
        EXPECT(in.size() == 46);
    });
}

namespace {

/// Fails with an error for 1, with an exception for 2.
result<int> may_fail(int i) {
    if (i == 1) return fail(io_error());
    if (i == 2) throw std::runtime_error("two");
    return i;
}
task<result<int>> may_fail_later(int i) {
    co_await yield();
    co_return may_fail(i);
}

template <class Out>
task<> expect_two_failures(Out out) {
    std::vector<int> good;
    for (;;) {
        auto m = co_await out.recv();
        if (!m) break;
        if (*m) {
            good.push_back(**m);
        } else if (m->error().exception()) {
            bool thrown = false;
            try {
                static_cast<void>(m->value());
            } catch (const std::runtime_error& e) {
                thrown = std::string(e.what()) == "two";
            }
            EXPECT(thrown);
        } else {
            EXPECT(m->error() == failure(io_error()));
            bool thrown = false;
            try {
                static_cast<void>(std::move(*m).value());
            } catch (const std::system_error& e) {
                thrown = e.code() == io_error();
            }
            EXPECT(thrown);
        }
    }
    EXPECT(good == std::vector<int>({0, 3, 4}));
}

}  // namespace

TEST_CASE("parallel_map: a failure is the result of its value, and the others go on") {
    on_workers([]() -> task<> {
        co_await expect_two_failures(parallel_map(background(), closed_with(5), 2, may_fail));
        co_await expect_two_failures(parallel_map(background(), closed_with(5), 2, may_fail_later));
        co_await expect_two_failures(
            parallel_map(background(), closed_with(5), 1, may_fail, as_completed));
        auto out = parallel_map(background(), closed_with(3), 3, may_fail_later);
        const auto zero = co_await out.recv();
        const auto one = co_await out.recv();
        const auto two = co_await out.recv();
        EXPECT(zero && zero->has_value());
        EXPECT(one && one->error().code() == io_error());
        EXPECT(two && two->error().exception());
        const auto end = co_await out.recv();
        EXPECT(!end);
    });
}

TEST_CASE("parallel_map: no tasks are refused, and so is a thread that runs none") {
    simulated([]() -> task<> {
        int refused = 0;
        try {
            static_cast<void>(parallel_map(background(), closed_with(1), 0, may_fail));
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        try {
            static_cast<void>(
                parallel_map(background(), closed_with(1), 0, may_fail, as_completed));
        } catch (const std::invalid_argument&) {
            ++refused;
        }
        EXPECT(refused == 2);
        co_return;
    });
    CHECK_THROWS_AS(parallel_map(background(), closed_with(1), 1, may_fail), std::logic_error);
    CHECK_THROWS_AS(parallel_map(background(), closed_with(1), 1, may_fail, as_completed),
                    std::logic_error);
}

TEST_CASE("parallel_map: of a closed channel closes at once, of a nil one with the context") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 1h);
        const auto start = now();
        auto empty = parallel_map(ctx, closed_with(0), 3, may_fail);
        EXPECT(!co_await empty.recv());
        auto any = parallel_map(ctx, closed_with(0), 3, may_fail, as_completed);
        EXPECT(!co_await any.recv());
        EXPECT(now() == start);
        auto nil = parallel_map(ctx, recv_chan<int>(), 3, may_fail);
        EXPECT(!co_await nil.recv());
        EXPECT(now() - start == 1h);
    });
}

TEST_CASE("parallel_map: under a context that has ended it takes nothing") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        auto in = closed_with(3);
        auto ordered = parallel_map(ctx, in, 2, may_fail);
        EXPECT(!co_await ordered.recv());
        auto any = parallel_map(ctx, in, 2, may_fail, as_completed);
        EXPECT(!co_await any.recv());
        EXPECT(in.size() == 3);
    });
}

TEST_CASE("parallel_map: the end of the context lets the calls under way return, then closes") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_timeout(background(), 5s);
        int returned = 0;
        auto slow = [&returned](int i) -> task<int> {
            co_await sleep_for(10s);
            ++returned;
            co_return i;
        };
        const auto start = now();
        auto out = parallel_map(ctx, closed_with(9), 3, std::ref(slow));
        const auto end = co_await out.recv();
        EXPECT(!end);
        EXPECT(returned == 3);
        EXPECT(now() - start == 10s);
    });
}

TEST_CASE("parallel_map: values and results may be move-only, and the function too") {
    on_workers([]() -> task<> {
        auto in = make_chan<std::unique_ptr<int>>(1);
        in.try_send(std::make_unique<int>(5));
        in.close();
        auto to_text = [prefix = std::make_unique<std::string>("v")](std::unique_ptr<int> v) {
            return std::make_unique<std::string>(*prefix + std::to_string(*v));
        };
        auto out = parallel_map(background(), in, 2, std::move(to_text));
        auto text = co_await out.recv();
        EXPECT(text && *std::move(*text).value() == "v5");
        const auto end = co_await out.recv();
        EXPECT(!end);
    });
}

TEST_CASE("parallel_map: of a function that gives nothing says how each call ended") {
    on_workers([]() -> task<> {
        auto out = parallel_map(background(), closed_with(3), 2, [](int i) -> task<result<>> {
            if (i == 1) co_return fail(io_error());
            co_return result<>();
        });
        static_assert(std::is_same_v<decltype(out), recv_chan<mapped<void>>>);
        for (int i = 0; i < 3; ++i) {
            const auto m = co_await out.recv();
            EXPECT(m && m->has_value() == (i != 1));
            bool thrown = false;
            try {
                m->value();
            } catch (const std::system_error& e) {
                thrown = e.code() == io_error();
            }
            EXPECT(thrown == (i == 1));
        }
        auto plain = parallel_map(background(), closed_with(1), 1, [](int) {}, as_completed);
        const auto done = co_await plain.recv();
        EXPECT(done && done->has_value());
    });
}

TEST_CASE("parallel_map: maps can follow each other, and a function may use one itself") {
    on_workers([]() -> task<> {
        auto sum_of_squares = [](int n) -> task<int> {
            int sum = 0;
            auto squares = parallel_map(background(), closed_with(n), 2, square_slowly);
            for (;;) {
                auto m = co_await squares.recv();
                if (!m) break;
                sum += m->value();
            }
            co_return sum;
        };
        auto sums = parallel_map(background(), closed_with(6), 3, sum_of_squares);
        auto negated =
            parallel_map(background(), sums, 2, [](mapped<int> m) { return -m.value(); });
        const std::vector<int> expected = {0, 0, -1, -5, -14, -30};
        for (const int e : expected) {
            auto m = co_await negated.recv();
            EXPECT(m && m->value() == e);
        }
        const auto end = co_await negated.recv();
        EXPECT(!end);
    });
}

TEST_CASE("parallel_map: the function is gone when the output is closed") {
    on_workers([]() -> task<> {
        auto held = std::make_shared<int>(0);
        auto same = [held](int i) { return i; };
        auto ordered = parallel_map(background(), closed_with(1), 2, same);
        auto any = parallel_map(background(), closed_with(1), 2, std::move(same), as_completed);
        for (auto& out : {ordered, any}) {
            const auto one = co_await out.recv();
            EXPECT(one && **one == 0);
            const auto end = co_await out.recv();
            EXPECT(!end);
        }
        EXPECT(held.use_count() == 1);
    });
}

TEST_CASE("parallel_map: tasks that are cut in the middle of it leave nothing behind") {
    struct gave_up {};
    for (const unsigned workers : {1U, 2U}) {
        options o;
        o.workers = workers;
        CHECK_THROWS_AS(run(o,
                            []() -> task<> {
                                auto in = make_chan<std::unique_ptr<int>>();
                                auto same = [](std::unique_ptr<int> p) { return p; };
                                auto ordered = parallel_map(background(), in, 2, same);
                                auto any = parallel_map(background(), in, 2, same, as_completed);
                                for (int i = 0; i < 4; ++i)
                                    co_await in.send(std::make_unique<int>(i));
                                co_await yield();
                                throw gave_up();
                            }),
                        gave_up);
    }
}
