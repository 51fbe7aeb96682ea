// The commit of select under the explorer.

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>

#include <cstdint>
#include <variant>

#include "crew.hpp"

using namespace sluice;
using sluice::model::check;
using sluice::model::crew;

TEST_CASE("two selects that face each other at two channels agree on one of them") {
    model::require_exhausted([] {
        auto a = make_chan<std::int64_t>();
        auto b = make_chan<std::int64_t>();
        std::size_t first = 9;
        std::size_t second = 9;
        auto one = [&]() -> task<> {
            const auto won = co_await select(a.send(1), b.recv());
            first = won.index();
        };
        auto other = [&]() -> task<> {
            const auto won = co_await select(a.recv(), b.send(2));
            second = won.index();
        };
        crew workers;
        workers.run(one(), other());
        check(first == second, "one has sent what the other has not received");
    });
}

TEST_CASE("a channel that is closed and then drained looks ready at every moment") {
    model::require_exhausted([] {
        crew workers;
        auto ch = make_chan<std::int64_t>(1);
        check(ch.try_send(1), "there was no room");
        auto closer = [&]() -> task<> {
            ch.close();
            const auto left = co_await ch.recv();
            check(left == 1, "the value was lost");
        };
        workers.run_beside([&] { check(ch.recv().may_be_ready(), "it looked empty and open"); },
                           closer());
    });
}

TEST_CASE("a select that waits takes one of two values, and the other one stays") {
    model::require_exhausted([] {
        auto a = make_chan<std::int64_t>(1);
        auto b = make_chan<std::int64_t>(1);
        std::size_t won = 9;
        auto chooser = [&]() -> task<> {
            const auto got = co_await select(a.recv(), b.recv());
            won = got.index();
        };
        auto sender = [](chan<std::int64_t> to) -> task<> { co_await to.send(1); };
        crew workers;
        workers.run(chooser(), sender(a), sender(b));
        check(a.size() + b.size() == 1, "a value was lost or doubled");
        check(won == (a.size() == 0 ? 0u : 1u), "the winner is not the one that gave the value");
    });
}

TEST_CASE("a value that comes while a select still enlists is whole") {
    model::require_exhausted([] {
        auto a = make_chan<detail::plain<int>>();
        auto b = make_chan<detail::plain<int>>();
        auto chooser = [&]() -> task<> {
            const auto got = co_await select(a.recv(), b.recv());
            std::visit([&](const auto& v) { check(*v == 7, "another value arrived"); }, got);
        };
        auto sender = [&]() -> task<> { co_await a.send(7); };
        crew workers;
        workers.run(chooser(), sender());
    });
}

TEST_CASE("two selects at one channel share its values") {
    model::require_sound(
        [] {
            auto a = make_chan<std::int64_t>();
            auto b = make_chan<std::int64_t>();
            std::int64_t sum = 0;
            auto chooser = [&]() -> task<> {
                const auto got = co_await select(a.recv(), b.recv());
                std::visit([&](auto v) { sum += *v; }, got);
            };
            auto sender = [&]() -> task<> {
                co_await a.send(1);
                co_await b.send(2);
            };
            crew workers;
            workers.run(chooser(), chooser(), sender());
            check(sum == 3, "a value was lost or doubled");
        },
        model::by_chance());
}

TEST_CASE("a select with otherwise leaves no trace at its channels") {
    model::require_exhausted([] {
        auto a = make_chan<std::int64_t>(1);
        bool took = false;
        auto trier = [&]() -> task<> {
            const auto got = co_await select(a.recv(), otherwise);
            took = got.index() == 0;
        };
        auto sender = [&]() -> task<> { co_await a.send(1); };
        crew workers;
        workers.run(trier(), sender());
        check(a.size() == (took ? 0u : 1u), "a value was lost or doubled");
    });
}

TEST_CASE("a close decides a select, beside a value that comes at the same time") {
    model::require_exhausted([] {
        auto a = make_chan<std::int64_t>();
        auto b = make_chan<std::int64_t>(1);
        bool took = false;
        auto chooser = [&]() -> task<> {
            const auto got = co_await select(a.recv(), b.recv());
            took = got.index() == 1;
            std::visit([&](auto v) { check(v.has_value() == took, "closed, with a value"); }, got);
        };
        auto closer = [&]() -> task<> {
            a.close();
            co_return;
        };
        auto sender = [&]() -> task<> { co_await b.send(1); };
        crew workers;
        workers.run(chooser(), closer(), sender());
        check(b.size() == (took ? 0u : 1u), "a value was lost or doubled");
    });
}
