#include <sluice/runtime/select.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "deadlocked.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int trials = 10'000;

/// Calls a function whenever it is moved, which a channel does under its lock.
struct watched {
    static inline void (*moved)() = nullptr;
    watched() = default;
    watched(watched&&) noexcept { moved(); }
};

/// Whether the counts of `trials` choices are within 10 sigma of uniform.
template <std::size_t N>
bool uniform(const std::array<int, N>& counts) {
    const double p = 1.0 / static_cast<double>(N);
    const double sigma = std::sqrt(trials * p * (1 - p));
    bool all = std::accumulate(counts.begin(), counts.end(), 0) == trials;
    for (const int n : counts) all = all && std::abs(n - trials * p) < 10 * sigma;
    return all;
}

/// A select that is followed by what makes all its cases ready again.
template <std::size_t N, class Choose>
task<bool> chooses_uniformly(Choose choose) {
    std::array<int, N> counts{};
    for (int i = 0; i < trials; ++i) {
        const std::size_t won = co_await choose();
        ++counts[won];
    }
    co_return uniform(counts);
}

}  // namespace

TEST_CASE(
    "select: a full channel with a sender in line looks full all the while that one is served") {
    run_on(1, []() -> task<> {  // where yield() lets the sender come to stand in line
        static constinit int glances = 0;
        static constinit int empty = 0;
        static chan<watched>* watching = nullptr;
        watched::moved = [] {
            if (watching == nullptr) return;
            ++glances;
            if (!watching->recv().may_be_ready()) ++empty;
        };
        auto ch = make_chan<watched>(1);
        co_await ch.send(watched());
        auto sender = spawn([](chan<watched> to) -> task<> { co_await to.send(watched()); }, ch);
        co_await yield();
        watching = &ch;
        const auto first = co_await ch.recv();
        watching = nullptr;
        EXPECT(first);
        EXPECT(glances >= 2);
        EXPECT(empty == 0);
        co_await sender.join();
        const auto second = co_await ch.recv();
        EXPECT(second);
    });
}

TEST_CASE("select 2.1: every operand and every value to send is evaluated once, losers included") {
    on_workers([]() -> task<> {
        const auto ready = make_chan<int>(1);
        const auto full = make_chan<int>(1);
        int evaluated = 0;
        const auto count = [&evaluated](auto x) {
            ++evaluated;
            return x;
        };
        for (int round = 0; round < 100; ++round) {
            evaluated = 0;
            static_cast<void>(full.try_send(0));
            const auto got = co_await select(count(ready).send(count(1)),
                                             count(full).send(count(2)), count(chan<int>()).recv());
            EXPECT(got.index() == 0);
            EXPECT(evaluated == 5);
            EXPECT(ready.try_recv() == 1);
        }
    });
}

TEST_CASE("select 2.2: the choice is uniform among ready receives") {
    on_workers([]() -> task<> {
        std::array<chan<int>, 3> ch;
        for (auto& c : ch) c = make_chan<int>(1);
        const bool fair = co_await chooses_uniformly<3>([&]() -> task<std::size_t> {
            for (const auto& c : ch) static_cast<void>(c.try_send(1));
            const auto got = co_await select(ch[0].recv(), ch[1].recv(), ch[2].recv());
            co_return got.index();
        });
        EXPECT(fair);
    });
}

TEST_CASE("select 2.2: the choice is uniform among two that stand behind cases never ready") {
    on_workers([]() -> task<> {
        const auto never = make_chan<int>();
        const chan<int> nil;
        std::array<chan<int>, 2> ch;
        for (auto& c : ch) c = make_chan<int>(1);
        const bool fair = co_await chooses_uniformly<2>([&]() -> task<std::size_t> {
            for (const auto& c : ch) static_cast<void>(c.try_send(1));
            const auto got = co_await select(never.recv(), nil.recv(), ch[0].recv(), ch[1].recv());
            co_return got.index() - 2;
        });
        EXPECT(fair);
        const bool fair_at_run_time = co_await chooses_uniformly<2>([&]() -> task<std::size_t> {
            for (const auto& c : ch) static_cast<void>(c.try_send(1));
            std::vector<select_case> cases;
            cases.push_back(select_case(never.recv()));
            cases.push_back(select_case(nil.recv()));
            for (const auto& c : ch) cases.push_back(select_case(c.recv()));
            const std::size_t won = co_await select(std::span(cases));
            co_return won - 2;
        });
        EXPECT(fair_at_run_time);
    });
}

TEST_CASE("select 2.2: the choice is uniform among ready sends, and among sends and receives") {
    on_workers([]() -> task<> {
        const auto a = make_chan<int>(1);
        const auto b = make_chan<int>(1);
        const auto full = make_chan<int>(1);
        const auto never = make_chan<int>();
        const bool sends = co_await chooses_uniformly<2>([&]() -> task<std::size_t> {
            const auto got = co_await select(a.send(1), b.send(2), never.recv());
            EXPECT(a.size() + b.size() == 1);
            static_cast<void>(a.try_recv());
            static_cast<void>(b.try_recv());
            co_return got.index();
        });
        EXPECT(sends);
        const bool mixed = co_await chooses_uniformly<2>([&]() -> task<std::size_t> {
            static_cast<void>(full.try_send(1));
            const auto got = co_await select(a.send(1), full.recv(), never.send(3));
            static_cast<void>(a.try_recv());
            co_return got.index();
        });
        EXPECT(mixed);
    });
}

TEST_CASE(
    "select 2.2: the choice is uniform among channels and other operations, with otherwise too") {
    on_workers([]() -> task<> {
        const auto a = make_chan<int>(1);
        co_await a.send(1);
        const bool mixed = co_await chooses_uniformly<2>([&]() -> task<std::size_t> {
            static_cast<void>(a.try_send(1));
            const auto got = co_await select(a.recv(), sleep_for(0s));
            co_return got.index();
        });
        EXPECT(mixed);
        const bool with_default = co_await chooses_uniformly<2>([&]() -> task<std::size_t> {
            static_cast<void>(a.try_send(1));
            const auto got = co_await select(sleep_for(0s), a.recv(), otherwise);
            co_return got.index();
        });
        EXPECT(with_default);
    });
}

TEST_CASE("select 2.2: the choice is uniform among channels that are ready in different ways") {
    run_on(1, []() -> task<> {  // where yield() lets the sender come to its send
        const auto filled = make_chan<int>(2);
        const auto met = make_chan<int>();
        const auto closed = make_chan<int>(1);
        closed.close();
        const auto room = make_chan<int>(1);
        auto sender = spawn(
            [](chan<int> to) -> task<> {
                for (;;) {
                    try {
                        co_await to.send(1);
                    } catch (const channel_closed&) {
                        co_return;
                    }
                }
            },
            met);
        const bool fair = co_await chooses_uniformly<4>([&]() -> task<std::size_t> {
            static_cast<void>(filled.try_send(1));
            static_cast<void>(room.try_recv());
            co_await yield();
            const auto got =
                co_await select(filled.recv(), met.recv(), closed.recv(), room.send(1));
            co_return got.index();
        });
        EXPECT(fair);
        const bool alike = co_await chooses_uniformly<3>([&]() -> task<std::size_t> {
            static_cast<void>(filled.try_send(1));
            co_await yield();
            const auto got = co_await select(filled.recv(), met.recv(), closed.recv());
            co_return got.index();
        });
        EXPECT(alike);
        met.close();
        co_await sender.join();
    });
}

TEST_CASE("select 2.2: the choice is uniform among closed channels, and among run-time cases") {
    on_workers([]() -> task<> {
        std::array<chan<int>, 5> ch;
        for (auto& c : ch) {
            c = make_chan<int>();
            c.close();
        }
        const bool fair = co_await chooses_uniformly<5>([&]() -> task<std::size_t> {
            const auto got = co_await select(ch[0].recv(), ch[1].recv(), ch[2].recv(), ch[3].recv(),
                                             ch[4].recv());
            co_return got.index();
        });
        EXPECT(fair);
        const bool dynamic = co_await chooses_uniformly<5>([&]() -> task<std::size_t> {
            std::vector<select_case> cases;
            for (const auto& c : ch) cases.emplace_back(c.recv());
            auto made = select(std::span(cases));
            auto moved = std::move(made);
            const std::size_t won = co_await std::move(moved);
            co_return won;
        });
        EXPECT(dynamic);
    });
}

TEST_CASE("select 2.3: the default runs only if nothing is ready") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(1);
        const auto other = make_chan<int>();
        for (int i = 0; i < 1'000; ++i) {
            const auto none = co_await select(ch.recv(), other.recv(), other.send(1), otherwise);
            EXPECT(none.index() == 3);
            const auto sent = co_await select(other.recv(), ch.send(i), otherwise);
            EXPECT(sent.index() == 1);
            const auto received = co_await select(ch.recv(), other.recv(), otherwise);
            EXPECT(received.index() == 0 && std::get<0>(received) == i);
        }
    });
}

TEST_CASE("select 2.4: with no case that can get ready and no default it waits for ever") {
    const auto nil_only = deadlock_of([]() -> task<> {
        const chan<int> nil;
        static_cast<void>(co_await select(nil.recv(), nil.send(1)));
        EXPECT(false && "the select ended");
    });
    CHECK_THAT(nil_only, ContainsSubstring("deadlock"));
    const auto nobody_there = deadlock_of([]() -> task<> {
        const auto a = make_chan<int>();
        const auto b = make_chan<int>(1);
        static_cast<void>(co_await select(a.recv(), a.send(1), b.recv()));
        EXPECT(false && "the select ended");
    });
    CHECK_THAT(nobody_there, ContainsSubstring("deadlock"));
    const auto no_case = deadlock_of([]() -> task<> {
        std::span<select_case> none;
        static_cast<void>(co_await select(none));
        EXPECT(false && "the select ended");
    });
    CHECK_THAT(no_case, ContainsSubstring("deadlock"));
    CHECK_THAT(no_case, ContainsSubstring("a select without cases (never ready)"));
}

TEST_CASE("select 2.4: nil channels switch their cases off") {
    on_workers([]() -> task<> {
        const chan<int> nil;
        const auto ch = make_chan<int>(1);
        for (int i = 0; i < 200; ++i) {
            co_await ch.send(i);
            const auto got = co_await select(nil.recv(), nil.send(1), ch.recv(), nil.recv());
            EXPECT(got.index() == 2 && std::get<2>(got) == i);
        }
        std::span<select_case> none;
        const auto nothing = co_await select(none, otherwise);
        EXPECT(nothing == std::nullopt);
    });
}

TEST_CASE("select: the run-time form takes a vector or an array too, and uses its cases up") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(2);
        std::vector<select_case> cases;
        cases.push_back(select_case(ch.send(1)));
        const auto sent = co_await select(cases, otherwise);
        EXPECT(sent == std::size_t{0});
        std::array again{select_case(ch.send(2))};
        const std::size_t sent_again = co_await select(again);
        EXPECT(sent_again == 0);
        std::array full{select_case(ch.send(3))};
        const auto not_sent = co_await select(std::span(full), otherwise);
        EXPECT(!not_sent);
        for (const bool with_default : {false, true}) {
            bool refused = false;
            try {
                if (with_default) {
                    static_cast<void>(select(cases, otherwise));
                } else {
                    static_cast<void>(select(cases));
                }
            } catch (const std::logic_error&) {
                refused = true;
            }
            EXPECT(refused);
        }
        // One that is refused uses up nothing.
        std::vector<select_case> mixed;
        mixed.push_back(select_case(ch.recv()));
        mixed.push_back(std::move(cases.front()));
        try {
            static_cast<void>(select(mixed));
            EXPECT(false && "a used case was taken");
        } catch (const std::logic_error&) {
            mixed.pop_back();
        }
        const std::size_t received = co_await select(mixed);
        EXPECT(received == 0 && ch.size() == 1);
    });
}

TEST_CASE("select 2.5: one case commits, the others have no effect") {
    on_workers([]() -> task<> {
        const auto a = make_chan<int>(4);
        const auto b = make_chan<int>(4);
        const auto c = make_chan<int>(4);
        for (int i = 0; i < 1'000; ++i) {
            co_await a.send(1);
            co_await b.send(2);
            const auto got = co_await select(a.recv(), b.recv(), c.send(3));
            const std::size_t won = got.index();
            EXPECT(a.size() == (won == 0 ? 0u : 1u));
            EXPECT(b.size() == (won == 1 ? 0u : 1u));
            EXPECT(c.size() == (won == 2 ? 1u : 0u));
            for (const auto& ch : {a, b, c}) static_cast<void>(ch.try_recv());
        }
    });
}

TEST_CASE("select 2.6: a receive from a closed channel is always ready") {
    on_workers([]() -> task<> {
        const auto closed = make_chan<int>(1);
        co_await closed.send(1);
        closed.close();
        const auto never = make_chan<int>();
        const auto first = co_await select(never.recv(), closed.recv());
        EXPECT(first.index() == 1 && std::get<1>(first) == 1);
        for (int i = 0; i < 300; ++i) {
            const auto got = co_await select(never.recv(), closed.recv());
            EXPECT(got.index() == 1 && !std::get<1>(got));
            const auto tried = co_await select(closed.recv(), otherwise);
            EXPECT(tried.index() == 0);
        }
    });
}

namespace {

// 0, 1: the case that won; 2: it threw.
task<std::size_t> send_closed_or_recv(chan<int> closed, chan<int> ready) {
    std::size_t how = 2;
    try {
        const auto got = co_await select(closed.send(1), ready.recv());
        how = got.index();
    } catch (const channel_closed&) {
    }
    // All locks are free again: nothing below would return otherwise.
    EXPECT(!closed.try_recv());
    if (how == 2) EXPECT(ready.try_recv() == 7);
    co_return how;
}

}  // namespace

TEST_CASE(
    "select 2.6: a send on a closed channel is ready, and fails if picked, after all locks are "
    "released") {
    on_workers([]() -> task<> {
        const auto closed = make_chan<int>(1);
        closed.close();
        const auto ready = make_chan<int>(1);
        std::array<int, 3> counts{};
        for (int i = 0; i < trials; ++i) {
            co_await ready.send(7);
            const std::size_t how = co_await send_closed_or_recv(closed, ready);
            ++counts[how];
        }
        EXPECT(counts[0] == 0);
        EXPECT(uniform(std::array{counts[1], counts[2]}));
        bool thrown = false;
        try {
            static_cast<void>(co_await select(closed.send(1), otherwise));
        } catch (const channel_closed&) {
            thrown = true;
        }
        EXPECT(thrown);
    });
}

TEST_CASE("select 2.7: one channel may appear many times, in both directions") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(2);
        std::array<int, 4> counts{};
        for (int i = 0; i < trials; ++i) {
            static_cast<void>(ch.try_send(9));  // one value, one free slot: all four are ready
            const auto got = co_await select(ch.recv(), ch.send(1), ch.recv(), ch.send(3));
            const std::size_t won = got.index();
            ++counts[won];
            EXPECT(ch.size() == (won % 2 == 0 ? 0u : 2u));
            while (ch.try_recv()) continue;
        }
        EXPECT(uniform(counts));
    });
}

TEST_CASE("select 2.8: a send and a receive of one select never meet") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>();
        for (int i = 0; i < 100; ++i) {
            const auto got = co_await select(ch.send(1), ch.recv(), otherwise);
            EXPECT(got.index() == 2);
        }
    });
    const auto report = deadlock_of([]() -> task<> {
        const auto ch = make_chan<int>();
        static_cast<void>(co_await select(ch.send(1), ch.recv()));
        EXPECT(false && "the select met itself");
    });
    CHECK_THAT(report, ContainsSubstring("deadlock"));
}

TEST_CASE("select 2.13: one case and a default are the non-blocking operation") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(2);
        for (int i = 0; i < 5; ++i) {
            const bool room = ch.size() < 2;
            const auto sent = co_await select(ch.send(i), otherwise);
            EXPECT((sent.index() == 0) == room);
        }
        EXPECT(!ch.try_send(9));
        for (int i = 0; i < 5; ++i) {
            const bool any = ch.size() != 0;
            const auto got = co_await select(ch.recv(), otherwise);
            EXPECT((got.index() == 0) == any);
            if (any) EXPECT(std::get<0>(got) == i);
        }
        EXPECT(!ch.try_recv());
    });
}

TEST_CASE("select: the result is a variant by position, void as monostate") {
    on_workers([]() -> task<> {
        const auto numbers = make_chan<int>(1);
        const auto words = make_chan<std::string>(1);
        const auto events = make_chan<>(1);
        auto op = select(numbers.recv(), words.recv(), events.recv(), numbers.send(1),
                         sleep_for(0s), otherwise);
        using wanted = std::variant<std::optional<int>, std::optional<std::string>, bool,
                                    std::monostate, std::monostate, std::monostate>;
        static_assert(std::is_same_v<decltype(op)::result_type, wanted>);
        const wanted got = co_await std::move(op);
        EXPECT(got.index() == 3 || got.index() == 4);
        while (numbers.try_recv()) continue;
        co_await words.send("word");
        const auto word = co_await select(numbers.recv(), words.recv(), events.recv());
        EXPECT(word.index() == 1 && std::get<1>(word) == "word");
        co_await events.send();
        const auto event = co_await select(numbers.recv(), words.recv(), events.recv());
        EXPECT(event.index() == 2 && std::get<2>(event));
    });
}
