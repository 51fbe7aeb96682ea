// What Go's own tests of select assert beyond the numbered promises: see docs/go-tests.md.
#include <sluice/runtime/select.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <numeric>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include <malloc.h>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "crew.hpp"
#include "support.hpp"

using namespace sluice;

namespace {

// What stands beside the case that is looked at: none of it is ever ready.
constexpr unsigned noise_kinds = 4;

void add_noise(std::vector<select_case>& cases, unsigned which, const chan<int>& never,
               std::optional<int>& untouched) {
    const chan<int> nil;
    if (which & 1) cases.push_back(select_case(never.send(1)));
    if (which & 2) cases.push_back(select_case(never.recv(), untouched));
    if (which & 4) cases.push_back(select_case(nil.send(1)));
    if (which & 8) cases.push_back(select_case(nil.recv(), untouched));
}

/// One select with noise before and behind a case of the channel; gives what it took.
task<std::optional<std::size_t>> select_amid(std::optional<select_case> looked_at, unsigned before,
                                             unsigned behind, bool with_default) {
    const auto never = make_chan<int>();
    std::optional<int> untouched = -1;
    std::vector<select_case> cases;
    add_noise(cases, before, never, untouched);
    const std::size_t place = cases.size();
    if (looked_at) cases.push_back(std::move(*looked_at));
    add_noise(cases, behind, never, untouched);
    std::optional<std::size_t> won;
    if (with_default) {
        won = co_await select(std::span(cases), otherwise);
    } else {
        won = co_await select(std::span(cases));
    }
    EXPECT(untouched == -1);
    EXPECT(!never.try_send(1));
    EXPECT(!never.try_recv());
    if (won) EXPECT(*won == place);
    co_return won;
}

}  // namespace

TEST_CASE("select: the one case that is ready is taken, whatever stands around it") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(1);
        int n = 0;
        for (unsigned noise = 0; noise != 1u << (2 * noise_kinds); ++noise) {
            const unsigned before = noise % (1u << noise_kinds);
            const unsigned behind = noise >> noise_kinds;
            for (const bool with_default : {false, true}) {
                const auto sent =
                    co_await select_amid(select_case(ch.send(n)), before, behind, with_default);
                EXPECT(sent.has_value());
                std::optional<int> value;
                const auto got = co_await select_amid(select_case(ch.recv(), value), before, behind,
                                                      with_default);
                EXPECT(got.has_value());
                EXPECT(value == n);
                ++n;
            }
            const auto none = co_await select_amid(std::nullopt, before, behind, true);
            EXPECT(!none);
        }
    });
}

namespace {

constexpr std::size_t noise_places = 8;
using noise_channels = std::array<chan<int>, noise_places>;

/// A case that is never ready: sends and receives in turn.
template <std::size_t Place>
auto noise(const noise_channels& on) {
    if constexpr (Place % 2 == 0) {
        return on[Place].send(1);
    } else {
        return on[Place].recv();
    }
}

/// select(noise..., op, noise...), or the same with `otherwise` behind it.
template <std::size_t... Before, std::size_t... Behind, class Op, class... Default>
auto select_in_noise(const noise_channels& on, std::index_sequence<Before...>, Op op,
                     std::index_sequence<Behind...>, const Default&... otherwise_or_not) {
    return select(noise<Before>(on)..., std::move(op), noise<sizeof...(Before) + Behind>(on)...,
                  otherwise_or_not...);
}

/// A case at one place of a fixed list. `nils` says at which of the others nil channels stand, as
/// bits; at the rest it is one that nobody else uses.
template <std::size_t Before, std::size_t Behind>
task<> take_at_a_place(chan<int> ch, unsigned nils) {
    constexpr std::make_index_sequence<Before> before;
    constexpr std::make_index_sequence<Behind> behind;
    const auto never = make_chan<int>();
    noise_channels on;
    for (std::size_t i = 0; i != on.size(); ++i) {
        if (((nils >> i) & 1) == 0) on[i] = never;
    }
    const int n = static_cast<int>(nils);
    const auto sent = co_await select_in_noise(on, before, ch.send(n), behind);
    EXPECT(sent.index() == Before);
    const auto got = co_await select_in_noise(on, before, ch.recv(), behind);
    EXPECT(got.index() == Before && std::get<Before>(got) == n);
    const auto none = co_await select_in_noise(on, before, ch.recv(), behind, otherwise);
    EXPECT(none.index() == Before + 1 + Behind);
    const auto sent_in_try = co_await select_in_noise(on, before, ch.send(n), behind, otherwise);
    EXPECT(sent_in_try.index() == Before);
    const auto tried = co_await select_in_noise(on, before, ch.recv(), behind, otherwise);
    EXPECT(tried.index() == Before && std::get<Before>(tried) == n);
    EXPECT(!never.try_send(1));
    EXPECT(!never.try_recv());
}

}  // namespace

TEST_CASE("select: so is it in a fixed list, at its ends and amid every mix of nil channels") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(1);
        for (unsigned nils = 0; nils != 1u << noise_places; ++nils) {
            co_await take_at_a_place<0, 8>(ch, nils);
            co_await take_at_a_place<4, 4>(ch, nils);
            co_await take_at_a_place<8, 0>(ch, nils);
        }
        for (unsigned nils = 0; nils != 1u << 2; ++nils) {
            co_await take_at_a_place<0, 1>(ch, nils);
            co_await take_at_a_place<1, 0>(ch, nils);
            co_await take_at_a_place<1, 1>(ch, nils);
        }
        co_await take_at_a_place<0, 0>(ch, 0);
    });
}

namespace {

using receiver = task<> (*)(chan<int>);
using sender = task<> (*)(chan<int>);

task<> recv_plainly(chan<int> ch) {
    const auto v = co_await ch.recv();
    EXPECT(v == 1);
}
task<> recv_by_one_case(chan<int> ch) {
    const auto got = co_await select(ch.recv());
    EXPECT(std::get<0>(got) == 1);
}
task<> recv_by_two_cases(chan<int> ch) {
    const auto other = make_chan<int>();
    const auto got = co_await select(ch.recv(), other.recv());
    EXPECT(got.index() == 0 && std::get<0>(got) == 1);
}
task<> recv_at_run_time(chan<int> ch) {
    std::optional<int> value;
    std::vector<select_case> cases;
    cases.push_back(select_case(ch.recv(), value));
    const std::size_t won = co_await select(std::span(cases));
    EXPECT(won == 0 && value == 1);
}
task<> send_plainly(chan<int> ch) {
    co_await ch.send(1);
}
task<> send_by_one_case(chan<int> ch) {
    const auto got = co_await select(ch.send(1));
    EXPECT(got.index() == 0);
}
task<> send_by_two_cases(chan<int> ch) {
    const auto other = make_chan<int>();
    const auto got = co_await select(ch.send(1), other.send(1));
    EXPECT(got.index() == 0);
}
task<> send_at_run_time(chan<int> ch) {
    std::vector<select_case> cases;
    cases.push_back(select_case(ch.send(1)));
    const std::size_t won = co_await select(std::span(cases));
    EXPECT(won == 0);
}

}  // namespace

TEST_CASE("select: every form of send meets every form of receive, whichever comes first") {
    on_workers([]() -> task<> {
        for (const receiver r :
             {recv_plainly, recv_by_one_case, recv_by_two_cases, recv_at_run_time}) {
            for (const sender s :
                 {send_plainly, send_by_one_case, send_by_two_cases, send_at_run_time}) {
                for (const bool receiver_first : {true, false}) {
                    const auto ch = make_chan<int>();
                    wait_group both;
                    both.go(receiver_first ? r : s, ch);
                    co_await yield();
                    both.go(receiver_first ? s : r, ch);
                    co_await both.wait();
                }
            }
        }
    });
}

TEST_CASE("select 2.11: a case that leaves the middle of a line leaves its neighbours in it") {
    on_workers([]() -> task<> {
        const auto line = make_chan<int>();
        const auto other = make_chan<int>();
        const auto left = make_chan<>();
        wait_group all;
        std::atomic<int> received = 0;
        const auto take_one = [](chan<int> from, std::atomic<int>* n) -> task<> {
            const auto v = co_await from.recv();
            EXPECT(v == 1);
            ++*n;
        };
        const auto give_up = [](chan<int> from, chan<int> instead, chan<> out) -> task<> {
            const auto got = co_await select(from.recv(), instead.recv(), from.recv());
            EXPECT(got.index() == 1);
            co_await out.send();
        };
        for (int i = 0; i < 5; ++i) {
            all.go(take_one, line, &received);
            co_await yield();
            all.go(give_up, line, other, left);
            co_await yield();
        }
        for (int i = 0; i < 5; ++i) {
            co_await other.send(1);
            static_cast<void>(co_await left.recv());
        }
        for (int i = 0; i < 5; ++i) co_await line.send(1);
        co_await all.wait();
        EXPECT(received == 5);
        EXPECT(!line.try_send(1));
    });
}

namespace {

// Two tasks that do each round at the same time.
class rounds {
public:
    task<> begin() {
        const int mine = 1 + arrived_.fetch_add(1);
        while (arrived_.load() < mine + mine % 2) co_await yield();
    }

private:
    std::atomic<int> arrived_ = 0;
};

// Which channels of a round are ready at any moment: the first until the second is.
struct moving {
    std::vector<std::pair<chan<int>, chan<int>>> all;
    bool by_close;

    explicit moving(bool close) : by_close(close) {
        for (int i = 0; i < 20'000; ++i) {
            all.emplace_back(make_chan<int>(1), make_chan<int>(by_close ? 0 : 1));
            EXPECT(all.back().first.try_send(1));
        }
    }
};

task<> move_readiness(rounds* r, const moving* m) {
    for (std::size_t i = 0; i != m->all.size(); ++i) {
        const auto& [from, to] = m->all[i];
        co_await r->begin();
        for (std::atomic<std::size_t> spin = 0; spin < i % 32; ++spin) continue;
        if (m->by_close) {
            to.close();
        } else {
            EXPECT(to.try_send(1));
        }
        static_cast<void>(from.try_recv());
    }
}

task<> try_either(rounds* r, const moving* m) {
    for (std::size_t i = 0; i != m->all.size(); ++i) {
        const auto& [from, to] = m->all[i];
        co_await r->begin();
        const auto got = co_await select(to.recv(), from.recv(), otherwise);
        EXPECT(got.index() != 2);
    }
}

task<> close_and_empty(rounds* r, const moving* m) {
    for (const auto& [ch, unused] : m->all) {
        co_await r->begin();
        ch.close();
        static_cast<void>(ch.try_recv());
    }
}

task<> try_the_first(rounds* r, const moving* m) {
    for (const auto& [ch, unused] : m->all) {
        co_await r->begin();
        const auto got = co_await select(ch.recv(), otherwise);
        EXPECT(got.index() == 0);
    }
}

}  // namespace

TEST_CASE(
    "select 2.3: a try sees one moment of all its channels: it misses no readiness that moves") {
    for (const bool by_close : {false, true}) {
        on_crews([by_close](crew& c) {
            rounds r;
            const moving m(by_close);
            c.go(try_either, &r, &m);
            c.go(move_readiness, &r, &m);
            c.wait();
        });
    }
}

TEST_CASE(
    "select 2.3: a try on a channel with a value that is closed before it is emptied finds it "
    "ready") {
    on_crews([](crew& c) {
        rounds r;
        const moving m(true);
        c.go(try_the_first, &r, &m);
        c.go(close_and_empty, &r, &m);
        c.wait();
    });
}

TEST_CASE("select 2.8: two that both send and receive on one channel never get their own value") {
    for (const int capacity : {0, 10}) {
        on_crews([capacity](crew& c) {
            const auto ch = make_chan<int>(capacity);
            for (int me = 0; me < 2; ++me) {
                c.go(
                    [](chan<int> both, int mine) -> task<> {
                        const bool direct = both.capacity() == 0;
                        for (int i = 0; i < 2'000; ++i) {
                            std::optional<int> value;
                            if (mine == 0 || i % 2 == 0) {
                                const auto got = co_await select(both.send(mine), both.recv());
                                if (got.index() == 1) value = std::get<1>(got);
                            } else {
                                const auto got = co_await select(both.recv(), both.send(mine));
                                if (got.index() == 0) value = std::get<0>(got);
                            }
                            if (direct) EXPECT(value != mine);
                        }
                    },
                    ch, me);
            }
            c.wait();
        });
    }
}

namespace {

constexpr int stress_values = 3'000;
using four_channels = std::array<chan<int>, 4>;

// Sends, or receives, so many values on each of the channels by selects, in the order given; a
// channel that has had them all is switched off.
task<> select_on_all(four_channels ch, std::array<std::size_t, 4> order, bool sends) {
    std::array<int, 4> done{};
    for (int i = 0; i < 4 * stress_values; ++i) {
        std::size_t won = 9;
        if (sends) {
            const auto got = co_await select(ch[order[0]].send(1), ch[order[1]].send(1),
                                             ch[order[2]].send(1), ch[order[3]].send(1));
            won = got.index();
        } else {
            const auto got = co_await select(ch[order[0]].recv(), ch[order[1]].recv(),
                                             ch[order[2]].recv(), ch[order[3]].recv());
            won = got.index();
        }
        const std::size_t which = order[won];
        if (++done[which] == stress_values) ch[which] = chan<int>();
    }
    for (const int n : done) EXPECT(n == stress_values);
}

}  // namespace

TEST_CASE("select 2.5: senders, receivers and selects over all channels, at once, come out even") {
    on_crews([](crew& c) {
        const four_channels ch{make_chan<int>(), make_chan<int>(), make_chan<int>(2),
                               make_chan<int>(3)};
        for (const auto& one : ch) {
            c.go(
                [](chan<int> to) -> task<> {
                    for (int i = 0; i < stress_values; ++i) co_await to.send(1);
                },
                one);
            c.go(
                [](chan<int> from) -> task<> {
                    for (int i = 0; i < stress_values; ++i) static_cast<void>(co_await from.recv());
                },
                one);
        }
        c.go(select_on_all, ch, std::array<std::size_t, 4>{3, 2, 0, 1}, true);
        c.go(select_on_all, ch, std::array<std::size_t, 4>{0, 1, 2, 3}, false);
        c.wait();
        for (const auto& one : ch) EXPECT(one.size() == 0);
    });
}

TEST_CASE("select: 100,000 that wait, with a case that is never ready, leave no memory behind") {
    on_workers([]() -> task<> {
        constexpr int rounds = 20'000;
        const auto ch = make_chan<int>();
        const auto never = make_chan<int>();
        const auto in_use = [] { return ::mallinfo2().uordblks; };
        std::size_t before = 0;
        for (int pass = 0; pass < 5; ++pass) {
            if (pass == 1) before = in_use();
            wait_group sender_ends;
            sender_ends.go(
                [](chan<int> to) -> task<> {
                    for (int i = 0; i < rounds; ++i) co_await to.send(i);
                },
                ch);
            for (int i = 0; i < rounds; ++i) {
                const auto got = co_await select(ch.recv(), never.recv());
                EXPECT(got.index() == 0);
            }
            co_await sender_ends.wait();
        }
        EXPECT(in_use() < before + 100'000);
    });
}

TEST_CASE("select: leaving a line costs the same however long it is") {
    // If it were a walk, this would take minutes.
    run_on(1, []() -> task<> {
        constexpr std::size_t tasks = 30'000;
        constexpr int rounds = 10;
        const auto common = make_chan<>();
        std::vector<chan<>> own;
        wait_group all;
        for (std::size_t i = 0; i < tasks; ++i) {
            own.push_back(make_chan<>());
            all.go(
                [](chan<> line, chan<> mine) -> task<> {
                    for (int r = 0; r < rounds; ++r) {
                        const auto got = co_await select(line.recv(), mine.recv());
                        EXPECT(got.index() == 1);
                    }
                },
                common, own.back());
        }
        for (int r = 0; r < rounds; ++r) {
            for (const auto& ch : own) co_await ch.send();
        }
        co_await all.wait();
        EXPECT(!common.try_send());
    });
}

TEST_CASE("select 2.2: of two ready sends on one channel each is taken now and then") {
    on_workers([]() -> task<> {
        constexpr int n = 400;
        const auto ch = make_chan<int>(n);
        for (int i = 0; i < n; ++i) {
            const auto got = co_await select(ch.send(1), ch.send(0));
            EXPECT(got.index() < 2);
        }
        int ones = 0;
        while (const auto v = ch.try_recv()) ones += *v;
        EXPECT(ones > n / 10 && ones < n - n / 10);
    });
}

TEST_CASE("select 2.7: of two sends on one channel that wait, each goes now and then") {
    on_workers([]() -> task<> {
        constexpr int n = 400;
        const auto ch = make_chan<int>();
        sluice::wait_group group;
        group.go(
            [](chan<int> to) -> task<> {
                for (int i = 0; i < n; ++i) {
                    const auto got = co_await select(to.send(1), to.send(0));
                    EXPECT(got.index() < 2);
                }
            },
            ch);
        int ones = 0;
        for (int i = 0; i < n; ++i) {
            co_await yield();
            const auto v = co_await ch.recv();
            ones += *v;
        }
        EXPECT(ones > n / 10 && ones < n - n / 10);
        co_await group.wait();
    });
}
