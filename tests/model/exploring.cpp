// The explorer about itself: schedules repeat, searches end, what waits is named.

#include <sluice/runtime/detail/seam.hpp>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

// Fails whenever `b` runs between the two stores of `a`.
void half_done() {
    atomic<int> n{0};
    thread a([&] {
        n.store(1);
        n.store(2);
    });
    thread b([&] { check(n.load() != 1, "half done"); });
}

// Ends well or not, by what the schedule is.
void coin() {
    random_source random(1);
    atomic<std::uint32_t> n{0};
    thread a([&] { n.store(random.below(4)); });
    thread b([&] { n.store(random.below(4)); });
    check(n.load() != 3, "three");
}

}  // namespace

TEST_CASE("exploring: the seed of a failure repeats it, step by step") {
    for (const auto& run : {model::search, model::sample}) {
        const auto first = run(half_done, {});
        REQUIRE(first.found.has_value());
        const auto again = model::replay(half_done, first.found->seed);
        REQUIRE(again.found.has_value());
        REQUIRE(again.found->what == first.found->what);
        REQUIRE(again.found->trace == first.found->trace);
    }
}

TEST_CASE("exploring: every seed gives the same outcome twice") {
    for (int i = 0; i != 500; ++i) {
        for (const char* kind : {"random:", "priority:"}) {
            const std::string seed = kind + std::to_string(i);
            const auto once = model::replay(coin, seed);
            const auto twice = model::replay(coin, seed);
            REQUIRE(once.found.has_value() == twice.found.has_value());
            if (once.found) REQUIRE(once.found->trace == twice.found->trace);
        }
    }
}

TEST_CASE("exploring: a trace names the threads, the orders and the values") {
    const auto r = model::search(half_done);
    REQUIRE(r.found.has_value());
    const auto contains = [](const char* text) { return Catch::Matchers::ContainsSubstring(text); };
    REQUIRE_THAT(r.found->trace, contains("a0 seq_cst store: 1"));
    REQUIRE_THAT(r.found->trace, contains("a0 seq_cst load: 1"));
    REQUIRE_THAT(r.found->trace, contains("FAILS: half done"));
}

TEST_CASE("exploring: a search visits each interleaving once") {
    // Two threads of two steps: C(4, 2) = 6 orders of them. A thread that has started has no step
    // before its first store, and the joins do not branch once both have ended.
    std::vector<std::string> orders;
    const auto two_by_two = [&] {
        std::string order;
        atomic<int> n{0};
        {
            const auto twice = [&](char name) {
                return [&n, &order, name] {
                    for (int i = 0; i != 2; ++i) {
                        n.fetch_add(1, relaxed);
                        order += name;
                    }
                };
            };
            thread a(twice('a'));
            thread b(twice('b'));
        }
        orders.push_back(order);
    };
    model::effort all;
    all.limits.preemptions = 9;
    const auto r = model::search(two_by_two, all);
    REQUIRE(r.exhausted);
    std::sort(orders.begin(), orders.end());
    orders.erase(std::unique(orders.begin(), orders.end()), orders.end());
    REQUIRE(orders.size() == 6);
}

TEST_CASE("exploring: a spin that nobody ends is a deadlock, not an endless run") {
    model::require_found(
        [] {
            atomic<bool> never{false};
            thread a([&] {
                while (!never.load(relaxed)) cpu_relax();
            });
        },
        "deadlock; thread 0 joins thread 1; thread 1 spins");
}

TEST_CASE("exploring: a loop without end or spin is stopped") {
    model::require_found(
        [] {
            atomic<bool> never{false};
            while (!never.load(relaxed)) {
            }
        },
        "no end in 2000 steps");
}

TEST_CASE("exploring: an exception that leaves a thread fails the schedule") {
    model::require_found([] { thread a([] { throw std::runtime_error("lost"); }); },
                         "an exception left a thread: lost");
}

TEST_CASE("exploring: using an atomic after its end is found") {
    model::require_found(
        [] {
            std::optional<atomic<int>> n(std::in_place, 0);
            thread a([&] { n->store(1, relaxed); });
            n.reset();
        },
        "an atomic was");
}
