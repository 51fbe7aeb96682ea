#include <sluice/channels/chan.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "deadlocked.hpp"
#include "support.hpp"

using namespace sluice;
using Catch::Matchers::ContainsSubstring;

namespace {

task<bool> send_throws(chan<int> ch, int value) {
    bool thrown = false;
    try {
        co_await ch.send(value);
    } catch (const channel_closed&) {
        thrown = true;
    }
    co_return thrown;
}

template <class Chan>
bool try_send_throws(const Chan& ch, int value) {
    try {
        static_cast<void>(ch.try_send(value));
    } catch (const channel_closed&) {
        return true;
    }
    return false;
}

}  // namespace

TEST_CASE("chan 1.1: a negative or oversized capacity is an error at construction") {
    CHECK_THROWS_AS(make_chan<int>(-1), std::logic_error);
    CHECK_THROWS_AS(make_chan<>(-1), std::logic_error);
    CHECK_THROWS_AS(make_chan<int>(std::numeric_limits<std::ptrdiff_t>::min()), std::logic_error);
    CHECK_THROWS_AS(make_chan<int>(std::numeric_limits<std::ptrdiff_t>::max()), std::logic_error);
    CHECK_THROWS_AS(make_chan<>(std::numeric_limits<std::ptrdiff_t>::max()), std::logic_error);
    CHECK_THROWS_AS(make_chan<int>(std::ptrdiff_t{1} << 31), std::logic_error);
    // Small enough as a number, too large in bytes.
    using large = std::array<char, 1 << 20>;
    CHECK_THROWS_AS(make_chan<large>(std::numeric_limits<std::int32_t>::max()), std::logic_error);
}

TEST_CASE("chan 1.2: on a nil channel the non-blocking forms say not ready") {
    const chan<int> nil;
    CHECK_FALSE(nil);
    CHECK_FALSE(nil.try_send(1));
    CHECK(nil.try_recv() == std::nullopt);
    const chan<> bare;
    CHECK_FALSE(bare.try_send());
    CHECK_FALSE(bare.try_recv());
    const send_chan<int> in = nil;
    const recv_chan<int> out = nil;
    CHECK_FALSE(in.try_send(1));
    CHECK(out.try_recv() == std::nullopt);
    on_workers([]() -> task<> {
        const chan<int> none;
        const auto got = co_await select(none.recv(), none.send(1), otherwise);
        EXPECT(got.index() == 2);
    });
}

TEST_CASE("chan 1.2: recv on a nil channel waits for ever") {
    const auto report = deadlock_of([]() -> task<> {
        const chan<int> nil;
        co_await nil.recv();
        EXPECT(false && "received from a nil channel");
    });
    CHECK_THAT(report, ContainsSubstring("recv on a nil channel"));
}

TEST_CASE("chan 1.2: send on a nil channel waits for ever") {
    const auto report = deadlock_of([]() -> task<> {
        const send_chan<int> nil;
        co_await nil.send(1);
        EXPECT(false && "sent to a nil channel");
    });
    CHECK_THAT(report, ContainsSubstring("send on a nil channel"));
}

TEST_CASE("chan 1.3: closing a nil channel and closing twice are errors") {
    const chan<int> nil;
    CHECK_THROWS_AS(nil.close(), nil_channel);
    CHECK_THROWS_AS(send_chan<>().close(), nil_channel);
    const auto ch = make_chan<int>(1);
    ch.close();
    CHECK_THROWS_AS(ch.close(), channel_closed);
    const send_chan<int> other_handle = ch;
    CHECK_THROWS_AS(other_handle.close(), channel_closed);
    STATIC_REQUIRE(std::is_base_of_v<std::logic_error, nil_channel>);
    STATIC_REQUIRE(std::is_base_of_v<std::logic_error, channel_closed>);
}

TEST_CASE("chan 1.4: sending on a closed channel is an error whatever the buffer space") {
    const auto unbuffered = make_chan<int>();
    const auto empty = make_chan<int>(2);
    const auto half = make_chan<int>(2);
    const auto full = make_chan<int>(1);
    CHECK(half.try_send(1));
    CHECK(full.try_send(1));
    const std::array<chan<int>, 4> all{unbuffered, empty, half, full};
    for (const auto& ch : all) ch.close();
    on_workers([&]() -> task<> {
        for (const auto& ch : all) {
            const bool thrown = co_await send_throws(ch, 5);
            EXPECT(thrown);
        }
    });
    CHECK(empty.size() == 0);
    CHECK(half.size() == 1);
    CHECK(full.size() == 1);
}

TEST_CASE("chan 1.4: try_send on a closed channel is an error too") {
    for (const int capacity : {0, 1, 3}) {
        const auto ch = make_chan<int>(capacity);
        const send_chan<int> in = ch;
        if (capacity != 0) CHECK(ch.try_send(1));
        ch.close();
        CHECK(try_send_throws(ch, 2));
        CHECK(try_send_throws(in, 2));
        CHECK(ch.size() == (capacity != 0 ? 1 : 0));
    }
    const auto bare = make_chan<>(1);
    bare.close();
    CHECK_THROWS_AS(bare.try_send(), channel_closed);
}

TEST_CASE("chan 1.6: a closed channel delivers its buffered values first, then closed for ever") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(3);
        for (int i = 1; i <= 3; ++i) co_await ch.send(i);
        ch.close();
        for (int i = 1; i <= 3; ++i) {
            const auto got = co_await ch.recv();
            EXPECT(got == i);
        }
        for (int i = 0; i < 300; ++i) {
            const auto got = co_await ch.recv();
            EXPECT(!got);
            EXPECT(!ch.try_recv());
        }
        const auto bare = make_chan<>(1);
        co_await bare.send();
        bare.close();
        const bool first = co_await bare.recv();
        const bool second = co_await bare.recv();
        EXPECT(first);
        EXPECT(!second);
    });
}

TEST_CASE("chan 1.7: size counts buffered values only, capacity is fixed, both are 0 for nil") {
    const chan<int> nil;
    CHECK(nil.size() == 0);
    CHECK(nil.capacity() == 0);
    CHECK(make_chan<int>().capacity() == 0);
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>(2);
        for (int i = 0; i < 5; ++i)
            go([](chan<int> to, int v) -> task<> { co_await to.send(v); }, ch, i);
        co_await yield();
        EXPECT(ch.size() == 2);  // three senders wait
        EXPECT(ch.capacity() == 2);
        const auto unbuffered = make_chan<int>();
        go([](chan<int> to) -> task<> { co_await to.send(1); }, unbuffered);
        co_await yield();
        EXPECT(unbuffered.size() == 0);
        for (int i = 5; i != 0; --i) {
            EXPECT(ch.size() == static_cast<std::size_t>(i < 2 ? i : 2));
            static_cast<void>(co_await ch.recv());
        }
        EXPECT(ch.size() == 0);
        EXPECT(ch.capacity() == 2);
        static_cast<void>(co_await unbuffered.recv());
        co_await ch.send(1);
        ch.close();
        EXPECT(ch.size() == 1);
        EXPECT(ch.capacity() == 2);
    });
}

TEST_CASE("chan 1.12: a received slot is destroyed at once") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<std::shared_ptr<int>>(4);
        std::vector<std::weak_ptr<int>> seen;
        for (int i = 0; i < 4; ++i) {
            auto value = std::make_shared<int>(i);
            seen.emplace_back(value);
            co_await ch.send(std::move(value));
        }
        for (std::size_t i = 0; i < 4; ++i) {
            EXPECT(seen[i].use_count() == 1);
            auto got = i % 2 == 0 ? ch.try_recv() : std::nullopt;
            if (!got) got = co_await ch.recv();
            EXPECT(seen[i].use_count() == 1);
            got.reset();
            EXPECT(seen[i].expired());
        }
        EXPECT(ch.capacity() == 4);  // the channel lives
    });
}

TEST_CASE("chan 1.13: a channel without values counts normally") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<>(3);
        EXPECT(ch.capacity() == 3);
        for (std::size_t i = 1; i <= 3; ++i) {
            co_await ch.send();
            EXPECT(ch.size() == i);
        }
        EXPECT(!ch.try_send());
        const auto got = co_await select(ch.send(), otherwise);
        EXPECT(got.index() == 1);
        EXPECT(ch.try_recv());
        EXPECT(ch.size() == 2);
        ch.close();
        int left = 0;
        for (;;) {
            const bool more = co_await ch.recv();
            if (!more) break;
            ++left;
        }
        EXPECT(left == 2);
    });
}

TEST_CASE("chan 1.13: a channel without values allocates no slots") {
    // At one byte a slot these would need more than a process can address.
    constexpr std::ptrdiff_t most = std::numeric_limits<std::int32_t>::max();
    std::vector<chan<>> all;
    for (int i = 0; i < 70'000; ++i) all.push_back(make_chan<>(most));
    CHECK(all.back().capacity() == static_cast<std::size_t>(most));
    CHECK(all.back().try_send());
    CHECK(all.back().size() == 1);
}

TEST_CASE("chan 1.17: ranging stops after close and drain") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<int>(2);
        go(
            [](send_chan<int> out) -> task<> {
                for (int i = 0; i < 1'000; ++i) co_await out.send(i);
                out.close();
            },
            ch);
        int expected = 0;
        while (const auto v = co_await ch.recv()) {
            EXPECT(*v == expected);
            ++expected;
        }
        EXPECT(expected == 1'000);
    });
}

TEST_CASE("chan 1.17: ranging over nil waits for ever") {
    const auto report = deadlock_of([]() -> task<> {
        const recv_chan<int> nil;
        int rounds = 0;
        while (const auto v = co_await nil.recv()) ++rounds;
        EXPECT(false && "the loop ended");
        EXPECT(rounds == 0);
    });
    CHECK_THAT(report, ContainsSubstring("recv on a nil channel"));
}

TEST_CASE("chan: handles to one channel are equal, and views share it") {
    const auto ch = make_chan<int>(2);
    const auto other = make_chan<int>(2);
    const auto copy = ch;
    CHECK(copy == ch);
    CHECK(ch != other);
    CHECK(chan<int>() == chan<int>());
    CHECK(ch != chan<int>());
    const send_chan<int> in = ch;
    const recv_chan<int> out = ch;
    CHECK(in.try_send(7));
    CHECK(out.size() == 1);
    CHECK(out.try_recv() == 7);
    CHECK(in.capacity() == 2);
}

TEST_CASE("chan: the last handle frees the channel with what is in its buffer") {
    std::weak_ptr<int> seen;
    {
        recv_chan<std::shared_ptr<int>> out;
        {
            const auto ch = make_chan<std::shared_ptr<int>>(3);
            auto value = std::make_shared<int>(1);
            seen = value;
            CHECK(ch.try_send(std::move(value)));
            out = ch;
        }
        CHECK_FALSE(seen.expired());
        auto moved = std::move(out);
        CHECK(moved.size() == 1);
    }
    CHECK(seen.expired());
}

TEST_CASE("chan: a task that never has to wait lets others run all the same") {
    run_on(1, []() -> task<> {
        const auto ch = make_chan<int>(1);
        bool other_ran = false;
        go(
            [](bool* ran) -> task<> {
                *ran = true;
                co_return;
            },
            &other_ran);
        int steps = 0;
        while (!other_ran && steps < 100'000) {
            co_await ch.send(1);
            static_cast<void>(co_await ch.recv());
            ++steps;
        }
        EXPECT(other_ran);
    });
}
