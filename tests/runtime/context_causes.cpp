// Which error and cause are left of a context, whoever of its line ended first: see
// docs/go-tests.md.
#include <sluice/runtime/context.hpp>

#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::errc;
using sluice::failure;
using sluice::task;
using sluice::with_cancel;
using sluice::with_cancel_cause;
using sluice::with_timeout;
using sluice::with_timeout_cause;

namespace {

const failure of_parent(std::make_error_code(std::errc::io_error));
const failure of_child(std::make_error_code(std::errc::no_such_process));
const failure too_slow(std::make_error_code(std::errc::stream_timeout));

/// A context at the end of a history, and what must be left of it.
struct ending {
    const char* name;
    context (*made)();
    std::error_code err;
    failure cause;
};

const ending endings[] = {
    {"background lives", background, {}, {}},
    {"todo lives", sluice::todo, {}, {}},
    {"a plain cancel",
     [] {
         auto [ctx, cancel] = with_cancel(background());
         cancel();
         return ctx;
     },
     errc::canceled, errc::canceled},
    {"a cancel with a cause",
     [] {
         auto [ctx, cancel] = with_cancel_cause(background());
         cancel(of_parent);
         return ctx;
     },
     errc::canceled, of_parent},
    {"a cancel with an empty cause",
     [] {
         auto [ctx, cancel] = with_cancel_cause(background());
         cancel(failure());
         return ctx;
     },
     errc::canceled, errc::canceled},
    {"the parent with a cause, then the child with another",
     [] {
         auto [parent, cancel_parent] = with_cancel_cause(background());
         auto [ctx, cancel] = with_cancel_cause(parent);
         cancel_parent(of_parent);
         cancel(of_child);
         return ctx;
     },
     errc::canceled, of_parent},
    {"the child with a cause, then the parent with another",
     [] {
         auto [parent, cancel_parent] = with_cancel_cause(background());
         auto [ctx, cancel] = with_cancel_cause(parent);
         cancel(of_child);
         cancel_parent(of_parent);
         return ctx;
     },
     errc::canceled, of_child},
    {"the parent with a cause, then the child without",
     [] {
         auto [parent, cancel_parent] = with_cancel_cause(background());
         auto [ctx, cancel] = with_cancel(parent);
         cancel_parent(of_parent);
         cancel();
         return ctx;
     },
     errc::canceled, of_parent},
    {"the child without a cause, then the parent with one",
     [] {
         auto [parent, cancel_parent] = with_cancel_cause(background());
         auto [ctx, cancel] = with_cancel(parent);
         cancel();
         cancel_parent(of_parent);
         return ctx;
     },
     errc::canceled, errc::canceled},
    {"the parent without a cause, then the child with one",
     [] {
         auto [parent, cancel_parent] = with_cancel(background());
         auto [ctx, cancel] = with_cancel_cause(parent);
         cancel_parent();
         cancel(of_child);
         return ctx;
     },
     errc::canceled, errc::canceled},
    {"the child with a cause, then the parent without",
     [] {
         auto [parent, cancel_parent] = with_cancel(background());
         auto [ctx, cancel] = with_cancel_cause(parent);
         cancel(of_child);
         cancel_parent();
         return ctx;
     },
     errc::canceled, of_child},
    {"a timeout, then a cancel",
     [] {
         auto [ctx, cancel] = with_timeout(background(), 0s);
         cancel();
         return ctx;
     },
     errc::deadline_exceeded, errc::deadline_exceeded},
    {"a cancel before the timeout",
     [] {
         auto [ctx, cancel] = with_timeout(background(), 1000h);
         cancel();
         return ctx;
     },
     errc::canceled, errc::canceled},
    {"a timeout with a cause, then a cancel",
     [] {
         auto [ctx, cancel] = with_timeout_cause(background(), 0s, too_slow);
         cancel();
         return ctx;
     },
     errc::deadline_exceeded, too_slow},
    {"a cancel before the timeout with a cause",
     [] {
         auto [ctx, cancel] = with_timeout_cause(background(), 1000h, too_slow);
         cancel();
         return ctx;
     },
     errc::canceled, errc::canceled},
    {"the child's timeout with a cause, then the parent with another",
     [] {
         auto [parent, cancel_parent] = with_cancel_cause(background());
         auto [ctx, cancel] = with_timeout_cause(parent, 0s, too_slow);
         cancel_parent(of_parent);
         return ctx;
     },
     errc::deadline_exceeded, too_slow},
    {"the parent with a cause before the child's timeout with another",
     [] {
         auto [parent, cancel_parent] = with_cancel_cause(background());
         auto [ctx, cancel] = with_timeout_cause(parent, 1h, too_slow);
         cancel_parent(of_parent);
         return ctx;
     },
     errc::canceled, of_parent},
    {"without_cancel of background lives", [] { return without_cancel(background()); }, {}, {}},
    {"without_cancel of one that is cancelled with a cause lives",
     [] {
         auto [parent, cancel] = with_cancel_cause(background());
         context ctx = without_cancel(parent);
         cancel(of_parent);
         return ctx;
     },
     {},
     {}},
    {"without_cancel of one that expired with a cause lives",
     [] {
         auto [parent, cancel] = with_timeout_cause(background(), 0s, too_slow);
         return without_cancel(parent);
     },
     {},
     {}},
};

}  // namespace

TEST_CASE("context 3.6: every order in which a parent and a child end leaves its error and cause") {
    on_workers([]() -> task<> {
        for (const ending& e : endings) {
            const context ctx = e.made();
            expect(ctx.err() == e.err, e.name, __FILE__, __LINE__);
            expect(ctx.cause() == e.cause, e.name, __FILE__, __LINE__);
        }
        co_return;
    });
}

TEST_CASE("context 3.6: a cause that is looked for while it is recorded is there in whole") {
    for (int round = 0; round != 300; ++round) {
        auto [ctx, cancel] = with_cancel_cause(background());
        std::thread canceller([&c = cancel] { c(of_parent); });
        failure seen;
        while (!(seen = ctx.cause())) std::this_thread::yield();
        canceller.join();
        REQUIRE(seen == of_parent);
    }
}

TEST_CASE("context 3.8: a child made while its parent is cancelled ends with it, and its cause") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 100; ++round) {
            auto [parent, cancel] = with_cancel_cause(background());
            sluice::wait_group canceller;
            canceller.go([&c = cancel] { c(of_parent); });
            if (round % 2 == 0) co_await sluice::yield();
            auto [child, cancel_child] = with_cancel(parent);
            co_await child.done();
            EXPECT(child.err() == errc::canceled);
            EXPECT(child.cause() == of_parent);
            co_await canceller.wait();
        }
    });
}

TEST_CASE("context 3.8: so does a child that is made on another thread than the cancel") {
    for (int round = 0; round != 300; ++round) {
        auto [parent, cancel] = with_cancel_cause(background());
        std::atomic<bool> start = false;
        std::thread canceller([&start, &c = cancel] {
            while (!start) std::this_thread::yield();
            c(of_parent);
        });
        start = true;
        auto [child, cancel_child] = with_cancel(parent);
        while (!child.err()) std::this_thread::yield();
        canceller.join();
        REQUIRE(child.err() == errc::canceled);
        REQUIRE(child.cause() == of_parent);
    }
}
