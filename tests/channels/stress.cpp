#include <sluice/channels/chan.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <utility>
#include <variant>
#include <vector>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "crew.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

/// Which of the values 0, 1, … were sent and received, each at most once.
class ledger {
public:
    explicit ledger(std::size_t values) : sent_(values), received_(values) {}
    void sent(int v) { EXPECT(sent_[static_cast<std::size_t>(v)].exchange(true) == false); }
    void received(int v) { EXPECT(received_[static_cast<std::size_t>(v)].exchange(true) == false); }
    bool balanced() const {
        for (std::size_t i = 0; i < sent_.size(); ++i) {
            if (sent_[i] != received_[i]) return false;
        }
        return true;
    }
    std::size_t count() const {
        std::size_t n = 0;
        for (const auto& r : received_) n += r;
        return n;
    }

private:
    std::vector<std::atomic<bool>> sent_;
    std::vector<std::atomic<bool>> received_;
};

struct side {
    int sent = 0;
    int received = 0;
};

task<> face(chan<int> out, chan<int> in, int rounds, side* s) {
    for (int i = 0; i < rounds; ++i) {
        const auto got = co_await select(out.send(s->sent), in.recv());
        if (got.index() == 0) {
            ++s->sent;
        } else {
            EXPECT(std::get<1>(got) == s->received);  // in order, none lost, none twice
            ++s->received;
        }
    }
}

task<> face_at_run_time(chan<int> out, chan<int> in, int rounds, side* s) {
    for (int i = 0; i < rounds; ++i) {
        std::optional<int> value;
        std::vector<select_case> cases;
        cases.push_back(select_case(in.recv(), value));
        cases.push_back(select_case(out.send(s->sent)));
        const std::size_t won = co_await select(std::span(cases));
        if (won == 1) {
            ++s->sent;
        } else {
            EXPECT(value == s->received);
            ++s->received;
        }
    }
}

}  // namespace

TEST_CASE("select 2.5: two selects that face each other commit exactly one pair each round") {
    on_crews([](crew& c) {
        constexpr int rounds = 120'000;
        const auto a = make_chan<int>();
        const auto b = make_chan<int>();
        side left;
        side right;
        c.go(face, a, b, rounds, &left);
        c.go(face, b, a, rounds, &right);
        c.wait();
        EXPECT(left.sent == right.received);
        EXPECT(right.sent == left.received);
        EXPECT(left.sent + left.received == rounds);
        EXPECT(!a.try_recv() && !b.try_recv() && !a.try_send(1) && !b.try_send(1));
    });
}

TEST_CASE("select 2.5: a run-time select that faces a fixed one commits one pair each round") {
    on_crews([](crew& c) {
        constexpr int rounds = 30'000;
        const auto a = make_chan<int>();
        const auto b = make_chan<int>();
        side left;
        side right;
        c.go(face, a, b, rounds, &left);
        c.go(face_at_run_time, b, a, rounds, &right);
        c.wait();
        EXPECT(left.sent == right.received);
        EXPECT(right.sent == left.received);
    });
}

namespace {

constexpr int swaps_each = 10'000;

// Sends its own values and receives others', on three channels at once, until it is told to end.
task<> swap(std::array<chan<int>, 3> ch, recv_chan<> end, int me, ledger* book,
            std::atomic<int>* sending) {
    int next = me * swaps_each;
    const int last = next + swaps_each;
    for (;;) {
        const chan<int> out = next != last ? ch[static_cast<std::size_t>(next) % 3] : chan<int>();
        const auto got =
            co_await select(ch[0].recv(), out.send(next), ch[1].recv(), ch[2].recv(), end.recv());
        if (got.index() == 4) break;
        if (got.index() == 1) {
            book->sent(next++);
            if (next == last) --*sending;
        } else {
            const auto& v = got.index() == 0   ? std::get<0>(got)
                            : got.index() == 2 ? std::get<2>(got)
                                               : std::get<3>(got);
            book->received(*v);
        }
    }
}

}  // namespace

TEST_CASE("select 2.5: many that send and receive on the same channels lose and double nothing") {
    for (const int capacity : {0, 1}) {
        on_crews([capacity](crew& c) {
            constexpr int tasks = 6;
            std::array<chan<int>, 3> ch;
            for (auto& x : ch) x = make_chan<int>(capacity);
            const auto stop = make_chan<>();
            ledger book(tasks * swaps_each);
            std::atomic<int> sending{tasks};
            for (int t = 0; t < tasks; ++t) c.go(swap, ch, recv_chan<>(stop), t, &book, &sending);
            c.go(
                [](chan<> s, std::atomic<int>* left) -> task<> {
                    while (left->load() != 0) co_await yield();
                    s.close();
                },
                stop, &sending);
            c.wait();
            for (const auto& x : ch) {
                while (const auto v = x.try_recv()) book.received(*v);
            }
            EXPECT(book.balanced());
            EXPECT(book.count() == tasks * swaps_each);
        });
    }
}

namespace {

struct market {
    chan<int> ch;
    ledger* book;
    std::atomic<int>* selling;
    std::uint64_t seed;
};

constexpr int goods_each = 2'000;

// Sends with bounds that often strike; a send that was cut must not have sent.
task<> produce(market m, int me) {
    std::minstd_rand random(static_cast<unsigned>(m.seed) + static_cast<unsigned>(me));
    for (int i = 0; i < goods_each; ++i) {
        const int v = me * goods_each + i;
        const auto how = random() % 4;
        bool sent = true;
        if (how == 0) {
            const auto r = co_await within(std::chrono::microseconds(random() % 4), m.ch.send(v));
            sent = r.has_value();
        } else if (how == 1) {
            auto [ctx, cancel] = with_cancel(background());
            go(
                [](cancel_function c) -> task<> {
                    c();
                    co_return;
                },
                std::move(cancel));
            const auto r = co_await within(ctx, m.ch.send(v));
            sent = r.has_value();
        } else if (how == 2) {
            sent = m.ch.try_send(v);
        } else {
            co_await m.ch.send(v);
        }
        if (sent) m.book->sent(v);
    }
    if (--*m.selling == 0) m.ch.close();
}

task<> consume(market m, int me) {
    std::minstd_rand random(static_cast<unsigned>(m.seed) + 100 + static_cast<unsigned>(me));
    for (;;) {
        if (random() % 2 == 0) {
            const auto got = co_await within(std::chrono::microseconds(random() % 4), m.ch.recv());
            if (!got) continue;
            if (!*got) break;
            m.book->received(**got);
        } else {
            const auto got = co_await m.ch.recv();
            if (!got) break;
            m.book->received(*got);
        }
    }
}

}  // namespace

TEST_CASE("chan: producers and consumers with cancellations and a close account for every value") {
    const std::uint64_t seed = test_seed();
    for (const int capacity : {0, 1, 8}) {
        CAPTURE(seed, capacity);
        on_crews([=](crew& c) {
            constexpr int producers = 3;
            ledger book(producers * goods_each);
            std::atomic<int> selling{producers};
            const market m{make_chan<int>(capacity), &book, &selling, seed};
            for (int i = 0; i < 3; ++i) {
                c.go(produce, m, i);
                c.go(consume, m, i);
            }
            c.wait();
            EXPECT(book.balanced());
            EXPECT(m.ch.size() == 0);
        });
    }
}

namespace {

constexpr int offers_each = 4;

task<> offer(chan<int> to, chan<int> never, int me, ledger* book) {
    for (int i = 0; i < offers_each; ++i) {
        const int v = me * offers_each + i;
        try {
            if (i % 2 == 0) {
                co_await to.send(v);
            } else {
                static_cast<void>(co_await select(never.recv(), to.send(v)));
            }
        } catch (const channel_closed&) {
            co_return;
        }
        book->sent(v);
    }
}

task<> accept(chan<int> from, chan<int> never, ledger* book) {
    for (;;) {
        const auto got = co_await select(from.recv(), never.recv());
        const auto& v = std::get<0>(got);
        if (!v) break;
        book->received(*v);
    }
}

}  // namespace

TEST_CASE("chan: a close amid sends and receives: each value is received, or its send failed") {
    on_crews([](crew& c) {
        for (int round = 0; round < 1'000; ++round) {
            constexpr int senders = 3;
            const auto ch = make_chan<int>(round % 3);
            const auto other = make_chan<int>();
            ledger book(senders * offers_each);
            for (int s = 0; s < senders; ++s) {
                c.go(offer, ch, other, s, &book);
                if (s != 0) c.go(accept, ch, other, &book);
            }
            while (round % 2 == 0 && book.count() < static_cast<std::size_t>(round / 2 % 12))
                continue;
            ch.close();  // from the test's thread
            c.wait();
            EXPECT(book.balanced());
            EXPECT(!other.try_send(1));
        }
    });
}

TEST_CASE("select 2.5: several closes race for one select, which takes one of them") {
    on_crews([](crew& c) {
        for (int round = 0; round < 1'000; ++round) {
            std::array<chan<>, 4> ch;
            for (auto& x : ch) x = make_chan<>();
            c.go(
                [](std::array<chan<>, 4> x) -> task<> {
                    const auto got =
                        co_await select(x[0].recv(), x[1].recv(), x[2].recv(), x[3].recv());
                    EXPECT(!std::visit([](bool more) { return more; }, got));
                },
                ch);
            for (const auto& x : ch) {
                c.go(
                    [](chan<> one) -> task<> {
                        one.close();
                        co_return;
                    },
                    x);
            }
            c.wait();
        }
    });
}
