// Cancelling against completing, under the explorer.

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>

#include <cstdint>

#include "crew.hpp"

using namespace sluice;
using sluice::model::check;
using sluice::model::crew;

namespace {

task<> call(const cancel_function* cancel) {
    (*cancel)();
    co_return;
}

}  // namespace

TEST_CASE("a value and a cancellation race for one select, and the value is not lost") {
    model::require_exhausted([] {
        auto value = make_chan<std::int64_t>(1);
        auto [ctx, cancel] = with_cancel(background());
        bool took = false;
        auto waiter = [&, watched = ctx]() -> task<> {
            const auto won = co_await select(value.recv(), watched.done());
            took = won.index() == 0;
        };
        auto sender = [&]() -> task<> { co_await value.send(1); };
        crew workers;
        workers.run(waiter(), sender(), call(&cancel));
        check(value.size() == (took ? 0u : 1u), "the value was lost or doubled");
    });
}

TEST_CASE("a cancellation ends a select that nothing else ends") {
    model::require_exhausted([] {
        auto value = make_chan<std::int64_t>();
        auto [ctx, cancel] = with_cancel(background());
        auto waiter = [&, watched = ctx]() -> task<> {
            const auto won = co_await select(value.recv(), watched.done());
            check(won.index() == 1, "a value from nowhere");
        };
        crew workers;
        workers.run(waiter(), call(&cancel));
    });
}

TEST_CASE("a cancellation from a thread that is no worker ends a wait") {
    model::require_exhausted([] {
        auto [ctx, cancel] = with_cancel(background());
        auto waiter = [watched = ctx]() -> task<> { co_await watched.done(); };
        crew workers;
        workers.run_beside(cancel, waiter());
    });
}

TEST_CASE("a child of a context that ends meanwhile has ended") {
    model::require_exhausted([] {
        auto [ctx, cancel] = with_cancel(background());
        auto heir = [watched = ctx]() -> task<> {
            auto [child, end] = with_cancel(watched);
            co_await child.done();
            check(static_cast<bool>(child.err()), "done without an error");
        };
        crew workers;
        workers.run(heir(), call(&cancel));
    });
}

TEST_CASE("after_func: either it runs or stop() says that it will not") {
    model::require_exhausted([] {
        auto [ctx, cancel] = with_cancel(background());
        int runs = 0;
        bool stopped = false;
        auto registrar = [&, watched = ctx]() -> task<> {
            auto stop = after_func(watched, [&runs]() -> task<> {
                ++runs;
                co_return;
            });
            stopped = stop();
            co_return;
        };
        crew workers;
        workers.run(registrar(), call(&cancel));
        check(runs == (stopped ? 0 : 1), "it ran and was stopped, or neither");
    });
}

TEST_CASE("of two cancellations one gives the cause, which stays") {
    model::require_exhausted([] {
        auto [ctx, cancel] = with_cancel_cause(background());
        failure seen;
        auto one = [&, watched = ctx]() -> task<> {
            cancel(errc::deadline_exceeded);
            seen = watched.cause();
            co_return;
        };
        auto other = [&]() -> task<> {
            cancel(errc::canceled);
            co_return;
        };
        crew workers;
        workers.run(one(), other());
        check(ctx.cause() == seen, "the cause has changed");
    });
}
