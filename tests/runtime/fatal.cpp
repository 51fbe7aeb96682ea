// What ends the process: each case in a process of its own.
#include <sluice/runtime/spawn.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/rw_mutex.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "child.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

namespace {

task<> thrower(std::string text) {
    co_await sluice::yield();
    throw std::runtime_error(text);
}

task<int> throws_at_once() {
    throw 42;
    co_return 0;
}

task<> wait_long() {
    co_await sluice::sleep_for(1h);
}

/// Runs body in a child on two workers, with enough time for what it starts.
template <class F>
child_end run_in_child(F body) {
    return run_child([body] {
        sluice::options o;
        o.workers = 2;
        sluice::run(o, [body]() -> task<> {
            body();
            co_await wait_long();
        });
    });
}

}  // namespace

TEST_CASE(
    "runtime 11.1: an exception that leaves a detached task ends the process, with its origin and "
    "its message") {
    const child_end end = run_in_child([] { sluice::go(thrower, "the boiler burst"); });
    CHECK(aborts_saying(end, "the boiler burst"));
    CHECK(end.errors.find("thrower") != std::string::npos);
    CHECK(end.errors.find("fatal.cpp:") != std::string::npos);
}

TEST_CASE("runtime 11.1: the same for an exception that is no std::exception") {
    const child_end end = run_in_child([] { sluice::go(throws_at_once); });
    CHECK(aborts_saying(end, "throws_at_once"));
    CHECK(end.errors.find("no std::exception") != std::string::npos);
}

TEST_CASE("runtime 11.1: the same for a plain function, and for a closure") {
    const child_end end = run_in_child([] {
        std::string text = "from a closure";
        sluice::go([text] { throw std::runtime_error(text); });
    });
    CHECK(aborts_saying(end, "from a closure"));
}

TEST_CASE("runtime 11.1: the same for a task of a wait_group") {
    const child_end end = run_in_child([] {
        static sluice::wait_group group;
        group.go(thrower, "in a group");
    });
    CHECK(aborts_saying(end, "in a group"));
    CHECK(end.errors.find("thrower") != std::string::npos);
}

TEST_CASE("wait_group: nobody gets past wait because a task of it threw: the process ends first") {
    const child_end end = run_child([] {
        sluice::run(with_workers(2), []() -> task<> {
            sluice::wait_group group;
            group.go(thrower, "in a group");
            co_await group.wait();
            std::fputs("past wait\n", stderr);
        });
    });
    CHECK(aborts_saying(end, "in a group"));
    CHECK(end.errors.find("past wait") == std::string::npos);
}

TEST_CASE("runtime 11.1: the same for a task of class runtime") {
    const child_end end = run_child([] {
        sluice::runtime rt(sluice::options{.workers = 1});
        rt.go(thrower, "in a runtime");
        rt.block_on(wait_long);
    });
    CHECK(aborts_saying(end, "in a runtime"));
    CHECK(end.errors.find("thrower") != std::string::npos);
}

TEST_CASE(
    "runtime 11.1: an exception of a spawned task whose handle was let go ends the process, with "
    "its origin") {
    const child_end end =
        run_in_child([] { static_cast<void>(sluice::spawn(thrower, "nobody joins")); });
    CHECK(aborts_saying(end, "nobody joins"));
    CHECK(end.errors.find("thrower") != std::string::npos);
    CHECK(end.errors.find("fatal.cpp:") != std::string::npos);
}

TEST_CASE("runtime 11.1: so does one whose handle is let go after the task has failed") {
    const child_end end = run_child([] {
        sluice::runtime rt(sluice::options{.workers = 1});
        {
            auto handle = rt.spawn(thrower, "let go later");
            while (!handle.done()) std::this_thread::yield();
        }
        rt.shutdown(1s);
    });
    CHECK(aborts_saying(end, "let go later"));
}

TEST_CASE("runtime 11.1: an exception that was received once does not end the process") {
    const child_end end = run_child([] {
        sluice::runtime rt(sluice::options{.workers = 1});
        auto handle = rt.spawn(thrower, "received");
        try {
            handle.get();
        } catch (const std::runtime_error&) {
        }
    });
    INFO(end.errors);
    CHECK(end.exited());
}

TEST_CASE("mutex: unlocking one that is not locked is fatal") {
    const child_end end = run_child([] {
        sluice::mutex mu;
        mu.unlock();
    });
    CHECK(aborts_saying(end, "unlock of a mutex that is not locked"));
}

TEST_CASE("rw_mutex: unlock of one that only readers hold is fatal") {
    const child_end end = run_child([] {
        sluice::rw_mutex mu;
        const auto reading = mu.try_lock_shared();
        mu.unlock();
    });
    CHECK(aborts_saying(end, "unlock of an rw_mutex that is not locked"));
}

TEST_CASE("rw_mutex: unlock_shared of one that no reader holds is fatal") {
    const child_end end = run_child([] {
        sluice::rw_mutex mu;
        const auto writing = mu.try_lock();
        mu.unlock_shared();
    });
    CHECK(aborts_saying(end, "unlock_shared of an rw_mutex that no reader holds"));
}

TEST_CASE("wait_group 4.1: a negative counter is fatal") {
    const child_end end = run_child([] {
        sluice::wait_group group;
        group.add(1);
        group.done();
        group.done();
    });
    CHECK(aborts_saying(end, "the counter of a wait_group became negative"));
}

TEST_CASE("wait_group 4.1: so it is by however much") {
    const child_end end = run_child([] {
        sluice::wait_group group;
        group.add(std::numeric_limits<std::int64_t>::min());
    });
    CHECK(aborts_saying(end, "the counter of a wait_group became negative"));
}

TEST_CASE("run: a deadlock that nobody catches is printed with the tasks it lists") {
    const child_end end = run_child([] {
        // On a thread of its own, for Catch2 catches what is thrown on this one.
        std::thread([] {
            sluice::run(sluice::options{.workers = 1},
                        []() -> task<> { co_await sluice::background().done(); });
        }).join();
    });
    CHECK(aborts_saying(end, "done of a context"));
    CHECK(end.errors.find("fatal.cpp:") != std::string::npos);
}

TEST_CASE("wait_group 4.2: more tasks than it can count end the process, and say so") {
    const child_end end = run_child([] {
        sluice::wait_group group;
        for (int i = 0; i != 3; ++i) group.add(std::int64_t{1} << 58);
    });
    CHECK(aborts_saying(end, "more than 2^59 tasks"));
    const child_end at_once = run_child([] {
        sluice::wait_group group;
        group.add(std::numeric_limits<std::int64_t>::max());
    });
    CHECK(aborts_saying(at_once, "more than 2^59 tasks"));
}
