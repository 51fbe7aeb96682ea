#include <sluice/runtime/within.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <variant>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

constexpr int trials = 10'000;

/// Within 10 sigma of what `share` of the trials should be.
bool about(int count, double share) {
    return std::abs(count - trials * share) < 10 * std::sqrt(trials * share * (1 - share));
}

task<> send_to(chan<int> ch, int v) {
    co_await ch.send(v);
}

}  // namespace

TEST_CASE("nesting: a select is a case of a select, ready or waited for") {
    on_workers([]() -> task<> {
        std::array<chan<int>, 4> ch;
        for (auto& c : ch) c = make_chan<int>();
        for (std::size_t i = 0; i < 400; ++i) {
            const std::size_t target = i % 4;
            go(send_to, ch[target], static_cast<int>(i));
            if (i % 8 < 4) co_await yield();
            const auto got = co_await select(
                ch[0].recv(), select(ch[1].recv(), select(ch[2].recv())), ch[3].recv());
            std::optional<int> value;
            if (auto* const inner = std::get_if<1>(&got)) {
                if (target == 1) {
                    EXPECT(inner->index() == 0);
                    value = std::get<0>(*inner);
                } else {
                    EXPECT(target == 2 && inner->index() == 1);
                    value = std::get<0>(std::get<1>(*inner));
                }
            } else {
                EXPECT(got.index() == (target == 0 ? 0u : 2u));
                value = got.index() == 0 ? std::get<0>(got) : std::get<2>(got);
            }
            EXPECT(value == static_cast<int>(i));
            for (const auto& c : ch) EXPECT(!c.try_send(0));
        }
    });
}

TEST_CASE(
    "nesting: a select within a select counts as one case in the choice, and chooses uniformly "
    "itself") {
    on_workers([]() -> task<> {
        const auto closed = make_chan<int>();
        closed.close();
        int outer = 0;
        std::array<int, 2> inner{};
        for (int i = 0; i < trials; ++i) {
            const auto got = co_await select(closed.recv(), select(closed.recv(), closed.recv()));
            if (auto* const in = std::get_if<1>(&got)) {
                ++inner[in->index()];
            } else {
                ++outer;
            }
        }
        EXPECT(about(outer, 0.5));
        EXPECT(about(inner[0], 0.25));
        EXPECT(about(inner[1], 0.25));
    });
}

TEST_CASE("nesting: a bounded select chooses uniformly") {
    on_workers([]() -> task<> {
        const auto a = make_chan<int>(1);
        const auto b = make_chan<int>(1);
        auto [ctx, cancel] = with_cancel(background());
        std::array<int, 2> by_context{};
        std::array<int, 2> by_time{};
        for (int i = 0; i < trials; ++i) {
            static_cast<void>(a.try_send(1));
            static_cast<void>(b.try_send(2));
            const auto first = co_await within(ctx, select(a.recv(), b.recv()));
            ++by_context[first->index()];
            static_cast<void>(a.try_send(1));
            static_cast<void>(b.try_send(2));
            const auto second = co_await within(1h, select(a.recv(), b.recv()));
            ++by_time[second->index()];
        }
        EXPECT(about(by_context[0], 0.5) && about(by_context[1], 0.5));
        EXPECT(about(by_time[0], 0.5) && about(by_time[1], 0.5));
    });
}

TEST_CASE("nesting: a context that has ended always wins, whatever is ready") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(1);
        co_await ch.send(1);
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        for (int i = 0; i < 500; ++i) {
            const auto got = co_await within(ctx, ch.recv());
            EXPECT(!got && got.error() == errc::canceled);
            const auto raced = co_await within(ctx, select(ch.recv(), ch.send(2)));
            EXPECT(!raced && raced.error() == errc::canceled);
        }
        EXPECT(ch.size() == 1);
    });
}

TEST_CASE("nesting: within a time of zero or less an operation is tried") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(1);
        for (int i = 0; i < 500; ++i) {
            const auto time = i % 2 == 0 ? 0s : -1s;
            const auto none = co_await within(time, ch.recv());
            EXPECT(!none && none.error() == errc::deadline_exceeded);
            const auto sent = co_await within(time, ch.send(i));
            EXPECT(sent.has_value());
            const auto full = co_await within(time, select(ch.send(-1), ch.send(-2)));
            EXPECT(!full);
            const auto got = co_await within(time, ch.recv());
            EXPECT(got && *got == i);
        }
    });
}

TEST_CASE("nesting: bounds within bounds give one flat result") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(1);
        auto [ctx, cancel] = with_cancel(background());
        static_assert(std::is_same_v<decltype(within(ctx, within(1s, ch.recv())))::result_type,
                                     result<std::optional<int>>>);
        static_assert(std::is_same_v<decltype(within(ctx, ch.send(1)))::result_type, result<void>>);
        const auto late = co_await within(ctx, within(1us, ch.recv()));
        EXPECT(!late && late.error() == errc::deadline_exceeded);
        co_await ch.send(3);
        const auto got = co_await within(1h, within(ctx, within(1h, ch.recv())));
        EXPECT(got && *got == 3);
        go(
            [](cancel_function c) -> task<> {
                c();
                co_return;
            },
            std::move(cancel));
        const auto canceled = co_await within(1h, within(ctx, ch.recv()));
        EXPECT(!canceled && canceled.error() == errc::canceled);
        EXPECT(ctx.err() == errc::canceled);
    });
}

TEST_CASE("nesting: a bounded operation is a case of a select") {
    on_workers([]() -> task<> {
        const auto a = make_chan<int>();
        const auto b = make_chan<int>();
        for (int i = 0; i < 100; ++i) {
            go(send_to, i % 2 == 0 ? a : b, i);
            const auto got = co_await select(within(1h, a.recv()), within(background(), b.recv()));
            EXPECT(got.index() == static_cast<std::size_t>(i % 2));
            const auto value = i % 2 == 0 ? std::get<0>(got) : std::get<1>(got);
            EXPECT(value && *value == i);
            EXPECT(!a.try_send(0));
            EXPECT(!b.try_send(0));
        }
        const auto late = co_await select(within(1us, a.recv()), within(1h, b.recv()));
        EXPECT(late.index() == 0 && std::get<0>(late).error() == errc::deadline_exceeded);
        EXPECT(!b.try_send(0));
    });
}

TEST_CASE("nesting: selects and bounds are run-time cases") {
    on_workers([]() -> task<> {
        std::array<chan<int>, 3> ch;
        for (auto& c : ch) c = make_chan<int>();
        for (std::size_t i = 0; i < 300; ++i) {
            std::variant<std::optional<int>, std::optional<int>> either;
            result<std::optional<int>> bounded = std::nullopt;
            std::vector<select_case> cases;
            cases.push_back(select_case(select(ch[0].recv(), ch[1].recv()), either));
            cases.push_back(select_case(within(1h, ch[2].recv()), bounded));
            go(send_to, ch[i % 3], static_cast<int>(i));
            const std::size_t won = co_await select(std::span(cases));
            EXPECT(won == (i % 3 == 2 ? 1u : 0u));
            if (won == 0) {
                EXPECT(either.index() == i % 3);
                EXPECT(std::visit([](const auto& v) { return v; }, either) == static_cast<int>(i));
            } else {
                EXPECT(bounded && *bounded == static_cast<int>(i));
            }
        }
    });
}

TEST_CASE("nesting: an exception of a nested winner comes through every layer") {
    on_workers([]() -> task<> {
        const auto closed = make_chan<int>();
        closed.close();
        const auto never = make_chan<int>();
        int thrown = 0;
        try {
            static_cast<void>(
                co_await within(1h, select(never.recv(), select(closed.send(1), never.recv()))));
        } catch (const channel_closed&) {
            ++thrown;
        }
        std::vector<select_case> cases;
        cases.push_back(select_case(within(background(), closed.send(1))));
        try {
            static_cast<void>(co_await select(std::span(cases)));
        } catch (const channel_closed&) {
            ++thrown;
        }
        EXPECT(thrown == 2);
        EXPECT(!never.try_send(1));
    });
}

TEST_CASE("nesting: the deadline wins over a case that never comes, and leaves no trace") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>();
        for (int i = 0; i < 50; ++i) {
            const auto got =
                co_await within(20us, select(ch.recv(), select(ch.send(1), ch.recv())));
            EXPECT(!got && got.error() == errc::deadline_exceeded);
            EXPECT(!ch.try_send(1));
            EXPECT(!ch.try_recv());
        }
    });
}
