#include <sluice/runtime/select.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "crew.hpp"
#include "support.hpp"

using namespace sluice;

// On one worker yield() lets every other task run until it waits.

namespace {

struct outcome {
    std::size_t won = 99;
    std::optional<int> value{};
    bool failed = false;
};

task<> recv_either(chan<int> a, chan<int> b, outcome* out) {
    const auto got = co_await select(a.recv(), b.recv());
    out->value = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
    out->won = got.index();
}

task<> send_either(chan<int> a, chan<int> b, outcome* out) {
    try {
        const auto got = co_await select(a.send(1), b.send(2));
        out->won = got.index();
    } catch (const channel_closed&) {
        out->failed = true;
    }
}

}  // namespace

TEST_CASE("select 2.5: a parked select takes one value, whoever else offers") {
    run_on(1, []() -> task<> {
        for (const bool first_a : {true, false}) {
            const auto a = make_chan<int>();
            const auto b = make_chan<int>();
            outcome out;
            go(recv_either, a, b, &out);
            co_await yield();
            const auto& wins = first_a ? a : b;
            const auto& loses = first_a ? b : a;
            EXPECT(wins.try_send(5));
            EXPECT(!loses.try_send(6));  // before the select has run again
            EXPECT(!wins.try_send(7));
            co_await yield();
            EXPECT(out.won == (first_a ? 0u : 1u));
            EXPECT(out.value == 5);
        }
    });
}

TEST_CASE("select 2.5: a parked select sends one value, whoever else asks") {
    run_on(1, []() -> task<> {
        const auto a = make_chan<int>();
        const auto b = make_chan<int>();
        outcome out;
        go(send_either, a, b, &out);
        co_await yield();
        EXPECT(b.try_recv() == 2);
        EXPECT(!a.try_recv());
        EXPECT(!b.try_recv());
        co_await yield();
        EXPECT(out.won == 1 && !out.failed);
    });
}

namespace {

// Adds what it received and subtracts what it sent.
task<> pump(std::array<chan<int>, 4> c, bool backwards, long long* sum) {
    if (backwards) std::reverse(c.begin(), c.end());
    for (int i = 1; i <= 20'000; ++i) {
        const auto got =
            co_await select(c[0].send(i), c[1].recv(), c[2].send(i), c[3].recv(), otherwise);
        if (got.index() == 0 || got.index() == 2) *sum -= i;
        if (auto* const v = std::get_if<1>(&got)) *sum += **v;
        if (auto* const v = std::get_if<3>(&got)) *sum += **v;
    }
}

}  // namespace

TEST_CASE("select 2.9: selects over the same channels in opposite order do not deadlock") {
    on_crews([](crew& c) {
        std::array<chan<int>, 4> ch;
        for (auto& x : ch) x = make_chan<int>(1);
        std::array<long long, 4> sums{};
        for (std::size_t t = 0; t < 4; ++t) c.go(pump, ch, t % 2 == 0, &sums[t]);
        c.wait();
        long long sum = 0;
        for (const long long s : sums) sum += s;
        for (const auto& x : ch) {
            while (const auto v = x.try_recv()) sum += *v;
        }
        EXPECT(sum == 0);
    });
}

TEST_CASE("select 2.10: a sender that finds a select already won goes on to the next receiver") {
    run_on(1, []() -> task<> {
        const auto a = make_chan<int>();
        const auto b = make_chan<int>();
        outcome first;
        outcome second;
        std::optional<int> third;
        go(recv_either, a, b, &first);
        co_await yield();
        go(recv_either, b, a, &second);
        co_await yield();
        go([](chan<int> c, std::optional<int>* out) -> task<> { *out = co_await c.recv(); }, b,
           &third);
        co_await yield();
        EXPECT(a.try_send(1));  // the first select; its case on b is still in line
        EXPECT(b.try_send(2));  // passes it by
        EXPECT(b.try_send(3));  // passes nobody: the second has left b's line
        EXPECT(!b.try_send(4));
        EXPECT(!a.try_send(5));  // passes the second
        co_await yield();
        EXPECT(first.won == 0 && first.value == 1);
        EXPECT(second.won == 0 && second.value == 2);
        EXPECT(third == 3);
    });
}

TEST_CASE("select 2.10: a receiver that finds a select already won goes on to the next sender") {
    run_on(1, []() -> task<> {
        for (const int capacity : {0, 1}) {
            const auto a = make_chan<int>();
            const auto b = make_chan<int>(capacity);
            if (capacity != 0) co_await b.send(10);
            outcome first;
            go(send_either, a, b, &first);
            co_await yield();
            go([](chan<int> c) -> task<> { co_await c.send(20); }, b);
            co_await yield();
            EXPECT(a.try_recv() == 1);
            if (capacity != 0) {
                EXPECT(b.try_recv() == 10);
                EXPECT(b.size() == 1);
            }
            EXPECT(b.try_recv() == 20);
            EXPECT(!b.try_recv());
            co_await yield();
            EXPECT(first.won == 0);
        }
    });
}

TEST_CASE("select 2.10: close passes by a select already won") {
    run_on(1, []() -> task<> {
        const auto a = make_chan<int>();
        const auto b = make_chan<int>();
        outcome receiver;
        outcome sender;
        go(recv_either, a, b, &receiver);
        co_await yield();
        EXPECT(a.try_send(1));
        b.close();
        a.close();
        co_await yield();
        EXPECT(receiver.won == 0 && receiver.value == 1);

        const auto c = make_chan<int>();
        const auto d = make_chan<int>();
        go(send_either, c, d, &sender);
        co_await yield();
        EXPECT(c.try_recv() == 1);
        d.close();
        c.close();
        co_await yield();
        EXPECT(sender.won == 0 && !sender.failed);
    });
}

TEST_CASE("select 2.11: losing cases have left every queue when select returns") {
    on_workers([]() -> task<> {
        std::array<chan<int>, 3> ch;
        for (auto& c : ch) c = make_chan<int>();
        const auto start = make_chan<>();
        auto [ctx, cancel] = with_cancel(background());
        for (int i = 0; i < 1'000; ++i) {
            go([](chan<int> to) -> task<> { co_await to.send(1); },
               ch[static_cast<std::size_t>(i) % 3]);
            const auto got =
                co_await select(ch[0].recv(), ch[1].recv(), ch[2].recv(), start.send(),
                                start.recv(), ctx.done(), sleep_for(std::chrono::hours(1)));
            EXPECT(got.index() == static_cast<std::size_t>(i) % 3);
            for (const auto& c : ch) EXPECT(!c.try_send(2));
            EXPECT(!start.try_send());
            EXPECT(!start.try_recv());
        }
    });
}

TEST_CASE("select 2.11: a select that failed leaves nothing behind either") {
    on_workers([]() -> task<> {
        const auto other = make_chan<int>();
        for (int i = 0; i < 500; ++i) {
            const auto ch = make_chan<int>();
            go(
                [](chan<int> c) -> task<> {
                    c.close();
                    co_return;
                },
                ch);
            bool failed = false;
            try {
                static_cast<void>(co_await select(ch.send(1), other.recv(), other.send(2)));
            } catch (const channel_closed&) {
                failed = true;
            }
            EXPECT(failed);
            EXPECT(!other.try_send(3));
            EXPECT(!other.try_recv());
        }
    });
}

TEST_CASE("select 2.12: a parked select fails when the channel it sends to is closed") {
    run_on(1, []() -> task<> {
        for (const bool close_a : {true, false}) {
            const auto a = make_chan<int>();
            const auto b = make_chan<int>();
            outcome out;
            go(send_either, a, b, &out);
            co_await yield();
            (close_a ? a : b).close();
            co_await yield();
            EXPECT(out.failed);
            EXPECT(!(close_a ? b : a).try_recv());
        }
    });
}

TEST_CASE("select 2.12: a parked select returns the receive whose channel is closed") {
    run_on(1, []() -> task<> {
        for (const bool close_a : {true, false}) {
            const auto a = make_chan<int>();
            const auto b = make_chan<int>();
            outcome out;
            go(recv_either, a, b, &out);
            co_await yield();
            (close_a ? a : b).close();
            co_await yield();
            EXPECT(out.won == (close_a ? 0u : 1u));
            EXPECT(!out.value);
        }
    });
}

TEST_CASE("select: two cases of a parked select on one channel give it one value") {
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>();
        outcome out;
        go(recv_either, ch, ch, &out);
        co_await yield();
        EXPECT(ch.try_send(1));
        EXPECT(!ch.try_send(2));
        co_await yield();
        EXPECT(out.won < 2 && out.value == 1);
        EXPECT(!ch.try_send(3));
    });
}

TEST_CASE("select: a wide one, over more cases than fit its small arrays") {
    on_workers([]() -> task<> {
        std::array<chan<int>, 20> c;
        for (auto& ch : c) ch = make_chan<int>();
        for (std::size_t i = 0; i < 200; ++i) {
            const std::size_t target = i % 20;
            go([](chan<int> to, int v) -> task<> { co_await to.send(v); }, c[target],
               static_cast<int>(i));
            const auto got = co_await select(
                c[0].recv(), c[1].recv(), c[2].recv(), c[3].recv(), c[4].recv(), c[5].recv(),
                c[6].recv(), c[7].recv(), c[8].recv(), c[9].recv(), c[10].recv(), c[11].recv(),
                c[12].recv(), c[13].recv(), c[14].recv(), c[15].recv(), c[16].recv(), c[17].recv(),
                c[18].recv(), c[19].recv());
            EXPECT(got.index() == target);
            const auto value = std::visit([](const std::optional<int>& v) { return v; }, got);
            EXPECT(value == static_cast<int>(i));
            for (const auto& ch : c) EXPECT(!ch.try_send(0));
        }
    });
}

TEST_CASE("select 2.13: 65,536 run-time cases, ready or waited for") {
    const auto program = []() -> task<> {
        constexpr std::size_t many = 65'536;
        std::vector<chan<int>> ch;
        for (std::size_t i = 0; i < many; ++i) ch.push_back(make_chan<int>(1));
        std::vector<int> untouched;
        for (const std::size_t target : {std::size_t{0}, many / 2, many - 1}) {
            for (const bool ready : {true, false}) {
                std::optional<int> value;
                std::vector<select_case> cases;
                cases.reserve(many);
                for (const auto& c : ch) cases.push_back(select_case(c.recv(), value));
                if (ready) {
                    co_await ch[target].send(5);
                } else {
                    go([](chan<int> to) -> task<> { co_await to.send(5); }, ch[target]);
                }
                const std::size_t won = co_await select(std::span(cases));
                EXPECT(won == target);
                EXPECT(value == 5);
            }
        }
        std::vector<select_case> cases;
        for (const auto& c : ch) cases.push_back(select_case(c.recv()));
        const auto none = co_await select(std::span(cases), otherwise);
        EXPECT(!none);
    };
    on_real_workers(program);
    simulated(program, 5);  // what is special here is the number, not the order
}

TEST_CASE(
    "select 2.13: run-time cases mix directions, types and operations, and assign only the "
    "winner's result") {
    on_workers([]() -> task<> {
        const auto numbers = make_chan<int>();
        const auto words = make_chan<std::string>();
        const auto events = make_chan<>();
        for (std::size_t round = 0; round < 400; ++round) {
            std::optional<int> number = -1;
            std::optional<std::string> word = "none";
            std::vector<select_case> cases;
            cases.push_back(select_case(numbers.recv(), number));
            cases.push_back(select_case(words.recv(), word));
            cases.push_back(select_case(events.send()));
            cases.push_back(select_case(words.send("sent")));
            cases.push_back(select_case(sleep_for(std::chrono::hours(1))));
            const std::size_t target = round % 4;
            go(
                [](std::size_t which, chan<int> n, chan<std::string> w, chan<> e) -> task<> {
                    if (which == 0) co_await n.send(3);
                    if (which == 1) co_await w.send("three");
                    if (which == 2) static_cast<void>(co_await e.recv());
                    if (which == 3) static_cast<void>(co_await w.recv());
                },
                target, numbers, words, events);
            const std::size_t won = co_await select(std::span(cases));
            EXPECT(won == target);
            EXPECT(number == (won == 0 ? 3 : -1));
            EXPECT(word == (won == 1 ? "three" : "none"));
        }
    });
}
