#include <sluice/patterns/actor_group.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/signals.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::actor_group;
using sluice::background;
using sluice::context;
using sluice::errc;
using sluice::failure;
using sluice::result;
using sluice::task;

namespace {

const std::error_code io_error = std::make_error_code(std::errc::io_error);
const std::error_code broken_pipe = std::make_error_code(std::errc::broken_pipe);

task<result<>> until(context ctx, std::string name, std::vector<std::string>* ended) {
    co_await ctx.done();
    ended->push_back(name);
    co_return sluice::fail(ctx.err());
}

task<result<>> fails_after(std::chrono::nanoseconds time, std::error_code code) {
    co_await sluice::sleep_for(time);
    co_return sluice::fail(code);
}

task<> returns_after(std::chrono::nanoseconds time) {
    co_await sluice::sleep_for(time);
}

task<> throws_after(std::chrono::nanoseconds time, std::string text) {
    co_await sluice::sleep_for(time);
    throw std::runtime_error(text);
}

void nothing(const failure&) {}

/// An actor that works until it is interrupted, and notes both.
void add_noted(actor_group& to, std::string name, std::vector<std::string>* interrupted,
               std::vector<std::string>* ended) {
    auto work = sluice::with_cancel_cause(background());
    to.add([ctx = work.first, name, ended] { return until(ctx, name, ended); },
           [name, interrupted, cancel = std::move(work.second)](const failure& why) {
               interrupted->push_back(name + ": " + why.message());
               cancel(why);
           });
}

/// What run() throws; empty if it throws nothing.
task<std::string> thrown_by_run(actor_group* actors) {
    std::string text;
    try {
        static_cast<void>(co_await actors->run());
    } catch (const std::runtime_error& e) {
        text = e.what();
    }
    co_return text;
}

/// A producer, a consumer that ends with the producer's channel, and a counter; `ctx` ends them.
struct plant {
    int made = 0;
    int used = 0;
    int beats = 0;
};

task<result<>> produce(context ctx, sluice::chan<int> out, plant* p) {
    std::error_code why;
    while (!why) {
        const auto sent = co_await within(ctx, out.send(p->made));
        if (sent) ++p->made;
        if (!sent) why = sent.error();
        if (p->made == 20) break;
    }
    out.close();
    if (why) co_return sluice::fail(why);
    co_return {};
}

task<> consume(sluice::chan<int> in, plant* p) {
    while (auto v = co_await in.recv()) {
        EXPECT(*v == p->used);
        ++p->used;
        co_await sluice::yield();
    }
}

task<> beat(context ctx, plant* p) {
    do {
        ++p->beats;
        co_await sluice::yield();
    } while (!ctx.err());
}

task<result<>> run_plant(context ctx, plant* p) {
    actor_group actors;
    const auto values = sluice::make_chan<int>(2);
    auto producing = sluice::with_cancel_cause(background());
    auto beating = sluice::with_cancel_cause(background());
    actors.add([c = producing.first, values, p] { return produce(c, values, p); },
               std::move(producing.second));
    actors.add([values, p] { return consume(values, p); }, nothing);
    actors.add([c = beating.first, p] { return beat(c, p); }, std::move(beating.second));
    actors.add(sluice::context_actor(ctx));
    return actors.run();
}

task<> whole_plant() {
    plant p;
    const auto why = co_await run_plant(background(), &p);
    EXPECT(why.has_value());
    EXPECT((p.made == 20 && p.used == 20));
    EXPECT(p.beats >= 1);
}

}  // namespace

TEST_CASE("actor_group: a program of four actors that ends by itself, in any order of the tasks") {
    simulated(whole_plant, 1'000);
}

TEST_CASE("actor_group: the same on real workers") {
    on_real_workers([]() -> task<> {
        for (int round = 0; round != 100; ++round) co_await whole_plant();
    });
}

TEST_CASE("actor_group: whenever its context ends, all end, and what was produced is consumed") {
    simulated_cancelled([](context ctx) -> task<> {
        plant p;
        const auto why = co_await run_plant(ctx, &p);
        EXPECT(p.used == p.made);
        EXPECT((why.has_value() || why.error() == errc::canceled));
        if (why) EXPECT(p.made == 20);
        if (!ctx.err()) EXPECT(why.has_value());
    });
}

TEST_CASE("actor_group 8.1: without actors run returns at once") {
    on_workers([]() -> task<> {
        actor_group actors;
        const auto why = co_await actors.run();
        EXPECT(why.has_value());
    });
}

TEST_CASE("actor_group 8.1: it is empty after run, and may be filled again") {
    simulated([]() -> task<> {
        actor_group actors;
        int ran = 0;
        actors.add([&ran] { ++ran; }, nothing);
        const auto one = co_await actors.run();
        const auto none = co_await actors.run();
        EXPECT((one.has_value() && none.has_value() && ran == 1));
        actors.add([] { return result<>(sluice::fail(io_error)); }, nothing);
        const auto two = co_await actors.run();
        EXPECT(!two && two.error() == io_error);
    });
}

TEST_CASE("actor_group 8.2: all start together, and nothing starts before run") {
    simulated([]() -> task<> {
        actor_group actors;
        int started = 0;
        for (int i = 0; i != 5; ++i) {
            actors.add(
                [&started]() -> task<> {
                    ++started;
                    co_await sluice::sleep_for(1s);
                    EXPECT(started == 5);
                },
                nothing);
        }
        co_await sluice::sleep_for(1min);
        EXPECT(started == 0);
        const auto why = co_await actors.run();
        EXPECT(why.has_value());
        EXPECT(started == 5);
    });
}

TEST_CASE("actor_group 8.2: the first to return ends the group, even without an error") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        std::vector<std::string> interrupted;
        std::vector<std::string> ended;
        actor_group actors;
        add_noted(actors, "a", &interrupted, &ended);
        actors.add([] { return returns_after(3s); }, nothing);
        add_noted(actors, "b", &interrupted, &ended);
        const auto why = co_await actors.run();
        EXPECT(why.has_value());
        EXPECT(sluice::now() - start == 3s);
        EXPECT(interrupted == std::vector<std::string>{"a: ", "b: "});
        EXPECT(ended.size() == 2);
    });
}

TEST_CASE("actor_group 8.3: then each is interrupted, in the order added, with the first's error") {
    simulated([]() -> task<> {
        std::vector<std::string> interrupted;
        std::vector<std::string> ended;
        actor_group actors;
        add_noted(actors, "a", &interrupted, &ended);
        add_noted(actors, "b", &interrupted, &ended);
        bool own = false;
        actors.add([] { return fails_after(1s, io_error); },
                   [&own](const failure& why) { own = why == failure(io_error); });
        add_noted(actors, "c", &interrupted, &ended);
        actors.add([] { return fails_after(2s, broken_pipe); }, nothing);
        const auto why = co_await actors.run();
        EXPECT(!why && why.error() == io_error);
        const std::string text = io_error.message();
        EXPECT(interrupted == std::vector<std::string>{"a: " + text, "b: " + text, "c: " + text});
        EXPECT(own);  // the one that ended first is told too
        EXPECT(ended.size() == 3);
    });
}

TEST_CASE("actor_group 8.4: run waits for all and gives the first error") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        actor_group actors;
        actors.add([] { return fails_after(5s, broken_pipe); }, nothing);
        actors.add([] { return fails_after(1s, io_error); }, nothing);
        actors.add([] { return returns_after(1h); }, nothing);
        const auto why = co_await actors.run();
        EXPECT(!why && why.error() == io_error);
        EXPECT(sluice::now() - start == 1h);
    });
}

TEST_CASE("actor_group 8.4: error codes after an end without one are dropped") {
    simulated([]() -> task<> {
        actor_group actors;
        actors.add([] { return returns_after(1s); }, nothing);
        actors.add([] { return fails_after(2s, io_error); }, nothing);
        const auto why = co_await actors.run();
        EXPECT(why.has_value());
    });
}

TEST_CASE("actor_group: an exception ends the group, is the cause, and comes out of run") {
    simulated([]() -> task<> {
        std::vector<std::string> interrupted;
        std::vector<std::string> ended;
        actor_group actors;
        add_noted(actors, "a", &interrupted, &ended);
        actors.add([] { return throws_after(1s, "no luck"); }, nothing);
        const std::string text = co_await thrown_by_run(&actors);
        EXPECT(text == "no luck");
        EXPECT(interrupted == std::vector<std::string>{"a: no luck"});
        EXPECT(ended.size() == 1);
    });
}

TEST_CASE("actor_group: a later exception is not lost, and is thrown after all have ended") {
    simulated([]() -> task<> {
        const auto start = sluice::now();
        actor_group actors;
        actors.add([] { return fails_after(1s, io_error); }, nothing);
        actors.add([] { return throws_after(3s, "second"); }, nothing);
        actors.add([] { return throws_after(2s, "first"); }, nothing);
        actors.add([] { return returns_after(9s); }, nothing);
        const std::string text = co_await thrown_by_run(&actors);
        EXPECT(text == "first");
        EXPECT(sluice::now() - start == 9s);
    });
}

TEST_CASE("actor_group: an interrupt that throws keeps nobody else from being interrupted") {
    simulated([]() -> task<> {
        std::vector<std::string> interrupted;
        std::vector<std::string> ended;
        actor_group actors;
        add_noted(actors, "a", &interrupted, &ended);
        actors.add([] { return returns_after(1s); },
                   [](const failure&) { throw std::runtime_error("bad interrupt"); });
        add_noted(actors, "b", &interrupted, &ended);
        const std::string text = co_await thrown_by_run(&actors);
        EXPECT(text == "bad interrupt");
        EXPECT(interrupted.size() == 2);
        EXPECT(ended.size() == 2);
    });
}

TEST_CASE("actor_group: actors may be plain, move-only, and coroutines with captures") {
    on_workers([]() -> task<> {
        actor_group actors;
        auto value = std::make_unique<int>(7);
        int seen = 0;
        actors.add(
            [v = std::move(value), &seen]() -> task<result<>> {
                co_await sluice::yield();
                seen += *v;
                co_return {};
            },
            nothing);
        const auto plain = sluice::make_chan<>();
        actors.add([plain]() -> task<> { static_cast<void>(co_await plain.recv()); },
                   [plain](const failure&) { plain.close(); });
        const auto why = co_await actors.run();
        EXPECT(why.has_value());
        EXPECT(seen == 7);
    });
}

TEST_CASE(
    "actor_group: what the actors own is gone after run, and is not touched if it never runs") {
    on_workers([]() -> task<> {
        const auto token = std::make_shared<int>(0);
        {
            actor_group actors;
            for (int i = 0; i != 3; ++i) {
                actors.add([token] { ++*token; }, [token](const failure&) {});
            }
        }
        EXPECT((*token == 0 && token.use_count() == 1));
        actor_group actors;
        actors.add(
            [token]() -> task<> {
                co_await sluice::yield();
                ++*token;
            },
            [token](const failure&) {});
        const auto why = co_await actors.run();
        EXPECT(why.has_value());
        EXPECT((*token == 1 && token.use_count() == 1));
    });
}

TEST_CASE("actor_group 8.5: a context actor gives the context's error") {
    simulated([]() -> task<> {
        const auto timed = sluice::with_timeout(background(), 5s);
        actor_group one;
        one.add(sluice::context_actor(timed.first));
        const auto late = co_await one.run();
        EXPECT(!late && late.error() == errc::deadline_exceeded);

        auto [ctx, cancel] = with_cancel(background());
        actor_group two;
        two.add(sluice::context_actor(ctx));
        cancel();
        const auto cancelled = co_await two.run();
        EXPECT(!cancelled && cancelled.error() == errc::canceled);
    });
}

TEST_CASE("actor_group 8.5: a context actor is interrupted when another one ends") {
    simulated([]() -> task<> {
        actor_group actors;
        actors.add(sluice::context_actor(background()));
        actors.add([] { return fails_after(1s, io_error); }, nothing);
        const auto why = co_await actors.run();
        EXPECT(!why && why.error() == io_error);
    });
}

TEST_CASE("actor_group 8.5: a signal actor gives an error that names the signal") {
    on_real_workers([]() -> task<> {
        for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) {
            std::vector<std::string> interrupted;
            std::vector<std::string> ended;
            actor_group actors;
            actors.add(sluice::signal_actor(background(), {SIGUSR1, SIGUSR2, SIGTERM}));
            add_noted(actors, "a", &interrupted, &ended);
            ::raise(signal);  // caught from the making of the actor on
            const auto why = co_await actors.run();
            const std::error_code code(signal, sluice::signal_category());
            EXPECT(!why && why.error() == code);
            EXPECT(interrupted == std::vector<std::string>{"a: " + code.message()});
            EXPECT(ended.size() == 1);
        }
    });
}

TEST_CASE("actor_group 8.5: a signal actor is interrupted when another one ends") {
    on_real_workers([]() -> task<> {
        actor_group actors;
        actors.add(sluice::signal_actor(background(), {SIGUSR1}));
        actors.add([] { return result<>(sluice::fail(io_error)); }, nothing);
        const auto why = co_await actors.run();
        EXPECT(!why && why.error() == io_error);
    });
}

TEST_CASE("actor_group 8.5: a signal actor gives the context's error when that ends first") {
    on_real_workers([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        actor_group actors;
        actors.add(sluice::signal_actor(ctx, {SIGUSR1}));
        cancel();
        const auto why = co_await actors.run();
        EXPECT(!why && why.error() == errc::canceled);
    });
}

TEST_CASE("actor_group 8.5: when a signal actor has ended the former action is back") {
    static std::atomic<int> handled{0};
    handled = 0;
    struct sigaction mine{};
    struct sigaction former{};
    mine.sa_handler = [](int) { ++handled; };
    REQUIRE(::sigaction(SIGUSR1, &mine, &former) == 0);
    on_real_workers([]() -> task<> {
        handled = 0;
        actor_group actors;
        actors.add(sluice::signal_actor(background(), {SIGUSR1}));
        auto open = sluice::make_chan<>();
        // Lives on after the first signal, as a server does that drains.
        actors.add([open]() -> task<> { static_cast<void>(co_await open.recv()); }, nothing);
        auto second = sluice::spawn([open]() -> task<> {
            for (int i = 0; i != 20'000 && handled == 0; ++i) {
                ::raise(SIGUSR1);
                co_await sluice::sleep_for(1ms);
            }
            EXPECT(handled >= 1);
            open.close();
        });
        const auto why = co_await actors.run();
        co_await second.join();
        EXPECT(!why && why.error() == std::error_code(SIGUSR1, sluice::signal_category()));
    });
    ::sigaction(SIGUSR1, &former, nullptr);
}

TEST_CASE("actor_group: a signal that cannot be caught is refused") {
    run_on(1, []() -> task<> {
        bool refused = false;
        try {
            static_cast<void>(sluice::signal_actor(background(), {SIGKILL}));
        } catch (const std::system_error&) {
            refused = true;
        }
        EXPECT(refused);
        co_return;
    });
}

TEST_CASE("actor_group: a shutdown cuts run and all actors, and interrupts none") {
    const auto token = std::make_shared<int>(0);
    std::atomic<int> started{0};
    {
        sluice::runtime cut;
        cut.go([token, &started]() -> task<> {
            actor_group actors;
            for (int i = 0; i != 3; ++i) {
                actors.add(
                    [token, &started]() -> task<> {
                        ++started;
                        co_await background().done();
                    },
                    [token](const failure&) { ++*token; });
            }
            static_cast<void>(co_await actors.run());
        });
        cut.block_on([&started]() -> task<> {
            while (started != 3) co_await sluice::yield();
        });
        static_cast<void>(cut.shutdown(0s));
    }
    CHECK(token.use_count() == 1);
    CHECK(*token == 0);
}
