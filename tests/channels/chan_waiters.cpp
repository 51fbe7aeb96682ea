#include <sluice/channels/chan.hpp>

#include <array>
#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace sluice;

// On one worker yield() lets every other task run until it waits: that is how these tests know who
// stands in a queue, and in which order.

namespace {

struct record {
    bool ended = false;
    bool failed = false;
    std::optional<int> value{};
};

task<> send_one(chan<int> ch, int v, record* r) {
    try {
        co_await ch.send(v);
    } catch (const channel_closed&) {
        r->failed = true;
    }
    r->ended = true;
}

task<> recv_one(chan<int> ch, record* r) {
    r->value = co_await ch.recv();
    r->ended = true;
}

task<> select_recv_one(chan<int> ch, chan<int> never, record* r) {
    auto got = co_await select(ch.recv(), never.recv());
    if (auto* const v = std::get_if<0>(&got)) r->value = *v;
    r->ended = true;
}

task<> select_send_one(chan<int> ch, chan<int> never, int v, record* r) {
    const auto got = co_await select(ch.send(v), never.recv());
    EXPECT(got.index() == 0);
    r->ended = true;
}

}  // namespace

TEST_CASE("chan 1.5: close wakes parked senders, whose sends fail") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(1);
        co_await ch.send(0);
        std::array<record, 5> senders;
        wait_group all;
        for (int i = 0; i < 5; ++i)
            all.go(send_one, ch, i + 1, &senders[static_cast<std::size_t>(i)]);
        co_await yield();
        ch.close();
        co_await all.wait();
        for (const record& r : senders) EXPECT(r.ended && r.failed);
        EXPECT(ch.size() == 1);
        const auto first = co_await ch.recv();
        const auto second = co_await ch.recv();
        EXPECT(first == 0);
        EXPECT(!second);
    });
}

TEST_CASE("chan 1.5: close wakes parked receivers with closed") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(2);
        std::array<record, 5> receivers;
        wait_group all;
        for (record& r : receivers) all.go(recv_one, ch, &r);
        co_await yield();
        ch.close();
        co_await all.wait();
        for (const record& r : receivers) EXPECT(r.ended && !r.value);
    });
}

TEST_CASE("chan 1.8: a sender that finds a parked receiver hands over directly, past the buffer") {
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>(4);
        record first;
        record second;
        go(recv_one, ch, &first);
        co_await yield();
        go(recv_one, ch, &second);
        co_await yield();
        EXPECT(ch.try_send(1));
        EXPECT(ch.size() == 0);
        co_await ch.send(2);
        EXPECT(ch.size() == 0);
        EXPECT(ch.try_send(3));
        EXPECT(ch.size() == 1);
        co_await yield();
        EXPECT(first.value == 1);
        EXPECT(second.value == 2);
    });
}

TEST_CASE(
    "chan 1.9: a receiver on a full buffer takes the head and moves the waiting sender's value to "
    "the tail") {
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>(3);
        for (int i = 0; i < 3; ++i) co_await ch.send(i);
        std::array<record, 3> senders;
        for (int i = 0; i < 3; ++i) {
            go(send_one, ch, 3 + i, &senders[static_cast<std::size_t>(i)]);
            co_await yield();
        }
        for (int i = 0; i < 6; ++i) {
            const auto got = i % 2 == 0 ? ch.try_recv() : std::nullopt;
            if (i % 2 == 0) {
                EXPECT(got == i);
            } else {
                const auto awaited = co_await ch.recv();
                EXPECT(awaited == i);
            }
            EXPECT(ch.size() == static_cast<std::size_t>(i < 3 ? 3 : 5 - i));
            co_await yield();
            for (int s = 0; s < 3; ++s)
                EXPECT(senders[static_cast<std::size_t>(s)].ended == (s <= i));
        }
    });
}

TEST_CASE("chan 1.10: a woken receiver has its value and cannot be barged") {
    run_on(1, []() -> task<> {
        for (const int capacity : {0, 2}) {
            const auto ch = make_chan<int>(capacity);
            record waiting;
            go(recv_one, ch, &waiting);
            co_await yield();
            EXPECT(ch.try_send(1));  // the receiver is ready, and has not run
            EXPECT(!waiting.ended);
            EXPECT(!ch.try_recv());
            const auto got = co_await select(ch.recv(), otherwise);
            EXPECT(got.index() == 1);
            ch.close();
            co_await yield();
            EXPECT(waiting.value == 1);
        }
    });
}

TEST_CASE("chan 1.10: a woken sender has sent and cannot be barged") {
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>(1);
        co_await ch.send(0);
        record waiting;
        go(send_one, ch, 1, &waiting);
        co_await yield();
        EXPECT(ch.try_recv() == 0);  // the sender is ready, and has not run
        EXPECT(!waiting.ended);
        EXPECT(!ch.try_send(2));
        ch.close();  // too late to make its send fail
        co_await yield();
        EXPECT(waiting.ended && !waiting.failed);
        EXPECT(ch.try_recv() == 1);
    });
}

TEST_CASE(
    "chan 1.11: parked receivers, select cases among them, are served first come first served") {
    for (const int capacity : {0, 3}) {
        run_on(1, [capacity]() -> task<> {
            const auto ch = make_chan<int>(capacity);
            const auto never = make_chan<int>();
            std::array<record, 8> waiting;
            for (std::size_t i = 0; i < 8; ++i) {
                if (i % 2 == 0) {
                    go(recv_one, ch, &waiting[i]);
                } else {
                    go(select_recv_one, ch, never, &waiting[i]);
                }
                co_await yield();
            }
            for (int i = 0; i < 8; ++i) EXPECT(ch.try_send(i));
            co_await yield();
            for (int i = 0; i < 8; ++i) EXPECT(waiting[static_cast<std::size_t>(i)].value == i);
        });
    }
}

TEST_CASE(
    "chan 1.11: parked senders, select cases among them, are served first come first served") {
    for (const int capacity : {0, 2}) {
        run_on(1, [capacity]() -> task<> {
            const auto ch = make_chan<int>(capacity);
            const auto never = make_chan<int>();
            for (int i = 0; i < capacity; ++i) co_await ch.send(i);
            std::array<record, 8> waiting;
            for (int i = 0; i < 8; ++i) {
                record* const r = &waiting[static_cast<std::size_t>(i)];
                if (i % 2 == 0) {
                    go(select_send_one, ch, never, capacity + i, r);
                } else {
                    go(send_one, ch, capacity + i, r);
                }
                co_await yield();
            }
            for (int i = 0; i < capacity + 8; ++i) {
                const auto got = co_await ch.recv();
                EXPECT(got == i);
            }
            co_await yield();
            for (const record& r : waiting) EXPECT(r.ended && !r.failed);
        });
    }
}

namespace {

// What a channel should be: a buffer and two lines of waiting tasks.
struct model {
    std::size_t capacity;
    std::deque<int> buffer{};
    std::deque<std::pair<record*, int>> senders{};
    std::deque<record*> receivers{};
    std::deque<std::pair<record*, record>> expected{};  // tasks that ended, and how

    void send(record* r, int v) {
        if (!receivers.empty()) {
            expected.emplace_back(receivers.front(), record{true, false, v});
            receivers.pop_front();
        } else if (buffer.size() < capacity) {
            buffer.push_back(v);
        } else {
            senders.emplace_back(r, v);
            return;
        }
        expected.emplace_back(r, record{true, false, {}});
    }

    void recv(record* r) {
        if (buffer.empty() && senders.empty()) {
            receivers.push_back(r);
            return;
        }
        if (!senders.empty()) {
            buffer.push_back(senders.front().second);
            expected.emplace_back(senders.front().first, record{true, false, {}});
            senders.pop_front();
        }
        expected.emplace_back(r, record{true, false, buffer.front()});
        buffer.pop_front();
    }

    bool sound() const {
        return (senders.empty() || receivers.empty()) && (buffer.empty() || receivers.empty()) &&
               (buffer.size() == capacity || senders.empty());
    }
};

task<> agree_with_model(std::size_t capacity, std::uint64_t seed) {
    std::minstd_rand random(static_cast<unsigned>(seed));
    const auto ch = make_chan<int>(static_cast<std::ptrdiff_t>(capacity));
    model m{capacity};
    std::deque<record> records;
    for (int step = 0; step < 2'000; ++step) {
        record* const r = &records.emplace_back();
        // Long runs of one kind fill the buffer and both lines.
        const bool sends = random() % 8 != 0 ? step / 16 % 2 == 0 : random() % 2 == 0;
        if (sends) {
            go(send_one, ch, step, r);
            m.send(r, step);
        } else {
            go(recv_one, ch, r);
            m.recv(r);
        }
        co_await yield();
        EXPECT(m.sound());
        EXPECT(ch.size() == m.buffer.size());
        for (const auto& [actual, wanted] : m.expected) {
            EXPECT(actual->ended && !actual->failed && actual->value == wanted.value);
        }
        m.expected.clear();
    }
    std::size_t waiting = 0;
    for (const record& r : records) waiting += !r.ended;
    EXPECT(waiting == m.senders.size() + m.receivers.size());
    ch.close();
    co_await yield();
    for (const auto& [sender, v] : m.senders) EXPECT(sender->failed);
    for (const record* receiver : m.receivers) EXPECT(receiver->ended && !receiver->value);
}

}  // namespace

TEST_CASE("chan 1.14: nobody waits while the buffer or a counterpart could serve him") {
    const std::uint64_t seed = test_seed();
    for (const std::size_t capacity : {0u, 1u, 2u, 5u}) {
        CAPTURE(seed, capacity);
        run_on(1, [=]() -> task<> { co_await agree_with_model(capacity, seed + capacity); });
    }
}

TEST_CASE("chan 1.14: one select may wait on both sides of a channel") {
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>();
        const auto both = [](chan<int> c, std::size_t* won) -> task<> {
            const auto got = co_await select(c.recv(), c.send(5));
            *won = got.index();
        };
        std::size_t won = 9;
        go(both, ch, &won);
        co_await yield();
        EXPECT(won == 9);
        EXPECT(ch.try_send(1));
        co_await yield();
        EXPECT(won == 0);
        EXPECT(!ch.try_recv());  // the sending side has left

        go(both, ch, &won);
        co_await yield();
        EXPECT(ch.try_recv() == 5);
        co_await yield();
        EXPECT(won == 1);
        EXPECT(!ch.try_send(1));  // the receiving side has left
    });
}
