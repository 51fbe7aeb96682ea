#include <sluice/runtime/signals.hpp>

#include <atomic>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <system_error>

#include <unistd.h>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/spawn.hpp>

#include "catch.hpp"
#include "loopback.hpp"

using namespace loopback;
using sluice::context;
using sluice::errc;
using sluice::notify_context;
using sluice::signal_category;
using sluice::task;

namespace {

bool names(const context& ctx, int signal) {
    return ctx.cause().code() == std::error_code(signal, signal_category());
}

std::atomic<int> handled{0};

// Counts SIGUSR1 and SIGUSR2 for as long as it lives.
class own_handler {
public:
    own_handler() {
        handled = 0;
        struct sigaction action{};
        action.sa_handler = [](int) { handled.fetch_add(1); };
        ::sigaction(SIGUSR1, &action, &former_[0]);
        ::sigaction(SIGUSR2, &action, &former_[1]);
    }
    own_handler(const own_handler&) = delete;
    own_handler& operator=(const own_handler&) = delete;
    ~own_handler() {
        ::sigaction(SIGUSR1, &former_[0], nullptr);
        ::sigaction(SIGUSR2, &former_[1], nullptr);
    }

private:
    struct sigaction former_[2]{};
};

// When it returns the signals that came before have reached their contexts.
task<> let_signals_arrive() {
    auto last = notify_context({SIGURG});
    ::raise(SIGURG);
    co_await last.first.done();
}

}  // namespace

TEST_CASE("notify_context: a signal ends the context and is its cause") {
    everywhere([]() -> task<> {
        for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP}) {
            auto noted = notify_context({signal});
            EXPECT(!noted.first.err());
            ::raise(signal);
            co_await noted.first.done();
            EXPECT(noted.first.err() == errc::canceled);
            EXPECT(names(noted.first, signal));
        }
    });
}

TEST_CASE("signal_category: codes are numbers and messages are names") {
    const std::error_code code(SIGTERM, signal_category());
    CHECK(code.value() == SIGTERM);
    CHECK(code.message() == "SIGTERM (Terminated)");
    CHECK(std::error_code(SIGUSR1, signal_category()).message().rfind("SIGUSR1", 0) == 0);
    CHECK(std::error_code(1000, signal_category()).message() == "signal 1000");
    CHECK(signal_category().name() == std::string("signal"));
}

TEST_CASE("notify_context: it ends by any of its signals and by no other") {
    const own_handler mine;
    everywhere([]() -> task<> {
        auto one = notify_context({SIGUSR1});
        auto two = notify_context({SIGUSR2, SIGHUP});
        ::raise(SIGUSR2);
        co_await two.first.done();
        EXPECT(names(two.first, SIGUSR2));
        EXPECT(!one.first.err());
        ::raise(SIGUSR1);
        co_await one.first.done();
        EXPECT(names(one.first, SIGUSR1));
    });
    CHECK(handled == 0);
}

TEST_CASE("notify_context: one signal ends all contexts that listen for it") {
    everywhere([]() -> task<> {
        auto a = notify_context({SIGUSR1});
        auto b = notify_context({SIGUSR2, SIGUSR1});
        auto c = notify_context({SIGUSR1, SIGUSR1});
        ::raise(SIGUSR1);
        for (const context* const ctx : {&a.first, &b.first, &c.first}) {
            co_await ctx->done();
            EXPECT(names(*ctx, SIGUSR1));
        }
    });
}

TEST_CASE("notify_context: until it is stopped further signals are swallowed") {
    const own_handler mine;
    everywhere([]() -> task<> {
        auto noted = notify_context({SIGUSR1});
        ::raise(SIGUSR1);
        co_await noted.first.done();
        for (int i = 0; i != 10; ++i) ::raise(SIGUSR1);
        co_await let_signals_arrive();
        EXPECT(handled == 0);
    });
}

TEST_CASE("notify_context: when the last one stops the former action comes back") {
    const own_handler mine;
    everywhere([]() -> task<> {
        handled = 0;
        auto a = notify_context({SIGUSR1});
        auto b = notify_context({SIGUSR1, SIGUSR2});
        a.second();
        a.second();
        ::raise(SIGUSR1);
        EXPECT(handled == 0);
        co_await b.first.done();
        b.second();
        ::raise(SIGUSR1);
        ::raise(SIGUSR2);
        EXPECT(handled == 2);
        {
            const auto dropped = notify_context({SIGUSR1});
        }
        ::raise(SIGUSR1);
        EXPECT(handled == 3);
    });
}

TEST_CASE("notify_context: it ends although every thread of the program blocks the signal") {
    for (const sluice::driver_kind driver : drivers()) {
        sigset_t all;
        sigset_t before;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before);
        {
            sluice::runtime rt(sluice::options{.workers = 2, .driver = driver});
            rt.block_on([]() -> task<> {
                auto [ctx, stop] = notify_context({SIGUSR1});
                ::kill(::getpid(), SIGUSR1);
                co_await ctx.done();
                EXPECT(names(ctx, SIGUSR1));
            });
        }
        sigset_t after;
        ::pthread_sigmask(SIG_SETMASK, &before, &after);
        CHECK(::sigismember(&after, SIGURG) == 1);
    }
    report_expectations();
}

TEST_CASE("notify_context: once it is stopped a signal that the program blocks stays pending") {
    in_child([] {
        sigset_t awaited;
        ::sigemptyset(&awaited);
        ::sigaddset(&awaited, SIGUSR1);
        ::pthread_sigmask(SIG_BLOCK, &awaited, nullptr);
        sluice::run([awaited]() -> task<> {
            for (int round = 0; round != 1'000; ++round) {
                notify_context({SIGUSR1}).second();
                ::kill(::getpid(), SIGUSR1);  // whose action is to end the process
                const timespec patience{10, 0};
                EXPECT(::sigtimedwait(&awaited, nullptr, &patience) == SIGUSR1);
                co_await sluice::yield();
            }
        });
    });
}

TEST_CASE("notify_context: stopping ends the context and tells no signal") {
    everywhere([]() -> task<> {
        auto noted = notify_context({SIGUSR1});
        const context ctx = noted.first;
        noted.second();
        co_await ctx.done();
        EXPECT(ctx.err() == errc::canceled);
        EXPECT(ctx.cause().code() == errc::canceled);

        std::optional<std::pair<context, sluice::signal_stop_function>> let_go(
            notify_context({SIGUSR1}));
        const context other = let_go->first;
        EXPECT(!other.err());
        let_go.reset();
        EXPECT(other.err() == errc::canceled);
    });
}

TEST_CASE("notify_context: a signal from before it was made does not end it") {
    const own_handler mine;
    everywhere([]() -> task<> {
        for (int round = 0; round != 200; ++round) {
            auto before = notify_context({SIGUSR1});
            ::raise(SIGUSR1);
            before.second();
            auto after = notify_context({SIGUSR1});
            co_await let_signals_arrive();
            if (!EXPECT(!after.first.err())) co_return;
        }
    });
}

TEST_CASE("notify_context: it ends with its parent") {
    everywhere([]() -> task<> {
        const auto parent = sluice::with_cancel_cause(sluice::background());
        const auto noted = notify_context(parent.first, {SIGUSR1});
        parent.second(std::make_error_code(std::errc::owner_dead));
        co_await noted.first.done();
        EXPECT(noted.first.err() == errc::canceled);
        EXPECT(noted.first.cause().code() == std::make_error_code(std::errc::owner_dead));
    });
}

TEST_CASE("notify_context: a signal that cannot be caught is refused and changes nothing") {
    const own_handler mine;
    everywhere([]() -> task<> {
        handled = 0;
        for (const int wrong : {SIGKILL, SIGSTOP, 0, -1, 1000}) {
            bool refused = false;
            try {
                const auto noted = notify_context({SIGUSR1, wrong});
            } catch (const std::system_error& e) {
                refused = e.code() == std::make_error_condition(std::errc::invalid_argument);
            }
            EXPECT(refused);
        }
        ::raise(SIGUSR1);
        EXPECT(handled == 1);
        co_return;
    });
}

TEST_CASE("notify_context: outside a task it throws and changes nothing") {
    const own_handler mine;
    CHECK_THROWS_AS(notify_context({SIGUSR1}), std::logic_error);
    ::raise(SIGUSR1);
    CHECK(handled == 1);
}

TEST_CASE("notify_context: a signal ends an accept and a read that wait within it") {
    everywhere([]() -> task<> {
        const tcp_listener l = listener();
        const pair both = co_await connect_to(l);
        auto noted = notify_context({SIGUSR1});
        auto accepts = sluice::spawn(
            [](const tcp_listener* at, context ctx) -> task<> {
                const auto conn = co_await sluice::within(ctx, at->accept());
                EXPECT(failed_with(conn, errc::canceled));
            },
            &l, noted.first);
        auto reads = sluice::spawn(
            [](const tcp_stream* s, context ctx) -> task<> {
                char byte = 0;
                const auto n = co_await sluice::within(ctx, s->read(std::span(&byte, 1)));
                EXPECT(failed_with(n, errc::canceled));
            },
            &both.server, noted.first);
        co_await yield_times(3);
        ::raise(SIGUSR1);
        co_await accepts.join();
        co_await reads.join();
    });
}

TEST_CASE("notify_context: many made and stopped while signals rain end in order") {
    const own_handler mine;
    everywhere([]() -> task<> {
        for (int round = 0; round != rounds(2'000); ++round) {
            auto a = notify_context({SIGUSR1});
            auto b = notify_context({SIGUSR1, SIGUSR2});
            ::raise(round % 2 == 0 ? SIGUSR1 : SIGUSR2);
            if (round % 3 == 0) a.second();
            co_await b.first.done();
            EXPECT(b.first.err() == errc::canceled);
        }
    });
}
