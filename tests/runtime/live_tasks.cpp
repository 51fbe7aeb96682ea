#include <sluice/runtime/live_tasks.hpp>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;
using sluice::task_info;

namespace {

task<> receiver(sluice::chan<int> from) {
    co_await from.recv();
}

task<> chooser(sluice::chan<int> from, sluice::context ctx) {
    co_await sluice::select(from.recv(), ctx.done());
}

std::size_t count_of(const std::vector<task_info>& tasks, std::string_view name) {
    return static_cast<std::size_t>(
        std::count_if(tasks.begin(), tasks.end(), [&](const task_info& t) {
            return std::string_view(t.origin.function_name()).find(name) != std::string_view::npos;
        }));
}

}  // namespace

TEST_CASE("live_tasks: every task is there, with what it waits for, and the caller too") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<int>();
        auto [ctx, cancel] = sluice::with_cancel(sluice::background());
        sluice::wait_group group;
        group.go(receiver, ch);
        group.go(chooser, ch, ctx);
        std::vector<task_info> all;
        do {
            co_await sluice::yield();
            all = co_await sluice::live_tasks();
        } while (!std::all_of(all.begin() + 1, all.end(), [](const task_info& t) {
            return !t.waits_for.starts_with("ready");
        }));
        EXPECT(all.size() == 3);
        EXPECT(all.front().waits_for == "ready to run");  // the oldest: this one
        EXPECT(count_of(all, "receiver") == 1);
        EXPECT(count_of(all, "chooser") == 1);
        for (const task_info& t : all) {
            const std::string_view name = t.origin.function_name();
            if (name.find("receiver") != name.npos)
                EXPECT(t.waits_for.starts_with("recv on a channel"));
            if (name.find("chooser") != name.npos)
                EXPECT(t.waits_for.starts_with("one of: recv on a channel"));
        }
        cancel();
        ch.close();
        co_await group.wait();
        all = co_await sluice::live_tasks();
        EXPECT(all.size() == 1);
    });
}

TEST_CASE("live_tasks: a task is told from another in the same memory") {
    on_workers([]() -> task<> {
        std::set<std::pair<const void*, std::uint64_t>> seen;
        for (int i = 0; i != 50; ++i) {
            auto quick = sluice::spawn([]() -> task<std::pair<const void*, std::uint64_t>> {
                const auto all = co_await sluice::live_tasks();
                co_return std::pair(all.back().frame, all.back().started);
            });
            seen.insert(co_await quick.join());
        }
        EXPECT(seen.size() == 50);
    });
}

TEST_CASE("live_tasks: nobody is missed or counted twice while tasks run, start and end") {
    on_real_workers([]() -> task<> {
        constexpr int parked = 50;
        const auto never = sluice::make_chan<int>();
        sluice::wait_group group;
        for (int i = 0; i != parked; ++i) group.go(receiver, never);
        std::atomic<bool> stop{false};
        for (int i = 0; i != 4; ++i) {
            group.go([&stop]() -> task<> {
                while (!stop) {
                    auto child = sluice::spawn([]() -> task<> { co_await sluice::yield(); });
                    co_await child.join();
                    co_await sluice::yield();
                }
            });
        }
        std::atomic<int> listers{0};
        for (int i = 0; i != 3; ++i) {  // calls for a halt meet
            group.go([&]() -> task<> {
                ++listers;
                for (int k = 0; k != 100; ++k) {
                    const auto all = co_await sluice::live_tasks();
                    EXPECT(count_of(all, "receiver") <= parked);
                    EXPECT(all.size() >= 1 + parked + 4);
                    EXPECT(std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) {
                        return a.started < b.started;
                    }));
                    co_await sluice::yield();
                }
                if (--listers == 0) stop = true;
            });
        }
        while (!stop) co_await sluice::yield();
        never.close();
        co_await group.wait();
    });
}

TEST_CASE("live_tasks: tasks that come from outside meanwhile are seen whole or not at all") {
    sluice::runtime r({.workers = 2});
    std::atomic<bool> stop{false};
    auto lister = r.spawn(
        [](std::atomic<bool>* s) -> task<int> {
            int lists = 0;
            while (!*s || lists == 0) {
                for (const task_info& t : co_await sluice::live_tasks())
                    EXPECT(!t.describe().empty());
                ++lists;
                co_await sluice::yield();
            }
            co_return lists;
        },
        &stop);
    for (int i = 0; i != 2'000; ++i) r.go([]() -> task<> { co_await sluice::yield(); });
    stop = true;
    CHECK(lister.get() > 0);
    report_expectations();
}

TEST_CASE("live_tasks: a runtime that shuts down meanwhile ends as always") {
    for (int round = 0; round != 50; ++round) {
        sluice::runtime r({.workers = 2});
        for (int i = 0; i != 2; ++i) {
            r.go([]() -> task<> {
                for (;;) {
                    for (const task_info& t : co_await sluice::live_tasks())
                        EXPECT(t.frame != nullptr);
                    co_await sluice::yield();
                }
            });
        }
        const auto report = r.shutdown(0s);
        CHECK(report.cut.size() == 2);
    }
    report_expectations();
}

TEST_CASE("live_tasks: elsewhere than in a task it is an error") {
    CHECK_THROWS_AS(sluice::detail::list_tasks_here(), std::logic_error);
}
