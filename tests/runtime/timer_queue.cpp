#include <sluice/runtime/detail/timer_queue.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "support.hpp"

using sluice::detail::runnable;
using sluice::detail::timer_node;
using sluice::detail::timer_queue;
using sluice::detail::wake_list;

namespace {

/// Notes its time when it fires.
struct noting_node : timer_node {
    noting_node(std::int64_t at, std::vector<std::int64_t>& f) : timer_node(&fire), fired(f) {
        when = at;
    }

    static runnable* fire(timer_node& node, wake_list&) noexcept {
        auto& self = static_cast<noting_node&>(node);
        self.fired.push_back(self.when);
        return nullptr;
    }

    std::vector<std::int64_t>& fired;
};

/// A leased queue, given back empty.
class queue_lease {
public:
    queue_lease() : queue_(timer_queue::lease()) {}
    queue_lease(const queue_lease&) = delete;
    queue_lease& operator=(const queue_lease&) = delete;
    ~queue_lease() { queue_.give_back(); }

    void add(timer_node& node) {
        const std::lock_guard guard(queue_.gate());
        queue_.add(node);
    }
    std::uint32_t run_due(std::int64_t time) {
        return queue_.run_due(time, [](runnable*) {});
    }
    template <class Choose>
    void run_one_due(std::int64_t time, Choose choose) {
        queue_.run_one_due(time, choose, [](runnable*) {});
    }
    timer_queue* operator->() noexcept { return &queue_; }

private:
    timer_queue& queue_;
};

// Due every ten nanoseconds, as a ticker is. Counts how often, as it fires, the queue seemed empty
// to its worker.
struct coming_back : timer_node {
    explicit coming_back(queue_lease& q) : timer_node(&coming_back::fire), in(q) { when = 10; }

    static runnable* fire(timer_node& node, wake_list&) noexcept {
        auto& self = static_cast<coming_back&>(node);
        if (self.in->earliest() == timer_queue::never) ++self.never_seen;
        self.when += 10;
        self.in->add(self);
        return nullptr;
    }

    queue_lease& in;
    int never_seen = 0;
};

}  // namespace

TEST_CASE("timers: they fire in the order of their times, each when it is due and not before") {
    queue_lease queue;
    std::vector<std::int64_t> fired;
    std::deque<noting_node> nodes;
    for (std::int64_t i = 0; i != 1'000; ++i) queue.add(nodes.emplace_back(i * 379 % 1'000, fired));
    CHECK(queue->earliest() == 0);
    CHECK(queue.run_due(-1) == 0);
    CHECK(queue.run_due(499) == 500);
    CHECK(queue->earliest() == 500);
    CHECK(queue.run_due(499) == 0);
    CHECK(queue.run_due(10'000) == 500);
    CHECK(queue->earliest() == timer_queue::never);
    REQUIRE(fired.size() == 1'000);
    CHECK(std::is_sorted(fired.begin(), fired.end()));
}

TEST_CASE("timers: one that was cancelled does not fire, and says whether it was in time") {
    queue_lease queue;
    std::vector<std::int64_t> fired;
    noting_node first(1, fired);
    noting_node second(2, fired);
    queue.add(first);
    queue.add(second);
    CHECK(queue->cancel(first));
    CHECK_FALSE(queue->cancel(first));
    CHECK(queue->earliest() == 2);
    CHECK(queue.run_due(5) == 1);
    CHECK_FALSE(queue->cancel(second));
    CHECK(fired == std::vector<std::int64_t>{2});
}

TEST_CASE("timers: agree with a sorted list over many random additions, removals and firings") {
    const std::uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    queue_lease queue;
    std::vector<std::int64_t> fired;
    std::deque<noting_node> nodes;
    std::vector<noting_node*> waiting;
    std::int64_t time = 0;
    for (int step = 0; step != 20'000; ++step) {
        const auto choice = random() % 10;
        if (choice < 6) {
            auto& node =
                nodes.emplace_back(time + 1 + static_cast<std::int64_t>(random() % 1'000), fired);
            queue.add(node);
            waiting.push_back(&node);
        } else if (choice < 8 && !waiting.empty()) {
            const std::size_t i = random() % waiting.size();
            REQUIRE(queue->cancel(*waiting[i]));
            waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
        } else {
            time += static_cast<std::int64_t>(random() % 50);
            fired.clear();
            const auto due = std::partition(waiting.begin(), waiting.end(),
                                            [&](auto* n) { return n->when > time; });
            REQUIRE(queue.run_due(time) == static_cast<std::uint32_t>(waiting.end() - due));
            REQUIRE(std::is_sorted(fired.begin(), fired.end()));
            waiting.erase(due, waiting.end());
        }
        std::int64_t earliest = timer_queue::never;
        if (step % 100 == 0) {
            for (const noting_node* n : waiting) earliest = std::min(earliest, n->when);
            REQUIRE(queue->earliest() == earliest);
        }
    }
    for (noting_node* n : waiting) queue->cancel(*n);
}

TEST_CASE("timers: one that comes back is never missed by who asks for the earliest meanwhile") {
    queue_lease queue;
    coming_back ticker(queue);
    queue.add(ticker);
    CHECK(queue.run_due(25) == 2);
    CHECK(ticker.never_seen == 0);
    CHECK(queue->earliest() == 30);
    queue.run_one_due(30, [](std::uint32_t) { return 0u; });
    CHECK(ticker.never_seen == 0);
    CHECK(queue->cancel(ticker));
}

TEST_CASE("timers: one of those that are due is any of them, and none that is not") {
    std::mt19937 random(3);
    const auto choose = [&random](std::uint32_t ways) {
        return static_cast<std::uint32_t>(random() % ways);
    };
    std::set<std::int64_t> first;
    for (int round = 0; round != 1'000; ++round) {
        queue_lease queue;
        std::vector<std::int64_t> fired;
        std::deque<noting_node> nodes;
        // Those that are due, 0 to 29, and as many that are not, in a heap of another shape each
        // time.
        std::vector<std::int64_t> times(60);
        std::iota(times.begin(), times.end(), 0);
        std::shuffle(times.begin(), times.end(), random);
        for (const std::int64_t time : times) queue.add(nodes.emplace_back(time, fired));
        for (int i = 0; i != 30; ++i) queue.run_one_due(29, choose);
        first.insert(fired.front());
        std::sort(fired.begin(), fired.end());
        std::sort(times.begin(), times.end());
        times.resize(30);
        REQUIRE(fired == times);
        REQUIRE(queue->earliest() == 30);
        for (noting_node& n : nodes) queue->cancel(n);
    }
    CHECK(first.size() == 30);
}
