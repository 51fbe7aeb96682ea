// What Go's own tests of channels assert beyond the numbered promises: see docs/go-tests.md.
#include <sluice/channels/chan.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace sluice;

namespace {

template <class Chan>
concept sends = requires(const Chan& ch) {
    ch.send(1);
    ch.try_send(1);
};
template <class Chan>
concept receives = requires(const Chan& ch) {
    ch.recv();
    ch.try_recv();
};
template <class Chan>
concept closes = requires(const Chan& ch) { ch.close(); };

}  // namespace

TEST_CASE("chan: the two ends allow only their direction, and convert from the whole alone") {
    STATIC_REQUIRE(sends<chan<int>>);
    STATIC_REQUIRE(receives<chan<int>>);
    STATIC_REQUIRE(closes<chan<int>>);
    STATIC_REQUIRE(sends<send_chan<int>>);
    STATIC_REQUIRE_FALSE(receives<send_chan<int>>);
    STATIC_REQUIRE(closes<send_chan<int>>);
    STATIC_REQUIRE(receives<recv_chan<int>>);
    STATIC_REQUIRE_FALSE(sends<recv_chan<int>>);
    STATIC_REQUIRE_FALSE(closes<recv_chan<int>>);

    STATIC_REQUIRE(std::convertible_to<chan<int>, send_chan<int>>);
    STATIC_REQUIRE(std::convertible_to<chan<int>, recv_chan<int>>);
    STATIC_REQUIRE_FALSE(std::constructible_from<chan<int>, send_chan<int>>);
    STATIC_REQUIRE_FALSE(std::constructible_from<chan<int>, recv_chan<int>>);
    STATIC_REQUIRE_FALSE(std::convertible_to<send_chan<int>, recv_chan<int>>);
    STATIC_REQUIRE_FALSE(std::convertible_to<recv_chan<int>, send_chan<int>>);
    STATIC_REQUIRE_FALSE(std::constructible_from<chan<long>, chan<int>>);
}

namespace {

// A task that waits at the other end makes a try succeed, and nothing before it.
template <class T>
task<> tries_meet_who_waits(std::ptrdiff_t capacity, T there, T back) {
    const auto ch = make_chan<T>(capacity);
    EXPECT(!ch.try_recv());
    wait_group other;
    other.go(
        [](chan<T> from, T wanted) -> task<> {
            const auto got = co_await from.recv();
            EXPECT(got == wanted);
        },
        ch, there);
    while (!ch.try_send(there)) co_await yield();
    co_await other.wait();
    EXPECT(!ch.try_recv());

    other.go([](chan<T> to, T value) -> task<> { co_await to.send(value); }, ch, back);
    std::optional<T> got = ch.try_recv();
    for (; !got; got = ch.try_recv()) co_await yield();
    EXPECT(got == back);
    co_await other.wait();
}

}  // namespace

TEST_CASE("chan: a try succeeds once somebody waits at the other end, for values of any size") {
    on_workers([]() -> task<> {
        for (const int capacity : {0, 1}) {
            co_await tries_meet_who_waits<std::int32_t>(capacity, 123, 234);
            co_await tries_meet_who_waits<std::int64_t>(capacity, 123'456, 234'567);
            co_await tries_meet_who_waits<bool>(capacity, true, true);
            co_await tries_meet_who_waits<std::string>(capacity, "hello", "hello again");
            co_await tries_meet_who_waits<std::array<int, 50>>(capacity, {1}, {2});
        }
    });
}

namespace {

using value = std::optional<int>;

// The ways to receive from a channel; each gives a value, or nothing when it is closed and drained.
using way_to_receive = task<value> (*)(chan<int>);

task<value> plainly(chan<int> ch) {
    const value v = co_await ch.recv();
    co_return v;
}
task<value> by_try(chan<int> ch) {
    co_return ch.try_recv();
}
task<value> by_one_case(chan<int> ch) {
    const auto got = co_await select(ch.recv());
    co_return std::get<0>(got);
}
task<value> by_one_case_or_default(chan<int> ch) {
    const auto got = co_await select(ch.recv(), otherwise);
    EXPECT(got.index() == 0);
    co_return std::get<0>(got);
}
task<value> beside_another(chan<int> ch) {
    const auto never = make_chan<>();
    const auto got = co_await select(never.recv(), ch.recv());
    co_return std::get<1>(got);
}
task<value> beside_another_or_default(chan<int> ch) {
    const auto never = make_chan<>();
    const auto got = co_await select(never.recv(), ch.recv(), otherwise);
    EXPECT(got.index() == 1);
    co_return std::get<1>(got);
}
task<value> at_run_time(chan<int> ch) {
    value v = -1;
    std::vector<select_case> cases;
    cases.push_back(select_case(ch.recv(), v));
    const std::size_t won = co_await select(std::span(cases));
    EXPECT(won == 0);
    co_return v;
}

constexpr std::array<way_to_receive, 7> ways{plainly,        by_try,
                                             by_one_case,    by_one_case_or_default,
                                             beside_another, beside_another_or_default,
                                             at_run_time};

task<int> sends_that_fail(chan<int> ch) {
    const auto never = make_chan<>();
    int failed = 0;
    for (int how = 0; how < 5; ++how) {
        try {
            if (how == 0) co_await ch.send(1);
            if (how == 1) static_cast<void>(ch.try_send(1));
            if (how == 2) static_cast<void>(co_await select(ch.send(1)));
            if (how == 3) static_cast<void>(co_await select(ch.send(1), otherwise));
            if (how == 4) static_cast<void>(co_await select(never.recv(), ch.send(1), otherwise));
        } catch (const channel_closed&) {
            ++failed;
        }
    }
    co_return failed;
}

}  // namespace

TEST_CASE("chan: a closed one gives its last value, then closed, then fails sends, in every form") {
    on_workers([]() -> task<> {
        for (const way_to_receive last : ways) {
            const auto ch = make_chan<int>(2);
            co_await ch.send(1);
            ch.close();
            const value one = co_await last(ch);
            EXPECT(one == 1);
            for (const way_to_receive receive : ways) {
                const value before = co_await receive(ch);
                EXPECT(!before);
                const int failed = co_await sends_that_fail(ch);
                EXPECT(failed == 5);
                const value after = co_await receive(ch);  // nothing of those sends is left
                EXPECT(!after);
            }
            EXPECT(ch.size() == 0);
        }
    });
}

TEST_CASE("chan: of any capacity it keeps the order of one sender and the number of many") {
    on_workers([]() -> task<> {
        constexpr int parties = 4;
        constexpr int each = 100;
        for (const int capacity : {0, 1, 2, 3, 10, 200}) {
            const auto ch = make_chan<int>(capacity);
            const auto send_all = [](chan<int> to) -> task<> {
                for (int i = 0; i < each; ++i) co_await to.send(i);
            };
            go(send_all, ch);
            for (int i = 0; i < each; ++i) {
                const auto got = co_await ch.recv();
                EXPECT(got == i);
            }
            std::array<std::array<int, each>, parties> seen{};
            wait_group all;
            for (auto& mine : seen) {
                all.go(send_all, ch);
                all.go(
                    [](chan<int> from, std::array<int, each>* counts) -> task<> {
                        for (int i = 0; i < each; ++i) {
                            const auto got = co_await from.recv();
                            ++(*counts)[static_cast<std::size_t>(*got)];
                        }
                    },
                    ch, &mine);
            }
            co_await all.wait();
            for (std::size_t v = 0; v < each; ++v) {
                int count = 0;
                for (const auto& mine : seen) count += mine[v];
                EXPECT(count == parties);
            }
        }
    });
}

TEST_CASE("chan: channels travel through channels") {
    on_workers([]() -> task<> {
        const auto answers = make_chan<chan<int>>(1);
        go(
            [](chan<chan<int>> asked) -> task<> {
                while (const auto to = co_await asked.recv()) co_await to->send(2);
            },
            answers);
        for (int i = 0; i < 10; ++i) {
            const auto mine = make_chan<int>();
            co_await answers.send(mine);
            const auto got = co_await mine.recv();
            EXPECT(got == 2);
        }
        answers.close();
    });
}

TEST_CASE("chan 1.13: values of an empty type are values, with and without a buffer") {
    on_workers([]() -> task<> {
        for (const int capacity : {0, 1}) {
            const auto ch = make_chan<std::monostate>(capacity);
            go(
                [](chan<std::monostate> to) -> task<> {
                    for (int i = 0; i < 3; ++i) co_await to.send({});
                    to.close();
                },
                ch);
            int count = 0;
            while (const auto v = co_await ch.recv()) ++count;
            EXPECT(count == 3);
            EXPECT(ch.capacity() == static_cast<std::size_t>(capacity));
        }
    });
}
