// Whether workers steal: how that is decided, and that nothing is left lying while they do not.
#include <sluice/runtime/detail/theft_trials.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/run.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;
using sluice::detail::theft_trials;

namespace {

/// Two workers that get `work_on` or `work_off` done in a microsecond, with thefts or without.
struct program {
    double work_on;
    double work_off;
    std::int64_t thefts_in_a_millisecond = 10;

    theft_trials trials{};
    theft_trials::tally all{0, 0, 0, 2};
    bool on = true;
    std::int64_t time_on = 0;
    int changes = 0;

    /// Runs for so many milliseconds; `on` and `changes` tell what came of it.
    void run(std::int64_t milliseconds) {
        changes = 0;
        time_on = 0;
        for (const std::int64_t end = all.time + milliseconds * 1'000'000; all.time < end;) {
            const std::int64_t length = trials.next() - all.time;
            if (length < 0) FAIL("the next step lies in the past");
            all.time += length;
            all.work += static_cast<std::int64_t>((on ? work_on : work_off) *
                                                  static_cast<double>(length) / 1'000);
            if (on) {
                all.thefts += thefts_in_a_millisecond * length / 1'000'000;
                time_on += length;
            }
            const bool now_on = trials.step(all, on);
            changes += now_on != on ? 1 : 0;
            on = now_on;
        }
    }
};

sluice::detail::scheduler& here() {
    return sluice::detail::current_worker()->owner();
}

/// Until the other worker naps.
void let_other_rest() {
    const int me = sluice::detail::current_worker()->id();
    here().let_steal(false);
    while (!here().at(me == 0 ? 1 : 0).asleep()) std::this_thread::yield();
}

}  // namespace

TEST_CASE("thefts: they end where less is done with them, and seldom come back to see") {
    program p{10, 30};
    p.run(40);
    CHECK_FALSE(p.on);
    p.run(5'000);
    CHECK_FALSE(p.on);
    CHECK(p.time_on < 150'000'000);
    CHECK(p.changes > 4);
}

TEST_CASE("thefts: they stay where more is done with them, or nearly as much without") {
    for (const double without : {10.0, 20.0, 21.0}) {
        program p{20, without};
        p.run(5'000);
        CHECK(p.on);
        CHECK(p.time_on > 4'850'000'000);
        CHECK(p.changes > 4);
    }
}

TEST_CASE("thefts: they come back when the program changes") {
    program p{10, 30};
    p.run(1'000);
    CHECK_FALSE(p.on);
    p.work_on = 60;
    p.run(1'000);
    CHECK(p.on);
    p.work_on = 10;
    p.run(1'000);
    CHECK_FALSE(p.on);
}

TEST_CASE("thefts: nothing is tried where nobody steals") {
    program p{10, 30, 0};
    p.run(1'000);
    CHECK(p.on);
    CHECK(p.changes == 0);
}

TEST_CASE("thefts: nothing is tried where operations are far apart") {
    program p{2, 6};
    p.run(1'000);
    CHECK(p.on);
    CHECK(p.changes == 0);
}

TEST_CASE("thefts: a trial that a worker has ended says nothing") {
    program p{10, 30};
    while (p.on) p.run(1);
    p.on = true;  // all slept, say
    p.run(4);
    CHECK(p.on);
    CHECK(p.changes == 0);
    p.run(30);
    CHECK_FALSE(p.on);
}

TEST_CASE("thefts: when workers turn them on in a pause, that is tried without delay") {
    program p{10, 30};
    p.run(5'000);
    do p.run(1);  // to the end of a trial
    while (p.on || p.changes == 0);
    CHECK_FALSE(p.trials.due(p.all.time, p.on));
    p.on = true;
    REQUIRE(p.trials.due(p.all.time, p.on));
    p.on = p.trials.step(p.all, p.on);
    CHECK(p.on);
    p.run(20);
    CHECK_FALSE(p.on);
}

TEST_CASE("thefts: they come back where operations have become rare, without a trial") {
    program p{10, 30};
    p.run(20);
    CHECK_FALSE(p.on);
    p.work_off = 1;
    p.work_on = 0.1;
    p.run(50);
    CHECK(p.on);
}

TEST_CASE("thefts: while there are none, tasks of a worker that computes are taken all the same") {
    sluice::runtime rt(with_workers(2));
    for (int round = 0; round != 5; ++round) {
        std::atomic<int> ran{0};
        rt.block_on(
            [](std::atomic<int>* r) -> task<> {
                let_other_rest();
                for (int i = 0; i != 64; ++i) sluice::go([r] { ++*r; });
                while (*r != 64) std::this_thread::yield();  // the last one is in the next slot
                co_return;
            },
            &ran);
        CHECK(ran == 64);
    }
}

TEST_CASE("thefts: while there are none, what comes from outside, timers and the end are noticed") {
    sluice::runtime rt(with_workers(2));
    std::atomic<bool> came{false};
    std::atomic<bool> slept{false};
    rt.block_on(
        [](sluice::runtime* r, std::atomic<bool>* c, std::atomic<bool>* s) -> task<> {
            let_other_rest();
            sluice::go([s]() -> task<> {
                co_await sluice::sleep_for(1ms);
                *s = true;
            });
            co_await sluice::yield();
            std::thread([&] { r->go([c] { *c = true; }); }).join();
            while (!*c) std::this_thread::yield();  // only the other worker can
            while (!*s) co_await sluice::yield();
        },
        &rt, &came, &slept);
    CHECK(came);
    CHECK(slept);
    CHECK(rt.shutdown(1min).cut.empty());
}

TEST_CASE("thefts: they come back when all sleep, and a deadlock is seen") {
    std::string waited_for;
    try {
        sluice::run(with_workers(2), []() -> task<> {
            let_other_rest();
            static_cast<void>(co_await sluice::make_chan<int>().recv());
        });
    } catch (const sluice::deadlock& d) {
        waited_for = d.what();
    }
    CHECK_THAT(waited_for, Catch::Matchers::ContainsSubstring("recv"));

    sluice::runtime rt(with_workers(2));
    const bool back = rt.block_on([]() -> task<bool> {
        let_other_rest();
        co_await sluice::sleep_for(20ms);
        co_return here().thefts_pay();
    });
    CHECK(back);
}
