#include <sluice/runtime/within.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/mutex.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::errc;
using sluice::task;
using sluice::within;

namespace {

template <class Op>
using result_of = typename Op::result_type;

using int_recv = decltype(sluice::chan<int>().recv());
using bounded_recv = decltype(within(1s, sluice::chan<int>().recv()));

}  // namespace

TEST_CASE("within: a T becomes result<T>, a result<T> stays one, however deep the nesting") {
    CHECK(std::is_same_v<result_of<int_recv>, std::optional<int>>);
    CHECK(std::is_same_v<result_of<bounded_recv>, sluice::result<std::optional<int>>>);
    using twice = decltype(within(sluice::background(), std::declval<bounded_recv>()));
    CHECK(std::is_same_v<result_of<twice>, sluice::result<std::optional<int>>>);
    using nothing = decltype(within(1s, sluice::sleep_for(1s)));
    CHECK(std::is_same_v<result_of<nothing>, sluice::result<>>);
    using chosen = decltype(within(1s, select(sluice::sleep_for(1s), sluice::chan<int>().recv())));
    CHECK(std::is_same_v<result_of<chosen>,
                         sluice::result<std::variant<std::monostate, std::optional<int>>>>);
    CHECK(sluice::operation<twice>);
}

TEST_CASE("within: the operation's result, where it is ready") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<int>(1);
        co_await ch.send(3);
        const auto got = co_await within(sluice::background(), ch.recv());
        EXPECT(got.has_value());
        EXPECT(got.value() == 3);
        const auto slept = co_await within(1h, sluice::sleep_for(1us));
        EXPECT(slept.has_value());
    });
}

TEST_CASE("within: a context that has ended wins over an operation that is ready") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<int>(1);
        co_await ch.send(3);
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        cancel();
        for (int i = 0; i != 100; ++i) {
            const auto got = co_await within(ctx, ch.recv());
            EXPECT(!got);
            EXPECT(got.error() == errc::canceled);
        }
        EXPECT(ch.size() == 1);
        auto [late, cancel_late] = sluice::with_timeout(sluice::background(), 0s);
        const auto got = co_await within(late, ch.recv());
        EXPECT(got.error() == errc::deadline_exceeded);
    });
}

TEST_CASE("within: a duration is asked after the operation: zero and less make a try") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<int>(1);
        for (int i = 0; i != 100; ++i) {
            const std::chrono::seconds none_left(-(i % 2));
            co_await ch.send(i);
            const auto got = co_await within(none_left, ch.recv());
            EXPECT(got.has_value());
            EXPECT(got.value() == i);
            const auto none = co_await within(0s, ch.recv());
            EXPECT(!none);
            EXPECT(none.error() == errc::deadline_exceeded);
        }
    });
}

TEST_CASE("within: an operation that waits is ended by its context or by its time") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<int>();
        const auto timed = co_await within(1ms, ch.recv());
        EXPECT(!timed);
        EXPECT(timed.error() == errc::deadline_exceeded);
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        sluice::go(
            [](sluice::cancel_function c) -> task<> {
                co_await sluice::yield();
                c();
            },
            std::move(cancel));
        const auto cut = co_await within(ctx, ch.recv());
        EXPECT(cut.error() == errc::canceled);
        auto [late, cancel_late] = sluice::with_timeout(sluice::background(), 1ms);
        const auto ended = co_await within(late, ch.recv());
        EXPECT(ended.error() == errc::deadline_exceeded);
        EXPECT(!ch.try_send(1));  // nobody is left in line
    });
}

TEST_CASE("within: nested bounds end at the first one that is up, and report its error") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<int>();
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        const auto inner = co_await within(ctx, within(1ms, ch.recv()));
        EXPECT(inner.error() == errc::deadline_exceeded);
        const auto outer = co_await within(1ms, within(ctx, within(1h, ch.recv())));
        EXPECT(outer.error() == errc::deadline_exceeded);
        cancel();
        const auto cut = co_await within(1h, within(ctx, ch.recv()));
        EXPECT(cut.error() == errc::canceled);
        const auto sent =
            co_await within(0s, within(sluice::background(), sluice::make_chan<int>(1).send(1)));
        EXPECT(sent.has_value());
    });
}

TEST_CASE("within: selects may be bounded, and bounded operations selected") {
    on_workers([]() -> task<> {
        const auto a = sluice::make_chan<int>(1);
        const auto b = sluice::make_chan<int>(1);
        const auto none = co_await within(1ms, select(a.recv(), b.recv()));
        EXPECT(!none);
        co_await b.send(2);
        const auto some = co_await within(1h, select(a.recv(), b.recv()));
        EXPECT(some.has_value());
        EXPECT(std::get<1>(*some) == 2);
        const auto raced = co_await select(within(1h, a.recv()), within(1us, b.recv()));
        EXPECT(raced.index() == 1);
        EXPECT(std::get<1>(raced).error() == errc::deadline_exceeded);
    });
}

TEST_CASE("within: exceptions of the operation pass") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<int>(1);
        ch.close();
        bool thrown = false;
        try {
            static_cast<void>(co_await within(1h, ch.send(1)));
        } catch (const sluice::channel_closed&) {
            thrown = true;
        }
        EXPECT(thrown);
    });
}

TEST_CASE("within: move-only results pass through") {
    on_workers([]() -> task<> {
        sluice::mutex mu;
        auto guard = co_await within(1h, within(sluice::background(), mu.lock()));
        EXPECT(guard.has_value());
        EXPECT(!mu.try_lock().owns_lock());
        guard->unlock();
        const auto ch = sluice::make_chan<std::unique_ptr<int>>(1);
        co_await ch.send(std::make_unique<int>(1));
        auto got = co_await within(1h, ch.recv());
        EXPECT(got.has_value());
        EXPECT(**got.value() == 1);
    });
}

TEST_CASE("within: a bound that wins leaves the sent value with the sender, which destroys it") {
    on_workers([]() -> task<> {
        const auto token = std::make_shared<int>(1);
        const auto ch = sluice::make_chan<std::shared_ptr<int>>();
        {
            const auto sent = co_await within(1us, ch.send(token));
            EXPECT(!sent);
        }
        EXPECT(token.use_count() == 1);
    });
}

TEST_CASE(
    "within: a context that has ended wins, also over what is ready when a wait starts over") {
    run_on(1, []() -> task<> {
        sluice::mutex mu;
        const auto ch = sluice::make_chan<int>(1);
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        auto held = co_await mu.lock();
        auto waiter = sluice::spawn(
            [](sluice::mutex* m, sluice::chan<int> values, sluice::context c) -> task<bool> {
                const auto got = co_await within(c, select(m->lock(), values.recv()));
                co_return got.has_value();
            },
            &mu, ch, ctx);
        co_await sluice::yield();
        held.unlock();
        auto again = mu.try_lock();  // faster than the waiter
        EXPECT(again.owns_lock());
        cancel();
        EXPECT(ch.try_send(1));
        const bool got = co_await waiter.join();
        EXPECT(!got);
        EXPECT(ch.size() == 1);
    });
}
