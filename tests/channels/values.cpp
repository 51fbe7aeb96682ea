#include <sluice/channels/chan.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "deadlocked.hpp"
#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

/// Knows its address, so that a copy by memory or a second destruction shows, and counts the
/// living.
class tracked {
public:
    explicit tracked(int id) noexcept : id_(id) { ++living; }
    tracked(tracked&& other) noexcept : id_(std::exchange(other.id_, -1)) {
        other.check();
        ++living;
    }
    tracked& operator=(tracked&& other) noexcept {
        check();
        other.check();
        id_ = std::exchange(other.id_, -1);
        return *this;
    }
    ~tracked() {
        check();
        self_ = nullptr;
        --living;
    }
    int id() const noexcept {
        check();
        return id_;
    }

    static inline std::atomic<int> living{0};

private:
    void check() const noexcept { EXPECT(self_ == this); }

    const tracked* self_ = this;
    int id_;
};

using pointer = std::unique_ptr<int>;

/// A value of N bytes that can tell whether it is whole.
template <std::size_t N>
struct block {
    std::array<std::uint8_t, N> bytes{};
    static block of(std::size_t seed) {
        block b;
        std::iota(b.bytes.begin(), b.bytes.end(), static_cast<std::uint8_t>(seed * 7));
        return b;
    }
    friend bool operator==(const block&, const block&) = default;
};

template <std::size_t N>
task<> pass_blocks(std::ptrdiff_t capacity) {
    const auto ch = make_chan<block<N>>(capacity);
    go(
        [](chan<block<N>> to) -> task<> {
            for (std::size_t i = 0; i < 200; ++i) co_await to.send(block<N>::of(i));
            to.close();
        },
        ch);
    std::size_t n = 0;
    for (;;) {
        const auto got = co_await ch.recv();
        if (!got) break;
        EXPECT(*got == block<N>::of(n));
        ++n;
    }
    EXPECT(n == 200);
}

}  // namespace

TEST_CASE("values: move-only ones pass through every form of send and receive") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<pointer>(1);
        const auto other = make_chan<pointer>();
        co_await ch.send(std::make_unique<int>(1));
        const auto a = co_await ch.recv();
        EXPECT(a && **a == 1);
        EXPECT(ch.try_send(std::make_unique<int>(2)));
        const auto b = ch.try_recv();
        EXPECT(b && **b == 2);
        const auto sent = co_await select(other.recv(), ch.send(std::make_unique<int>(3)));
        EXPECT(sent.index() == 1);
        const auto c = co_await select(other.recv(), ch.recv());
        EXPECT(c.index() == 1 && **std::get<1>(c) == 3);
        const auto bounded = co_await within(1h, ch.send(std::make_unique<int>(4)));
        EXPECT(bounded.has_value());
        const auto d = co_await within(1h, ch.recv());
        EXPECT(d && ***d == 4);
        go([](chan<pointer> to) -> task<> { co_await to.send(std::make_unique<int>(5)); }, other);
        std::optional<pointer> e;
        std::vector<select_case> cases;
        cases.push_back(select_case(other.recv(), e));
        cases.push_back(select_case(ch.recv()));
        const std::size_t won = co_await select(std::span(cases));
        EXPECT(won == 0 && **e == 5);
    });
}

TEST_CASE("values: a try_send that fails leaves the value as it was") {
    const auto full = make_chan<pointer>(1);
    pointer value = std::make_unique<int>(1);
    int* const address = value.get();
    CHECK(full.try_send(std::make_unique<int>(0)));
    CHECK_FALSE(full.try_send(std::move(value)));
    CHECK(value.get() == address);
    CHECK_FALSE(chan<pointer>().try_send(std::move(value)));
    CHECK(value.get() == address);
    full.close();
    CHECK_THROWS_AS(full.try_send(std::move(value)), channel_closed);
    CHECK(value.get() == address);
    const auto free = make_chan<pointer>(1);
    CHECK(free.try_send(std::move(value)));
    CHECK(value == nullptr);
}

TEST_CASE("values: a send copies an lvalue and leaves it alone") {
    on_workers([]() -> task<> {
        const std::string text(100, 'x');
        const auto ch = make_chan<std::string>(2);
        co_await ch.send(text);
        EXPECT(ch.try_send(text));
        EXPECT(text.size() == 100);
        const auto a = co_await ch.recv();
        const auto b = co_await ch.recv();
        EXPECT(a == text && b == text);
    });
}

TEST_CASE("values: plain bytes of any size arrive whole") {
    for (const std::ptrdiff_t capacity : {0, 1, 3}) {
        on_workers([capacity]() -> task<> {
            co_await pass_blocks<1>(capacity);
            co_await pass_blocks<3>(capacity);
            co_await pass_blocks<4>(capacity);
            co_await pass_blocks<8>(capacity);
            co_await pass_blocks<12>(capacity);
            co_await pass_blocks<16>(capacity);
            co_await pass_blocks<129>(capacity);
            co_await pass_blocks<4096>(capacity);
        });
    }
}

TEST_CASE("values: they stand aligned in the buffer and in operations") {
    struct alignas(16) aligned {
        std::uint8_t byte;
        bool stands() const { return reinterpret_cast<std::uintptr_t>(this) % 16 == 0; }
        aligned() noexcept : byte(1) { EXPECT(stands()); }
        aligned(aligned&& other) noexcept : byte(other.byte) { EXPECT(stands()); }
    };
    on_workers([]() -> task<> {
        const auto ch = make_chan<aligned>(3);
        for (int round = 0; round < 5; ++round) {
            co_await ch.send(aligned());
            EXPECT(ch.try_send(aligned()));
            const auto got = co_await ch.recv();
            EXPECT(got && got->byte == 1);
            EXPECT(ch.try_recv());
        }
    });
}

TEST_CASE("values: each one is destroyed once, wherever it got to") {
    on_workers([]() -> task<> {
        for (const int capacity : {0, 2}) {
            const auto ch = make_chan<tracked>(capacity);
            wait_group all;
            for (int i = 0; i < 6; ++i) {
                all.go(
                    [](chan<tracked> to, int id) -> task<> {
                        try {
                            co_await to.send(tracked(id));
                        } catch (const channel_closed&) {
                        }
                    },
                    ch, i);
            }
            co_await yield();
            static_cast<void>(ch.try_recv());
            ch.close();  // some received, some buffered, some refused
            co_await all.wait();
        }
    });
    CHECK(tracked::living == 0);
}

TEST_CASE("values: a case that loses keeps its value, and destroys it with the select") {
    on_workers([]() -> task<> {
        const auto full = make_chan<tracked>(1);
        const auto ready = make_chan<int>(1);
        co_await full.send(tracked(0));
        for (int i = 0; i < 50; ++i) {
            go([](chan<int> to) -> task<> { co_await to.send(1); },
               ready);  // the select waits, or not
            if (i % 2 == 0) co_await yield();
            {
                auto racing = select(full.send(tracked(1)), ready.recv(), full.send(tracked(2)));
                EXPECT(tracked::living == 3);
                const auto got = co_await std::move(racing);
                EXPECT(got.index() == 1);
                EXPECT(tracked::living == 3);
            }
            EXPECT(tracked::living == 1);
            const auto none = co_await select(full.send(tracked(3)), otherwise);
            EXPECT(none.index() == 1);
            const auto late = co_await within(0s, full.send(tracked(4)));
            EXPECT(!late);
            EXPECT(tracked::living == 1);
        }
        const auto kept = full.try_recv();
        EXPECT(kept && kept->id() == 0);
    });
    CHECK(tracked::living == 0);
}

TEST_CASE("values: a receive that loses takes nothing") {
    on_workers([]() -> task<> {
        const auto ch = make_chan<tracked>(1);
        const auto other = make_chan<tracked>(1);
        for (int i = 0; i < 200; ++i) {
            co_await ch.send(tracked(1));
            co_await other.send(tracked(2));
            {
                const auto got = co_await select(ch.recv(), other.recv());
                EXPECT((got.index() == 0 ? std::get<0>(got) : std::get<1>(got))->id() ==
                       static_cast<int>(got.index()) + 1);
                EXPECT(ch.size() + other.size() == 1);
            }
            EXPECT(tracked::living == 1);
            static_cast<void>(ch.try_recv());
            static_cast<void>(other.try_recv());
            EXPECT(tracked::living == 0);
        }
    });
    CHECK(tracked::living == 0);
}

TEST_CASE("values: operations that are never awaited destroy what they hold") {
    const auto ch = make_chan<tracked>(1);
    {
        auto unused = ch.send(tracked(1));
        auto moved = std::move(unused);
        auto nested = select(std::move(moved), ch.recv());
        auto further = std::move(nested);
        std::vector<select_case> cases;
        cases.push_back(select_case(std::move(further)));
        CHECK(tracked::living >= 1);
    }
    CHECK(tracked::living == 0);
    CHECK(ch.size() == 0);
}

TEST_CASE("values: tasks that are cut destroy the values they offer, and those they were given") {
    const auto ch = make_chan<tracked>();
    const auto report = deadlock_of([ch]() -> task<> {
        go([](chan<tracked> to) -> task<> { co_await to.send(tracked(1)); }, make_chan<tracked>());
        go(
            [](chan<tracked> to, chan<tracked> too) -> task<> {
                static_cast<void>(co_await select(to.send(tracked(2)), too.send(tracked(3))));
            },
            make_chan<tracked>(), make_chan<tracked>());
        static_cast<void>(co_await ch.recv());
    });
    CHECK_THAT(report, Catch::Matchers::ContainsSubstring("send on a channel"));
    CHECK(tracked::living == 0);

    struct stop : std::exception {};
    CHECK_THROWS_AS(run_on(1,
                           [ch]() -> task<> {
                               const auto receive = [](chan<tracked> from) -> task<> {
                                   static_cast<void>(co_await from.recv());
                                   EXPECT(false && "ran after the main task had failed");
                               };
                               const auto race = [](chan<tracked> from,
                                                    chan<tracked> other) -> task<> {
                                   static_cast<void>(co_await select(from.recv(), other.recv()));
                                   EXPECT(false && "ran after the main task had failed");
                               };
                               go(receive, ch);
                               co_await yield();
                               go(race, ch, make_chan<tracked>());
                               co_await yield();
                               EXPECT(ch.try_send(tracked(1)));  // given, and never looked at
                               EXPECT(ch.try_send(tracked(2)));
                               throw stop();
                           }),
                    stop);
    CHECK(tracked::living == 0);
}

TEST_CASE("values: a runtime that shuts down destroys what its tasks offer") {
    const auto ch = make_chan<tracked>(2);
    {
        runtime rt(options{.workers = 2});
        for (int i = 0; i < 10; ++i) {
            rt.go([](chan<tracked> to, int id) -> task<> { co_await to.send(tracked(id)); }, ch, i);
        }
        const auto first = rt.block_on(
            [](chan<tracked> from) -> task<int> {
                auto got = co_await from.recv();
                co_return got->id();
            },
            ch);
        CHECK(first >= 0);
        static_cast<void>(rt.shutdown(0s));
    }
    CHECK(tracked::living == static_cast<int>(ch.size()));
    while (ch.try_recv()) continue;
    CHECK(tracked::living == 0);
    report_expectations();
}
