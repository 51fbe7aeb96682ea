// What Go's own tests of contexts assert beyond the numbered promises: see docs/go-tests.md.
#include <sluice/runtime/context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include <sluice/runtime/select.hpp>

#include "is_done.hpp"
#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::context_key;
using sluice::errc;
using sluice::task;

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
        const std::vector<context> family{parent, plain, valued, timed};
        for (const context& c : family) {
            const bool done = co_await is_done(c);
            EXPECT(!done);
        }
        cancel();
        for (const context& c : family) {
            const bool done = co_await is_done(c);
            EXPECT(done);
            EXPECT(c.err() == errc::canceled);
        }
        const context late = with_value(parent, key, 2);
        const bool born_done = co_await is_done(late);
        EXPECT(born_done);
        EXPECT(late.err() == errc::canceled);
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
