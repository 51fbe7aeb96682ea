#include <sluice/patterns/broker.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sluice/patterns/refusal.hpp>
#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "broker_steps.hpp"
#include "support.hpp"

using namespace broker_steps;
using namespace sluice;
using namespace std::chrono_literals;

// ---------------------------------------------------------------- the whole

namespace {

constexpr int publishers = 3;
constexpr int each = 8;

// Values of one publisher ascend.
struct heard {
    std::vector<int> values;
    bool in_order() const {
        std::array<int, publishers> last;
        last.fill(-1);
        for (const int v : values) {
            int& before = last[static_cast<std::size_t>(v / each)];
            if (v <= before) return false;
            before = v;
        }
        return true;
    }
};

task<> announce(broker<int>& b, int who) {
    for (int i = 0; i < each; ++i) {
        const auto taken =
            co_await b.publish(background(), i % 2 == 0 ? "news.even" : "news.odd", who * each + i);
        EXPECT(taken.has_value());
    }
}

task<> listen(subscription<int>& sub, heard& to) {
    while (auto m = co_await sub.recv()) {
        EXPECT(m->topic == (m->value % 2 == 0 ? "news.even" : "news.odd"));
        to.values.push_back(m->value);
        co_await yield();
    }
}

task<> newsroom() {
    broker<int> b;
    std::vector<subscription<int>> subs;
    for (const when_full policy : every_policy) {
        subs.push_back(b.subscribe("news.*", {.capacity = 2, .policy = policy}));
        subs.push_back(b.subscribe("news.even", {.capacity = 1, .policy = policy}));
    }
    std::vector<heard> logs(subs.size());
    wait_group listeners;
    for (std::size_t i = 0; i != subs.size(); ++i)
        listeners.go(listen, std::ref(subs[i]), std::ref(logs[i]));
    wait_group group;
    for (int p = 0; p < publishers; ++p) group.go(announce, std::ref(b), p);
    co_await group.wait();
    b.close();
    co_await listeners.wait();

    for (std::size_t i = 0; i != subs.size(); ++i) {
        const std::uint64_t matched = i % 2 == 0 ? publishers * each : publishers * each / 2;
        const subscription_counters c = subs[i].counters();
        EXPECT(logs[i].in_order());
        EXPECT(c.delivered == logs[i].values.size());
        EXPECT(c.queued == 0);
        const when_full policy = every_policy[i / 2];
        if (policy == when_full::block) EXPECT(c.delivered == matched);
        if (subs[i].err() == refusal::queue_full) {
            EXPECT(policy == when_full::disconnect);
            EXPECT(c.dropped == 1);
        } else {
            EXPECT(subs[i].err() == refusal::closed);
            EXPECT(c.delivered + c.dropped == matched);
        }
    }
}

}  // namespace

TEST_CASE("broker: publishers, and subscribers of every policy: order is kept and sums add up") {
    simulated(newsroom, 1'000);
}

TEST_CASE("broker: the same on real workers") {
    on_real_workers(newsroom);
}

// ---------------------------------------------------------------- topics

TEST_CASE("broker: a topic without a star is matched by itself alone") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("metal.gold");
        co_await publish_to(1, b, "metal.gold", 1);
        co_await publish_to(0, b, "metal.golden", 2);
        co_await publish_to(0, b, "metal", 3);
        co_await publish_to(0, b, "", 4);
        co_await expect_queued(sub, "1");
    });
}

TEST_CASE("broker: a star at the end makes it a prefix, which also matches itself") {
    on_workers([]() -> task<> {
        broker<std::string> b;
        const auto metals = b.subscribe("metal.*");
        const auto all = b.subscribe("*");
        const auto short_one = b.subscribe("m*");
        const std::vector<std::string> topics{"metal.", "metal.gold", "metal", "wood.oak", ""};
        const std::vector<std::size_t> matched{3, 3, 2, 1, 1};
        for (std::size_t i = 0; i != topics.size(); ++i)
            co_await publish_to(matched[i], b, topics[i], topics[i]);
        co_await expect_queued(metals, "metal. metal.gold");
        co_await expect_queued(all, "metal. metal.gold metal wood.oak ");
        co_await expect_queued(short_one, "metal. metal.gold metal");
    });
}

TEST_CASE("broker: a star in the middle, or in a topic, is a character like others") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto middle = b.subscribe("a*b");
        const auto star = b.subscribe("c**");  // the prefix "c*"
        co_await publish_to(0, b, "axb", 1);
        co_await publish_to(1, b, "a*b", 2);
        co_await publish_to(0, b, "cd", 3);
        co_await publish_to(1, b, "c*d", 4);
        co_await publish_to(0, b, "a*", 5);
        co_await expect_queued(middle, "2");
        co_await expect_queued(star, "4");
    });
}

TEST_CASE("broker: the empty topic is one like others") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("");
        co_await publish_to(1, b, "", 1);
        co_await publish_to(0, b, "x", 2);
        const auto m = co_await sub.recv();
        EXPECT(m->topic.empty());
        EXPECT(m->value == 1);
    });
}

TEST_CASE("broker: who subscribes twice gets it twice") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto first = b.subscribe("t");
        const auto again = b.subscribe("t");
        const auto wider = b.subscribe("t*");
        co_await publish_to(3, b, "t", 7);
        const auto one = co_await first.recv();
        const auto two = co_await again.recv();
        const auto three = co_await wider.recv();
        EXPECT(one->value == 7);
        EXPECT(one == two);  // one object, shared
        EXPECT(one == three);
    });
}

TEST_CASE("broker: a message that nobody has subscribed to is gone") {
    on_workers([]() -> task<> {
        broker<int> b;
        co_await publish_to(0, b, "t", 1);
        const auto sub = b.subscribe("t");
        co_await publish_to(1, b, "t", 2);
        co_await expect_queued(sub, "2");
        EXPECT(counts(sub.counters(), 1, 0, 0));
    });
}

TEST_CASE("broker: who comes or goes between two publishes gets, or misses, the second") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto first = b.subscribe("t");
        const auto prefix = b.subscribe("*");
        co_await publish_to(2, b, "t", 1);
        std::optional<subscription<int>> second = b.subscribe("t");
        std::optional<subscription<int>> wider = b.subscribe("*");
        co_await publish_to(4, b, "t", 2);
        co_await expect_queued(*second, "2");
        co_await expect_queued(*wider, "2");
        second.reset();
        wider.reset();
        co_await publish_to(2, b, "t", 3);
        co_await expect_queued(first, "1 2 3");
        co_await expect_queued(prefix, "1 2 3");
    });
}

TEST_CASE("broker: many topics and prefixes come and go") {
    on_workers([]() -> task<> {
        broker<int> b;
        for (int round = 0; round < 3; ++round) {
            std::vector<subscription<int>> subs;
            for (int i = 0; i < 50; ++i) {
                subs.push_back(b.subscribe("topic." + std::to_string(i)));
                subs.push_back(b.subscribe(std::string(static_cast<std::size_t>(i), 'x') + "*"));
            }
            co_await publish_to(2, b, "topic.17", round);  // and ""
            co_await publish_to(31, b, std::string(30, 'x'), round);
            subs.clear();
            co_await publish_to(0, b, "topic.17", round);
            co_await publish_to(0, b, std::string(30, 'x'), round);
        }
    });
}

// ---------------------------------------------------------------- policies

TEST_CASE("broker: a capacity of 0 is refused") {
    broker<int> b;
    for (const when_full policy : every_policy)
        CHECK_THROWS_AS(b.subscribe("t", {.capacity = 0, .policy = policy}), std::invalid_argument);
}

TEST_CASE("broker: block: the publisher waits until there is room") {
    simulated([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 1});
        const auto start = now();
        auto receiver = spawn(
            [](const subscription<int>& from) -> task<> {
                for (int i = 1; i <= 3; ++i) {
                    co_await sleep_for(1s);
                    const auto m = co_await from.recv();
                    EXPECT(m->value == i);
                }
            },
            std::ref(sub));
        for (int i = 1; i <= 3; ++i) co_await publish_to(1, b, "t", i);
        EXPECT(now() - start == 2s);  // the third found room when the second was received
        EXPECT(counts(sub.counters(), 2, 0, 1));
        co_await receiver.join();
        EXPECT(now() - start == 3s);
    });
}

TEST_CASE("broker: drop_newest: what does not fit is dropped") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 2, .policy = when_full::drop_newest});
        for (int i = 0; i < 5; ++i) co_await publish_to((i < 2 ? 1u : 0u), b, "t", i);
        EXPECT(counts(sub.counters(), 0, 3, 2));
        co_await expect_queued(sub, "0 1");
        EXPECT(counts(sub.counters(), 2, 3, 0));
        EXPECT(!sub.err());
    });
}

TEST_CASE("broker: drop_oldest: the newest are kept") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 2, .policy = when_full::drop_oldest});
        for (int i = 0; i < 5; ++i) co_await publish_to(1, b, "t", i);
        EXPECT(counts(sub.counters(), 0, 3, 2));
        co_await expect_queued(sub, "3 4");
        EXPECT(counts(sub.counters(), 2, 3, 0));
        EXPECT(!sub.err());
    });
}

TEST_CASE("broker: disconnect: the slow one is cut off, and gets what was queued before") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 2, .policy = when_full::disconnect});
        const auto prefix = b.subscribe("t*", {.capacity = 1, .policy = when_full::disconnect});
        co_await publish_to(2, b, "t", 0);
        co_await publish_to(1, b, "t", 1);
        EXPECT(prefix.err() == refusal::queue_full);
        EXPECT(!sub.err());
        co_await publish_to(0, b, "t", 2);
        EXPECT(sub.err() == refusal::queue_full);
        co_await publish_to(0, b, "t", 3);
        EXPECT(counts(sub.counters(), 0, 1, 2));  // the fourth did not match any more
        co_await expect_queued(sub, "0 1");
        const auto end = co_await sub.recv();
        EXPECT(end == nullptr);
        b.close();
        EXPECT(sub.err() == refusal::queue_full);  // the first reason stays
    });
}

TEST_CASE("broker: one that was disconnected is no longer in the list of its pattern") {
    on_workers([]() -> task<> {
        const auto core = std::make_shared<detail::broker_core>();
        for (const char* const pattern : {"t", "t*"}) {
            const auto slow =
                core->subscribe(pattern, {.capacity = 1, .policy = when_full::disconnect});
            for (const std::size_t taken : {1u, 0u}) {
                const auto got = co_await detail::broker_core::publish(
                    core, background(), "t", std::make_shared<const int>(1));
                EXPECT(got == taken);
            }
            EXPECT(slow->why() == refusal::queue_full);
            EXPECT(slow.use_count() == 1);
            core->unsubscribe(*slow);
        }
    });
}

TEST_CASE("broker: a queue of any length wraps around, with every policy") {
    on_workers([]() -> task<> {
        for (const when_full policy : every_policy) {
            for (const std::size_t capacity : {1, 2, 3, 7}) {
                broker<int> b;
                const auto sub = b.subscribe("t", {.capacity = capacity, .policy = policy});
                int next = 0;
                for (std::size_t round = 0; round < 5; ++round) {
                    std::string sent;
                    const std::size_t some = 1 + round % capacity;
                    for (std::size_t i = 0; i < some; ++i) {
                        sent += (sent.empty() ? "" : " ") + text(next);
                        co_await publish_to(1, b, "t", next++);
                    }
                    EXPECT(sub.counters().queued == some);
                    co_await expect_queued(sub, sent);
                }
                EXPECT(sub.counters().dropped == 0);
            }
        }
    });
}

// ---------------------------------------------------------------- values

TEST_CASE("broker: values need only be movable, and are made once for all") {
    on_workers([]() -> task<> {
        broker<std::unique_ptr<int>> b;
        const auto first = b.subscribe("t");
        const auto second = b.subscribe("t");
        const auto taken = co_await b.publish(background(), "t", std::make_unique<int>(5));
        EXPECT(taken == 2u);
        const auto one = co_await first.recv();
        const auto two = co_await second.recv();
        EXPECT(*one->value == 5);
        EXPECT(one->value.get() == two->value.get());
    });
}

namespace {

// Calls back into the broker, and the subscription that drops it, when it is destroyed.
struct meddler {
    using value = std::shared_ptr<meddler>;

    meddler(broker<value>& b, std::optional<subscription<value>>& s, int& n)
        : in(b), own(s), destroyed(n) {}
    meddler(const meddler&) = delete;
    meddler& operator=(const meddler&) = delete;
    ~meddler() {
        const auto sub = in.subscribe("t");
        EXPECT(sub.counters().queued == 0);
        if (own) EXPECT(own->counters().queued == 1);
        ++destroyed;
    }

    broker<value>& in;
    std::optional<subscription<value>>& own;
    int& destroyed;
};

}  // namespace

TEST_CASE("broker: a value that is dropped may use the broker in its destructor") {
    on_workers([]() -> task<> {
        int destroyed = 0;
        broker<meddler::value> b;
        std::optional<subscription<meddler::value>> sub =
            b.subscribe("t", {.capacity = 1, .policy = when_full::drop_oldest});
        for (int i = 0; i < 3; ++i) {
            auto fresh = std::make_shared<meddler>(b, sub, destroyed);
            co_await publish_to(1, b, "t", std::move(fresh));
        }
        EXPECT(destroyed == 2);
        sub.reset();
        EXPECT(destroyed == 3);
    });
}

TEST_CASE("broker: several tasks may share a subscription; each message goes to one of them") {
    on_workers([]() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 2});
        std::array<int, 3> sums{};
        wait_group readers;
        for (int& sum : sums) {
            readers.go(
                [](const subscription<int>& from, int& to) -> task<> {
                    while (auto m = co_await from.recv()) to += m->value;
                },
                std::ref(sub), std::ref(sum));
        }
        for (int i = 1; i <= 20; ++i) co_await publish_to(1, b, "t", i);
        b.close();
        co_await readers.wait();
        EXPECT(sums[0] + sums[1] + sums[2] == 210);
    });
}

// ---------------------------------------------------------------- many at once

TEST_CASE("broker: a message in line is not overtaken by a later one") {
    simulated(
        []() -> task<> {
            broker<int> b;
            wait_group group;
            for (int p = 0; p < publishers; ++p) group.go(announce, std::ref(b), p);
            const auto other = b.subscribe("news.*", {.capacity = 1});
            heard log;
            go(
                [](const subscription<int>& from, heard& to) -> task<> {
                    while (auto m = co_await from.recv()) to.values.push_back(m->value);
                },
                std::ref(other), std::ref(log));
            co_await group.wait();
            b.close();
            co_await sleep_for(1s);
            EXPECT(log.in_order());
            EXPECT(log.values.size() == std::size_t{publishers * each});
        },
        200);
}

TEST_CASE("broker: a publish to many lets others run before it is over") {
    run_on(1, []() -> task<> {
        broker<int> b;
        std::vector<subscription<int>> many;
        for (int i = 0; i < 10'000; ++i) many.push_back(b.subscribe("t", {.capacity = 1}));
        auto other = spawn(
            [](const std::vector<subscription<int>>& all) -> task<std::size_t> {
                std::size_t queued = 0;
                for (const auto& sub : all) queued += sub.counters().queued;
                co_return queued;
            },
            std::cref(many));
        co_await publish_to(many.size(), b, "t", 1);
        const std::size_t queued = co_await other.join();
        EXPECT(queued < many.size());
    });
}

TEST_CASE("broker: a publisher that need not wait lets others run") {
    run_on(1, []() -> task<> {
        broker<int> b;
        const auto sub = b.subscribe("t", {.capacity = 1, .policy = when_full::drop_oldest});
        bool others_ran = false;
        go(
            [](bool& flag) -> task<> {
                flag = true;
                co_return;
            },
            std::ref(others_ran));
        for (int i = 0; i < 100'000 && !others_ran; ++i) co_await publish_to(1, b, "t", i);
        EXPECT(others_ran);
    });
}

namespace {

task<> subscribe_while_others_publish() {
    broker<int> b;
    const auto steady = b.subscribe("news.*", {.capacity = 4});
    heard log;
    wait_group reader;
    reader.go(
        [](const subscription<int>& from, heard& to) -> task<> {
            while (auto m = co_await from.recv()) to.values.push_back(m->value);
        },
        std::ref(steady), std::ref(log));
    wait_group group;
    for (int p = 0; p < publishers; ++p) group.go(announce, std::ref(b), p);
    for (int i = 0; i < 6; ++i) {
        group.go(
            [](broker<int>& from, int number) -> task<> {
                for (int round = 0; round < 10; ++round) {
                    const when_full policy = every_policy[static_cast<std::size_t>(number + round) %
                                                          every_policy.size()];
                    const auto sub = from.subscribe(round % 2 == 0 ? "news.odd" : "*",
                                                    {.capacity = 1, .policy = policy});
                    co_await yield();
                    const auto got = co_await within(0s, sub.recv());
                    EXPECT(!got || *got != nullptr);
                }
            },
            std::ref(b), i);
    }
    co_await group.wait();
    co_await publish_to(1, b, "news.even", 0);
    b.close();
    co_await reader.wait();
    EXPECT(log.values.size() == std::size_t{publishers * each + 1});
    log.values.pop_back();
    EXPECT(log.in_order());
}

}  // namespace

TEST_CASE("broker: subscriptions come and go while others publish") {
    simulated(subscribe_while_others_publish, 1'000);
    on_real_workers(subscribe_while_others_publish);
}

TEST_CASE("broker: plain threads may subscribe, unsubscribe and close") {
    run_on(2, []() -> task<> {
        broker<int> b;
        const auto ended = b.subscribe("t");
        const auto cut = b.subscribe("t");
        auto first = spawn(
            [](const subscription<int>& from) -> task<int> {
                int n = 0;
                while (auto m = co_await from.recv()) ++n;
                co_return n;
            },
            std::ref(ended));
        auto second = spawn(
            [](const subscription<int>& from) -> task<> {
                while (auto m = co_await from.recv()) EXPECT(m->value == 1);
            },
            std::ref(cut));
        co_await publish_to(2, b, "t", 1);
        const auto from_outside = [&] {
            const auto sub = b.subscribe("*");
            cut.unsubscribe();
            b.close();
            EXPECT(sub.err() == refusal::closed);
        };
        co_await blocking(from_outside);
        const int n = co_await first.join();
        EXPECT(n == 1);
        co_await second.join();
    });
}
