// Channels under the explorer.

#include <sluice/channels/chan.hpp>

#include <optional>

#include "crew.hpp"

using namespace sluice;
using sluice::model::check;
using sluice::model::crew;

TEST_CASE("a value goes from sender to receiver, and what was written before it is seen") {
    for (const int capacity : {0, 1}) {
        model::require_exhausted([capacity] {
            auto ch = make_chan<std::int64_t>(capacity);
            detail::plain<int> written = 0;
            auto sender = [&]() -> task<> {
                written = 7;
                co_await ch.send(1);
            };
            auto receiver = [&]() -> task<> {
                const auto v = co_await ch.recv();
                check(v == 1, "another value arrived");
                check(written == 7, "what the sender wrote was not seen");
            };
            crew workers;
            workers.run(sender(), receiver());
        });
    }
}

TEST_CASE("each value arrives once, and those of one sender in their order") {
    model::require_exhausted([] {
        auto ch = make_chan<std::int64_t>(1);
        std::int64_t sum = 0;
        auto sender = [&]() -> task<> {
            co_await ch.send(1);
            co_await ch.send(2);
            co_await ch.send(3);
            ch.close();
        };
        auto receiver = [&]() -> task<> {
            std::int64_t last = 0;
            while (const auto v = co_await ch.recv()) {
                check(*v > last, "the order was lost");
                last = *v;
                sum += *v;
            }
        };
        crew workers;
        workers.run(sender(), receiver(), receiver());
        check(sum == 6, "a value was lost or doubled");
    });
}

TEST_CASE("a close wakes who waits to receive, and what is buffered comes first") {
    model::require_exhausted([] {
        auto ch = make_chan<std::int64_t>(1);
        auto closer = [&]() -> task<> {
            co_await ch.send(1);
            ch.close();
        };
        auto receiver = [&]() -> task<> {
            const auto first = co_await ch.recv();
            check(first == 1, "the value was lost");
            const auto second = co_await ch.recv();
            check(!second, "a value from nowhere");
        };
        crew workers;
        workers.run(closer(), receiver());
    });
}

TEST_CASE("a sender that waits is woken by a close, and its value stays with it") {
    model::require_exhausted([] {
        auto ch = make_chan<std::int64_t>();
        bool thrown = false;
        auto sender = [&]() -> task<> {
            try {
                co_await ch.send(1);
            } catch (const channel_closed&) {
                thrown = true;
            }
        };
        auto closer = [&]() -> task<> {
            ch.close();
            co_return;
        };
        crew workers;
        workers.run(sender(), closer());
        check(thrown, "a send on a closed channel succeeded");
    });
}

TEST_CASE("a thread that is no worker sends to a task that waits or comes later") {
    model::require_exhausted([] {
        auto ch = make_chan<std::int64_t>(1);
        detail::plain<int> written = 0;
        auto receiver = [&]() -> task<> {
            const auto v = co_await ch.recv();
            check(v == 1, "another value arrived");
            check(written == 7, "what the sender wrote was not seen");
        };
        crew workers;
        const auto sender = [&] {
            written = 7;
            check(ch.try_send(1), "there was no room");
        };
        workers.run_beside(sender, receiver());
    });
}
