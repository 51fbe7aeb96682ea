#include <sluice/patterns/priority_select.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

chan<int> filled(int count) {
    auto ch = make_chan<int>(count);
    for (int i = 0; i != count; ++i) ch.try_send(i);
    return ch;
}

/// Tasks send on three levels; one task picks until all are closed. What is ready of an upper level
/// when it picks goes first.
task<> send_level(chan<int> to, int count) {
    for (int i = 0; i != count; ++i) co_await to.send(i);
    to.close();
}

task<> pick_by_priority() {
    std::array<chan<int>, 3> levels{make_chan<int>(2), make_chan<int>(), make_chan<int>(1)};
    for (const chan<int>& level : levels) go(send_level, level, 10);
    std::array<int, 3> next{};
    while (levels[0] || levels[1] || levels[2]) {
        const bool upper_is_ready = levels[0].size() != 0;
        const auto got =
            co_await priority_select(levels[0].recv(), levels[1].recv(), levels[2].recv());
        const std::optional<int> value =
            std::visit([](const auto& v) -> std::optional<int> { return v; }, got);
        if (upper_is_ready) EXPECT(got.index() == 0);
        if (value) {
            EXPECT(*value == next[got.index()]++);
        } else {
            levels[got.index()] = chan<int>();
        }
    }
    EXPECT(next == std::array<int, 3>{10, 10, 10});
}

task<> pick_fairly() {
    std::array<chan<int>, 3> levels{make_chan<int>(2), make_chan<int>(), make_chan<int>(1)};
    for (const chan<int>& level : levels) go(send_level, level, 10);
    fair_priority<3> fair(4);
    std::array<int, 3> next{};
    while (levels[0] || levels[1] || levels[2]) {
        const auto got = co_await fair.select(levels[0].recv(), levels[1].recv(), levels[2].recv());
        const std::optional<int> value =
            std::visit([](const auto& v) -> std::optional<int> { return v; }, got);
        if (value) {
            EXPECT(*value == next[got.index()]++);
        } else {
            levels[got.index()] = chan<int>();
        }
    }
    EXPECT(next == std::array<int, 3>{10, 10, 10});
}

}  // namespace

TEST_CASE("priority_select: what is sent on each level comes once, the ready upper level first") {
    simulated(pick_by_priority, 1'000);
    on_real_workers(pick_by_priority);
}

TEST_CASE("priority_select: a fair one too gives each value once") {
    simulated(pick_fairly, 1'000);
    on_real_workers(pick_fairly);
}

namespace {

/// A pick that is cancelled takes nothing: what it did not take is left.
task<> pick_until_cancelled(context ctx) {
    auto upper = filled(3);
    auto lower = make_chan<int>();
    wait_group senders;
    int sent = 0;
    senders.go([&]() -> task<> {
        for (int i = 0; i != 3; ++i) {
            const auto ok = co_await within(ctx, lower.send(i));
            if (!ok) break;
            ++sent;
        }
        lower.close();
    });
    fair_priority<2> fair(3);
    int received = 0;
    for (int i = 0; i != 6; ++i) {
        if (i % 2 == 0) {
            const auto got = co_await within(ctx, priority_select(upper.recv(), lower.recv()));
            if (!got) break;
            received += std::visit([](const auto& v) { return v.has_value(); }, *got);
        } else {
            const auto got = co_await within(ctx, fair.select(upper.recv(), lower.recv()));
            if (!got) break;
            received += std::visit([](const auto& v) { return v.has_value(); }, *got);
        }
    }
    while (auto rest = upper.try_recv()) ++received;
    while (auto rest = co_await lower.recv()) ++received;
    co_await senders.wait();
    EXPECT(received == 3 + sent);
    if (!ctx.err()) EXPECT(received == 6);
}

}  // namespace

TEST_CASE("priority_select: a pick that is cancelled takes nothing, at whatever step") {
    simulated_cancelled(pick_until_cancelled);
}

TEST_CASE("priority_select: of ready cases the first wins, always") {
    on_workers([]() -> task<> {
        auto first = filled(20);
        auto second = filled(20);
        auto third = filled(20);
        for (int i = 0; i != 60; ++i) {
            const auto got = co_await priority_select(first.recv(), second.recv(), third.recv());
            EXPECT(got.index() == static_cast<std::size_t>(i / 20));
        }
        const auto none = co_await priority_select(first.recv(), second.recv(), sleep_for(0s));
        EXPECT(none.index() == 2);
    });
}

TEST_CASE("priority_select: if none is ready the first that becomes so wins, even the last") {
    simulated([]() -> task<> {
        auto never = make_chan<int>();
        auto later = make_chan<int>();
        go(
            [](chan<int> to) -> task<> {
                co_await sleep_for(1s);
                co_await to.send(7);
            },
            later);
        const auto got = co_await priority_select(never.recv(), sleep_for(1h), later.recv());
        EXPECT(got.index() == 2 && std::get<2>(got) == 7);
        const auto one = co_await priority_select(sleep_for(1ms));
        EXPECT(one.index() == 0);
    });
}

TEST_CASE("priority_select: an urgent case wins that became ready while the task was busy") {
    simulated([]() -> task<> {
        auto work = filled(100);
        auto stop = make_chan<>();
        go(
            [](chan<> to) -> task<> {
                co_await sleep_for(10ms);
                to.close();
            },
            stop);
        int done = 0;
        for (;;) {
            const auto got = co_await priority_select(stop.recv(), work.recv());
            if (got.index() == 0) break;
            ++done;
            co_await sleep_for(1ms);
        }
        EXPECT(done == 10 || done == 11);
    });
}

TEST_CASE("priority_select: cases of several leaves keep their places, and select its chance") {
    int inner_second = 0;
    run_and_report([&] {
        explore({.seeds = 200}, [&]() -> task<> {
            auto a = filled(1);
            auto b = filled(1);
            auto last = filled(1);
            const auto [ctx, cancel] = with_cancel(background());
            const auto got = co_await priority_select(within(ctx, make_chan<int>().recv()),
                                                      select(a.recv(), b.recv()), last.recv());
            EXPECT(got.index() == 1);
            if (got.index() == 1) inner_second += static_cast<int>(std::get<1>(got).index());
            EXPECT(last.size() == 1 && a.size() + b.size() == 1);
            cancel();
            const auto ended =
                co_await priority_select(within(ctx, make_chan<int>().recv()), last.recv());
            EXPECT(ended.index() == 0);
        });
    });
    CHECK(inner_second > 50);
    CHECK(inner_second < 150);
}

TEST_CASE("priority_select: the losers have no effect: locks, values and sends stay") {
    simulated([]() -> task<> {
        auto upper = filled(1);
        auto lower = make_chan<int>(1);
        mutex mu;
        {
            const auto got =
                co_await priority_select(upper.recv(), lower.send(1), mu.lock(), sleep_for(0s));
            EXPECT(got.index() == 0);
            EXPECT(lower.size() == 0);
            const auto guard = mu.try_lock();
            EXPECT(guard.owns_lock());
        }
        const auto got = co_await priority_select(upper.recv(), lower.send(2));
        EXPECT(got.index() == 1 && lower.size() == 1);
    });
}

TEST_CASE("priority_select: the exception of the winner is thrown, that of a loser is not") {
    simulated([]() -> task<> {
        auto fine = filled(1);
        auto closed = make_chan<int>(1);
        closed.close();
        const auto got = co_await priority_select(fine.recv(), closed.send(1));
        EXPECT(got.index() == 0);
        bool thrown = false;
        try {
            static_cast<void>(co_await priority_select(fine.recv(), closed.send(1)));
        } catch (const channel_closed&) {
            thrown = true;
        }
        EXPECT(thrown);
        fair_priority<2> fair(2);
        thrown = false;
        try {
            static_cast<void>(co_await fair.select(closed.send(1), fine.recv()));
        } catch (const channel_closed&) {
            thrown = true;
        }
        EXPECT(thrown);
    });
}

namespace {

/// The levels picked when all N are ready throughout.
template <std::size_t... I>
task<std::vector<std::size_t>> picks_of(std::size_t bound, int count, std::index_sequence<I...>) {
    fair_priority<sizeof...(I)> fair(bound);
    std::vector<chan<int>> levels;
    for (std::size_t k = 0; k != sizeof...(I); ++k) levels.push_back(filled(count));
    std::vector<std::size_t> picks;
    for (int i = 0; i != count; ++i) {
        const auto got = co_await fair.select(levels[I].recv()...);
        picks.push_back(got.index());
    }
    co_return picks;
}

/// The most picks in a row without that level, plus the one that serves it.
std::size_t longest_wait(const std::vector<std::size_t>& picks, std::size_t level) {
    std::size_t longest = 0;
    std::size_t waited = 0;
    for (const std::size_t pick : picks) {
        ++waited;
        longest = std::max(longest, waited);
        if (pick == level) waited = 0;
    }
    return longest;
}

}  // namespace

TEST_CASE("priority_select: a level that stays ready is served at least once in every k picks") {
    simulated([]() -> task<> {
        for (std::size_t bound = 4; bound != 20; ++bound) {
            const auto picks = co_await picks_of(bound, 200, std::make_index_sequence<4>());
            for (std::size_t level = 0; level != 4; ++level)
                EXPECT(longest_wait(picks, level) <= bound);
            if (bound > 8) {
                EXPECT(longest_wait(picks, 3) >= bound - 3);  // and not much more often
                EXPECT(std::count(picks.begin(), picks.end(), std::size_t{0}) > 200 / 2);
            }
        }
    });
}

TEST_CASE("priority_select: two levels and a bound of ten: nine of the first, one of the second") {
    simulated([]() -> task<> {
        const auto picks = co_await picks_of(10, 100, std::make_index_sequence<2>());
        for (std::size_t i = 0; i != picks.size(); ++i) EXPECT(picks[i] == (i % 10 == 9 ? 1 : 0));
        const auto turns = co_await picks_of(3, 12, std::make_index_sequence<3>());
        for (std::size_t i = 0; i != turns.size(); ++i) EXPECT(turns[i] == i % 3);
        const auto alone = co_await picks_of(1, 5, std::make_index_sequence<1>());
        EXPECT(alone == std::vector<std::size_t>(5, 0));
    });
}

TEST_CASE("priority_select: the bound holds for a level that becomes ready at any time") {
    simulated(
        []() -> task<> {
            constexpr std::uint64_t bound = 6;
            std::array<chan<int>, 3> levels{filled(400), make_chan<int>(1), make_chan<int>(1)};
            for (int k = 1; k != 3; ++k) {
                go(
                    [](chan<int> to, int apart) -> task<> {
                        for (int i = 0; i != 20; ++i) {
                            co_await sleep_for(1ms * apart);
                            co_await to.send(i);
                        }
                    },
                    levels[static_cast<std::size_t>(k)], 3 * k);
            }
            fair_priority<3> fair(bound);
            std::array<std::uint64_t, 3> waited{};
            int lower = 0;
            for (int i = 0; i != 200; ++i) {
                for (std::size_t k = 0; k != 3; ++k)
                    waited[k] = levels[k].size() != 0 ? waited[k] + 1 : 0;
                const auto got =
                    co_await fair.select(levels[0].recv(), levels[1].recv(), levels[2].recv());
                for (const std::uint64_t w : waited) EXPECT(w <= bound);
                waited[got.index()] = 0;
                lower += got.index() != 0;
                co_await sleep_for(1ms);
            }
            EXPECT(lower == 40);
        },
        200);
}

TEST_CASE("priority_select: a pick that lost a race is not counted") {
    simulated([]() -> task<> {
        fair_priority<2> fair(3);
        auto upper = filled(10);
        auto lower = filled(10);
        auto nothing = make_chan<int>();
        const auto first = co_await fair.select(upper.recv(), lower.recv());
        EXPECT(first.index() == 0);
        for (int i = 0; i != 5; ++i) {
            const auto lost = co_await within(1ms, fair.select(nothing.recv(), nothing.recv()));
            EXPECT(!lost);
        }
        const auto second = co_await fair.select(upper.recv(), lower.recv());
        EXPECT(second.index() == 0);
        const auto third = co_await fair.select(upper.recv(), lower.recv());
        EXPECT(third.index() == 1);  // due with the third pick, not before
    });
}

TEST_CASE("priority_select: a bound below the number of levels throws") {
    CHECK_THROWS_AS(fair_priority<2>(1), std::invalid_argument);
    CHECK_THROWS_AS(fair_priority<3>(0), std::invalid_argument);
    CHECK_NOTHROW(fair_priority<3>(3));
}
