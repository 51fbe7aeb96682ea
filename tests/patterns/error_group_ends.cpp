// An error_group where something ends early: a race, the group itself, its runtime.
#include <sluice/patterns/error_group.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "error_group_steps.hpp"
#include "runtime/child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::errc;
using sluice::error_group;
using sluice::result;
using sluice::task;
using namespace error_group_steps;

namespace {

// Here, because reports name the place.
task<> throws(std::string text) {
    co_await sluice::yield();
    throw std::runtime_error(text);
}

}  // namespace

TEST_CASE("error_group: a go that loses a race starts nothing and takes no slot") {
    on_workers([]() -> task<> {
        error_group group;
        group.set_limit(1);
        const auto open = sluice::make_chan<>();
        co_await group.go([open]() -> task<> { static_cast<void>(co_await open.recv()); });
        const auto token = std::make_shared<int>(0);
        const auto count = [](std::shared_ptr<int> n) { ++*n; };
        for (int i = 0; i != 100; ++i) {
            const auto timed = co_await within(0s, group.go(count, token));
            EXPECT(!timed);
            const auto raced = co_await select(group.go(count, token), sluice::sleep_for(1us));
            EXPECT(raced.index() == 1);
            {
                const auto never_awaited = group.go(count, token);
            }
        }
        EXPECT(token.use_count() == 1);
        open.close();
        EXPECT((co_await group.wait()).has_value());
        EXPECT(*token == 0);
        const auto won = co_await select(group.go(count, token), sluice::otherwise);
        EXPECT(won.index() == 0);
        EXPECT((co_await group.wait()).has_value());
        EXPECT(*token == 1);
    });
}

TEST_CASE("error_group: a go that was admitted while its race was decided starts once or never") {
    simulated(
        []() -> task<> {
            for (int round = 0; round != 10; ++round) {
                error_group group;
                group.set_limit(1);
                int ran = 0;
                int admitted = 0;
                sluice::wait_group starters;
                for (int i = 0; i != 4; ++i) {
                    starters.go([&]() -> task<> {
                        const auto work = [&ran]() -> task<> {
                            ++ran;
                            co_await sluice::sleep_for(1ms);
                        };
                        const auto in_time = co_await within(1ms, group.go(work));
                        if (in_time) ++admitted;
                    });
                }
                co_await starters.wait();
                EXPECT((co_await group.wait()).has_value());
                EXPECT(ran == admitted);
                EXPECT(ran >= 1);
                EXPECT(group.try_go([] {}));
                EXPECT((co_await group.wait()).has_value());
            }
        },
        1'000);
}

TEST_CASE("error_group: a wait that loses a race ends neither the tasks nor the context") {
    simulated([]() -> task<> {
        error_group group(background());
        co_await group.go(fails_after, group.ctx(), 10s, io_error);
        const auto timed = co_await within(1s, group.wait());
        EXPECT(!timed && timed.error() == errc::deadline_exceeded);
        EXPECT(!group.ctx().err());
        const auto outcome = co_await within(1h, group.wait());
        EXPECT(!outcome && outcome.error() == io_error);
    });
}

TEST_CASE("error_group: its tasks may start others, within the limit") {
    on_workers([]() -> task<> {
        error_group group;
        group.set_limit(4);
        std::atomic<int> leaves{0};
        struct tree {
            static task<> grow(error_group* in, std::atomic<int>* count, int depth) {
                if (depth == 0) {
                    ++*count;
                    co_return;
                }
                for (int i = 0; i != 2; ++i) {
                    if (!in->try_go(grow, in, count, depth - 1))
                        co_await grow(in, count, depth - 1);
                }
            }
        };
        co_await group.go(tree::grow, &group, &leaves, 8);
        EXPECT((co_await group.wait()).has_value());
        EXPECT(leaves == 256);
    });
}

TEST_CASE("error_group: it may end as soon as wait has returned") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 500; ++round) {
            std::optional<error_group> group(background());
            if (round % 2 == 0) group->set_limit(2);
            for (int i = 0; i != 3; ++i) co_await group->go([] {});
            EXPECT((co_await group->wait()).has_value());
            group.reset();
        }
    });
}

TEST_CASE("error_group: when it goes before its tasks, its context ends and they go on") {
    on_workers([]() -> task<> {
        for (const int limit : {-1, 3}) {
            sluice::wait_group alive;
            std::optional<error_group> group(background());
            group->set_limit(limit);
            const context ctx = group->ctx();
            for (int i = 0; i != 3; ++i) {
                alive.add();
                co_await group->go(
                    [&alive](context c) -> task<result<>> {
                        co_await c.done();
                        co_await sluice::yield();
                        alive.done();
                        co_return sluice::fail(c.err());
                    },
                    ctx);
            }
            group.reset();
            EXPECT(ctx.err() == errc::canceled);
            co_await alive.wait();
        }
    });
}

TEST_CASE("error_group: an exception that passes by its tasks is seen") {
    simulated([]() -> task<> {
        std::string seen;
        const auto parent = [](std::string text) -> task<> {
            error_group group(background());
            co_await group.go(until_the_end_of, group.ctx());
            throw std::runtime_error(text);
        };
        try {
            co_await parent("of the parent");
        } catch (const std::runtime_error& e) {
            seen = e.what();
        }
        EXPECT(seen == "of the parent");
    });
}

TEST_CASE("error_group: an exception that no wait was told of ends the process with the group") {
    const auto end = run_child([] {
        sluice::run([]() -> task<> {
            {
                error_group group;
                co_await group.go(throws, "nobody asked");
                co_await sluice::sleep_for(1ms);
            }
            co_await sluice::background().done();
        });
    });
    INFO(end.errors);
    CHECK(aborts_saying(end, "nobody asked"));
    CHECK(end.errors.find("error_group_ends.cpp") != std::string::npos);
}

TEST_CASE("error_group: also if an earlier wait found no failure") {
    const auto end = run_child([] {
        sluice::run([]() -> task<> {
            {
                error_group group;
                const auto so_far = co_await group.wait();
                if (!so_far) co_return;
                co_await group.go(throws, "later than the wait");
                co_await sluice::sleep_for(1ms);
            }
            co_await sluice::background().done();
        });
    });
    CHECK(aborts_saying(end, "later than the wait"));
}

TEST_CASE("error_group: also if it is thrown after the group has gone") {
    const auto end = run_child([] {
        sluice::run([]() -> task<> {
            {
                error_group group;
                co_await group.go(throws, "nobody is left");
            }
            co_await sluice::background().done();
        });
    });
    CHECK(aborts_saying(end, "nobody is left"));
}

TEST_CASE("error_group: tasks cut by a shutdown give back slots and counts, and have failed") {
    for (const int limit : {-1, 2}) {
        error_group group(background());
        group.set_limit(limit);
        const auto token = std::make_shared<int>(0);
        std::atomic<int> parked{0};
        {
            sluice::runtime cut;
            cut.block_on([&]() -> task<> {
                const auto forever = [](std::shared_ptr<int>) -> task<> {
                    co_await background().done();
                };
                co_await group.go(forever, token);
                co_await group.go(forever, token);
                for (int i = 0; limit > 0 && i != 3; ++i) {  // these wait for a slot
                    sluice::go([&group, &parked, forever, token]() -> task<> {
                        ++parked;
                        co_await group.go(forever, token);
                    });
                }
                while (limit > 0 && parked != 3) co_await sluice::yield();
            });
            static_cast<void>(cut.shutdown(0s));
        }
        CHECK(token.use_count() == 1);
        CHECK(group.ctx().err() == errc::canceled);
        run_on(1, [&]() -> task<> {
            const auto outcome = co_await group.wait();
            EXPECT(!outcome && outcome.error() == errc::canceled);
            for (int i = 0; i < limit; ++i) EXPECT(group.try_go([] {}));
            if (limit > 0) EXPECT(!group.try_go([] {}));
            static_cast<void>(co_await group.wait());
        });
    }
}

TEST_CASE("error_group: a task that is cut before its first step counts as cut") {
    error_group group;
    group.set_limit(1);
    std::string seen;
    try {
        sluice::simulate({}, [&group]() -> task<> {
            if (!group.try_go([] {})) co_return;
            throw std::runtime_error("the main task fails");
        });
    } catch (const std::runtime_error& e) {
        seen = e.what();
    }
    CHECK(seen == "the main task fails");
    run_on(1, [&]() -> task<> {
        const auto outcome = co_await group.wait();
        EXPECT(!outcome && outcome.error() == errc::canceled);
        EXPECT(group.try_go([] {}));
        static_cast<void>(co_await group.wait());
    });
}

TEST_CASE("error_group: starting outside of a task is an error and counts nothing") {
    error_group group;
    group.set_limit(1);
    CHECK_THROWS_AS(group.try_go([] {}), std::logic_error);
    group.set_limit(2);
    run_on(1, [&group]() -> task<> { EXPECT((co_await group.wait()).has_value()); });
}
