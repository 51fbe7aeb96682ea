// What Go's own tests of contexts assert beyond the numbered promises: see docs/go-tests.md.
#include <sluice/runtime/context.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "is_done.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::context_key;
using sluice::errc;
using sluice::task;
using sluice::wait_group;

namespace {

/// Contexts of random kinds, each under the one before: a value, a cancel, a timeout.
struct layers {
    std::deque<context_key<int>> keys;
    std::vector<context> all;
    std::vector<std::pair<std::size_t, sluice::cancel_function>> cancels;

    layers(std::uint64_t seed, std::chrono::nanoseconds timeout) {
        std::minstd_rand random(static_cast<unsigned>(seed));
        bool timed = false;
        for (context ctx; all.size() < 30 || !timed || keys.empty(); all.push_back(ctx)) {
            const auto kind = random() % 3;
            if (kind == 0) {
                keys.emplace_back();
                ctx = with_value(ctx, keys.back(), static_cast<int>(keys.size()));
            } else {
                auto made = kind == 1 ? with_cancel(ctx) : with_timeout(ctx, timeout);
                ctx = std::move(made.first);
                cancels.emplace_back(all.size(), std::move(made.second));
                timed = timed || kind == 2;
            }
        }
    }

    const context& innermost() const { return all.back(); }

    bool has_all_values() const {
        bool there = true;
        for (std::size_t i = 0; i != keys.size(); ++i) {
            const int* const v = innermost().value(keys[i]);
            there = there && v != nullptr && *v == static_cast<int>(i) + 1;
        }
        return there;
    }
};

}  // namespace

TEST_CASE("context: cancelling any layer ends those below it, and none above; values stay") {
    const std::uint64_t seed = test_seed();
    CAPTURE(seed);
    on_workers([seed]() -> task<> {
        for (std::uint64_t round = 0; round != 20; ++round) {
            layers made(seed + round, 1000h);
            EXPECT(made.has_all_values());
            const bool before = co_await is_done(made.innermost());
            EXPECT(!before);
            const auto& [first, cancel] = made.cancels[round % made.cancels.size()];
            cancel();
            for (std::size_t i = 0; i != made.all.size(); ++i) {
                const bool done = co_await is_done(made.all[i]);
                EXPECT(done == (i >= first));
                EXPECT(made.all[i].err() == (done ? errc::canceled : std::error_code()));
            }
            EXPECT(made.has_all_values());
        }
    });
}

TEST_CASE("context: a timeout in any layer ends the innermost, and its values stay") {
    const std::uint64_t seed = test_seed();
    CAPTURE(seed);
    on_workers([seed]() -> task<> {
        for (std::uint64_t round = 0; round != 20; ++round) {
            const layers made(seed + round, 1ms);
            co_await made.innermost().done();
            EXPECT(made.innermost().err() == errc::deadline_exceeded);
            EXPECT(made.has_all_values());
        }
    });
}

TEST_CASE("context: a parent that ends takes children of every kind with it, through values too") {
    on_workers([]() -> task<> {
        const context_key<int> key;
        auto [parent, cancel] = with_cancel(background());
        auto [plain, cancel_plain] = with_cancel(parent);
        const context valued = with_value(parent, key, 1);
        auto [timed, cancel_timed] = with_timeout(valued, 1000h);
        std::atomic<bool> called = false;
        wait_group after;
        after.add(1);
        const auto stop = after_func(parent, [&called, &after] {
            called = true;
            after.done();
        });
        const std::vector<context> family{parent, plain, valued, timed};
        for (const context& c : family) {
            const bool done = co_await is_done(c);
            EXPECT(!done && !c.err());
        }
        EXPECT(!called);
        cancel();
        for (const context& c : family) {
            const bool done = co_await is_done(c);
            EXPECT(done);
            EXPECT(c.err() == errc::canceled);
        }
        EXPECT(!stop());
        co_await after.wait();
        EXPECT(called);
        const context late = with_value(parent, key, 2);
        const bool born_done = co_await is_done(late);
        EXPECT(born_done);
        EXPECT(late.err() == errc::canceled);
    });
}

TEST_CASE("context: one with a timeout below another, cancelled before either, is canceled") {
    on_workers([]() -> task<> {
        auto [parent, cancel_parent] = with_timeout(background(), 1s);
        auto [child, cancel] = with_timeout(parent, 1000h);
        cancel();
        const bool done = co_await is_done(child);
        const bool parent_done = co_await is_done(parent);
        EXPECT(done);
        EXPECT(child.err() == errc::canceled);
        EXPECT(!parent_done && !parent.err());
    });
}

TEST_CASE("context: a child that ends leaves its parent and its brothers alone") {
    on_workers([]() -> task<> {
        auto [parent, cancel] = with_cancel(background());
        auto [child, cancel_child] = with_cancel(parent);
        auto [brother, cancel_brother] = with_cancel(parent);
        cancel_child();
        const bool child_done = co_await is_done(child);
        const bool parent_done = co_await is_done(parent);
        const bool brother_done = co_await is_done(brother);
        EXPECT(child_done);
        EXPECT(!parent_done && !parent.err());
        EXPECT(!brother_done && !brother.err());
    });
}

TEST_CASE("context 3.17: a child whose canceller waits for its parent's end ends with the parent") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 50; ++round) {
            auto [parent, cancel] = with_cancel(background());
            auto [child, cancel_child] = with_cancel(parent);
            wait_group canceller;
            canceller.go(
                [](context above, sluice::cancel_function below) -> task<> {
                    co_await above.done();
                    below();
                },
                parent, std::move(cancel_child));
            if (round % 2 == 0) co_await sluice::yield();  // it waits already, or comes too late
            cancel();
            co_await child.done();
            EXPECT(child.err() == errc::canceled);
            co_await canceller.wait();
        }
    });
}

TEST_CASE(
    "context 3.17: a child's cancel as what its parent's end calls, and the other way round") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 50; ++round) {
            auto [parent, cancel] = with_cancel(background());
            auto [child, cancel_child] = with_cancel(parent);
            if (round % 2 == 0) {
                const auto stop = after_func(parent, std::move(cancel_child));
                cancel();
            } else {
                const auto stop = after_func(child, std::move(cancel));
                cancel_child();
            }
            co_await parent.done();
            co_await child.done();
            EXPECT(child.err() == errc::canceled);
        }
    });
}

TEST_CASE("context 3.17: a tree in which each context is cancelled by a task of its own ends") {
    const std::uint64_t seed = test_seed();
    CAPTURE(seed);
    on_workers([seed]() -> task<> {
        std::minstd_rand random(static_cast<unsigned>(seed));
        std::vector<std::pair<context, sluice::cancel_function>> tree;
        tree.push_back(with_cancel(background()));
        for (std::size_t above = 0; tree.size() < 100; ++above) {
            for (int i = 0; i != 4; ++i) tree.push_back(with_cancel(tree[above].first));
        }
        std::vector<std::size_t> order(tree.size());
        for (std::size_t i = 0; i != order.size(); ++i) order[i] = i;
        std::shuffle(order.begin(), order.end(), random);
        wait_group all;
        for (const std::size_t i : order) all.go([cancel = &tree[i].second] { (*cancel)(); });
        std::shuffle(order.begin(), order.end(), random);
        for (const std::size_t i : order) {
            co_await tree[i].first.done();
            EXPECT(tree[i].first.err() == errc::canceled);
        }
        co_await all.wait();
    });
}

TEST_CASE("context: no kind of context costs a task, made, cancelled or expired") {
    on_workers([]() -> task<> {
        const context_key<int> key;
        const std::size_t before = sluice::num_tasks();
        auto [parent, cancel] = with_cancel(background());
        auto [caused, cancel_caused] = with_cancel_cause(parent);
        const context valued = with_value(caused, key, 1);
        auto [timed, cancel_timed] = with_timeout(valued, 1000h);
        auto [below, cancel_below] = with_cancel(timed);
        auto [expired, cancel_expired] = with_timeout(below, 0s);
        const context free = without_cancel(below);
        EXPECT(sluice::num_tasks() == before);
        cancel_below();
        EXPECT(sluice::num_tasks() == before);
        auto [soon, cancel_soon] = with_timeout(valued, 1us);
        co_await soon.done();
        cancel();
        auto [late, cancel_late] = with_cancel(below);
        EXPECT(late.err() == errc::canceled);
        EXPECT(free.value(key) != nullptr);
        EXPECT(sluice::num_tasks() == before);
    });
}
