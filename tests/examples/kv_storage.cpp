#include "kv/storage.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "catch.hpp"

using namespace std::chrono_literals;
using kv::end;
using kv::failure;
using kv::never;
using names = std::vector<std::string_view>;

namespace {

kv::time_point now_for_tests{};

kv::time_point test_clock() {
    return now_for_tests;
}

// A keyspace whose time stands still until the test moves it.
struct keyspace : kv::storage {
    keyspace() : storage(test_clock) { now_for_tests = kv::time_point(1'000'000ms); }

    std::string text(std::string_view key) {
        std::string seen = "(none)";
        const auto found = read(key, [&](std::string_view value) { seen = value; });
        return found ? seen : "(list)";
    }
    bool put(std::string_view key, std::string_view value, kv::set_options options = {}) {
        return set(key, value, options)->stored;
    }
    std::vector<std::string> elements(std::string_view key) {
        std::vector<std::string> all;
        const auto copy = [&](const kv::list* found) {
            if (found) all.assign(found->begin(), found->end());
        };
        REQUIRE(read_list(key, copy));
        return all;
    }
};

struct counting_waker : kv::waker {
    void wake() override { ++wakes; }
    void cut() override {}
    int wakes = 0;
};

struct waiting_client {
    explicit waiting_client(std::vector<std::string> keys)
        : pop(std::make_shared<kv::blocked_pop>(std::move(keys), waker)) {}
    std::shared_ptr<counting_waker> waker = std::make_shared<counting_waker>();
    std::shared_ptr<kv::blocked_pop> pop;
};

kv::set_options expiring_at(kv::time_point when) {
    kv::set_options options;
    options.expires = when;
    return options;
}

}  // namespace

TEST_CASE("kv storage: a string is stored, replaced, erased") {
    keyspace keys;
    CHECK(keys.text("a") == "(none)");
    CHECK(keys.put("a", "1"));
    CHECK(keys.put("a", std::string(1000, 'x')));
    CHECK(keys.put("a", "2"));
    CHECK(keys.text("a") == "2");
    CHECK(keys.size() == 1);
    CHECK(keys.erase(names{"a", "b", "a"}) == 1);
    CHECK(keys.size() == 0);
}

TEST_CASE("kv storage: conditions of set") {
    keyspace keys;
    kv::set_options options;
    options.when = kv::condition::if_present;
    CHECK_FALSE(keys.put("a", "1", options));
    options.when = kv::condition::if_absent;
    CHECK(keys.put("a", "2", options));
    CHECK_FALSE(keys.put("a", "3", options));
    CHECK(keys.text("a") == "2");
    options = {};
    options.want_old = true;
    CHECK(keys.set("a", "4", options)->old == "2");
    CHECK(keys.set("new", "4", options)->old == std::nullopt);
}

TEST_CASE("kv storage: a key whose time has come is gone") {
    keyspace keys;
    keys.put("a", "1", expiring_at(now_for_tests + 10ms));
    CHECK(keys.expiry("a") == now_for_tests + 10ms);
    now_for_tests += 9ms;
    CHECK(keys.text("a") == "1");
    now_for_tests += 1ms;
    CHECK(keys.size() == 1);  // nobody has met it yet
    CHECK(keys.text("a") == "(none)");
    CHECK(keys.size() == 0);
    CHECK(keys.expired() == 1);
    CHECK(keys.expiry("a") == std::nullopt);
}

TEST_CASE("kv storage: the sweep drops what has expired and nothing else") {
    keyspace keys;
    for (int i = 0; i < 1000; ++i) {
        keys.put("short" + std::to_string(i), "", expiring_at(now_for_tests + 1ms * (1 + i % 10)));
        keys.put("long" + std::to_string(i), "", expiring_at(now_for_tests + 1h));
        keys.put("for ever" + std::to_string(i), "");
    }
    CHECK(keys.expiring() == 2000);
    CHECK(keys.expire_due() == 0);
    now_for_tests += 5ms;
    CHECK(keys.expire_due() == 500);
    now_for_tests += 5ms;
    std::size_t dropped = 0;
    while (const std::size_t some = keys.expire_due(1)) dropped += some;
    CHECK(dropped == 500);
    CHECK(keys.size() == 2000);
    CHECK(keys.expiring() == 1000);
}

TEST_CASE("kv storage: writing over a key ends its expiry, counting does not") {
    keyspace keys;
    const auto later = expiring_at(now_for_tests + 1s);
    keys.put("a", "1", later);
    keys.put("a", "2");
    CHECK(keys.expiry("a") == never);
    keys.put("a", "3", later);
    keys.set_many(names{"a", "4"});
    CHECK(keys.expiry("a") == never);
    keys.put("a", "5", later);
    CHECK(keys.add("a", 1) == 6);
    CHECK(keys.expiry("a") == later.expires);
    auto keeping = kv::set_options{};
    keeping.keep_expiry = true;
    keys.put("a", "7", keeping);
    CHECK(keys.expiry("a") == later.expires);
    keys.erase(names{"a"});
    CHECK(keys.expiring() == 0);
}

TEST_CASE("kv storage: a new key under an expired name starts afresh") {
    keyspace keys;
    keys.put("n", "41", expiring_at(now_for_tests + 1ms));
    now_for_tests += 1ms;
    CHECK(keys.add("n", 1) == 1);
    CHECK(keys.expiry("n") == never);
    keys.put("l", "text", expiring_at(now_for_tests + 1ms));
    now_for_tests += 1ms;
    CHECK(keys.push("l", end::back, names{"x"}) == 1);
}

TEST_CASE("kv storage: rules of expire") {
    keyspace keys;
    const auto at = [](auto offset) { return now_for_tests + offset; };
    CHECK_FALSE(keys.expire("a", at(1s), {}));
    keys.put("a", "1");
    CHECK_FALSE(keys.expire("a", at(1s), {.if_some = true}));
    CHECK_FALSE(keys.expire("a", at(1s), {.if_later = true}));
    CHECK(keys.expire("a", at(2s), {.if_none = true}));
    CHECK_FALSE(keys.expire("a", at(2s), {.if_none = true}));
    CHECK_FALSE(keys.expire("a", at(1s), {.if_later = true}));
    CHECK_FALSE(keys.expire("a", at(3s), {.if_sooner = true}));
    CHECK(keys.expire("a", at(1s), {.if_some = true, .if_sooner = true}));
    CHECK(keys.expiry("a") == at(1s));
    CHECK(keys.expire("a", at(0s), {}));
    CHECK(keys.size() == 0);
}

TEST_CASE("kv storage: counters") {
    keyspace keys;
    CHECK(keys.add("n", 5) == 5);
    CHECK(keys.add("n", -7) == -2);
    keys.put("n", "text");
    CHECK(keys.add("n", 1).error() == failure::not_an_integer);
    keys.put("n", "9223372036854775807");
    CHECK(keys.add("n", 1).error() == failure::overflow);
    CHECK(keys.add("n", INT64_MIN) == -1);
    CHECK(keys.add("n", INT64_MIN).error() == failure::overflow);
    REQUIRE(keys.push("l", end::back, names{"x"}));
    CHECK(keys.add("l", 1).error() == failure::wrong_type);
}

TEST_CASE("kv storage: several keys in one call") {
    keyspace keys;
    keys.set_many(names{"a", "1", "b", "2", "a", "3"});
    std::vector<std::string> seen;
    keys.read_many(names{"b", "none", "a"}, [&](std::size_t, const std::string* text) {
        seen.push_back(text ? *text : "(none)");
    });
    CHECK(seen == std::vector<std::string>{"2", "(none)", "3"});
    CHECK(keys.count(names{"a", "a", "none"}) == 2);
}

TEST_CASE("kv storage: lists at both ends") {
    keyspace keys;
    CHECK(keys.push("l", end::back, names{"1", "2"}) == 2);
    CHECK(keys.push("l", end::front, names{"3", "4"}) == 4);
    CHECK(keys.elements("l") == std::vector<std::string>{"4", "3", "1", "2"});
    CHECK(*keys.pop("l", end::front) == "4");
    CHECK(*keys.pop("l", end::back) == "2");
    CHECK(**keys.pop("l", end::back, 0) == std::vector<std::string>{});
    CHECK(**keys.pop("l", end::back, 9) == std::vector<std::string>{"1", "3"});
    CHECK(*keys.pop("l", end::back) == std::nullopt);
    CHECK(keys.size() == 0);
}

TEST_CASE("kv storage: the wrong type is refused and left alone") {
    keyspace keys;
    keys.put("s", "text");
    CHECK(keys.push("s", end::back, names{"x"}).error() == failure::wrong_type);
    CHECK(keys.pop("s", end::back).error() == failure::wrong_type);
    REQUIRE(keys.push("l", end::back, names{"x"}));
    CHECK(keys.text("l") == "(list)");
    CHECK(keys.text("s") == "text");
    keys.put("l", "now text");
    CHECK(keys.text("l") == "now text");
}

TEST_CASE("kv storage: a blocked client is served by a push, the first one first") {
    keyspace keys;
    waiting_client first({"q"});
    waiting_client second({"other", "q"});
    CHECK(*keys.pop_or_wait(first.pop) == false);
    CHECK(*keys.pop_or_wait(second.pop) == false);
    CHECK(keys.push("q", end::back, names{"1"}) == 1);
    CHECK(first.pop->served());
    CHECK(first.pop->element() == "1");
    CHECK(first.waker->wakes == 1);
    CHECK_FALSE(second.pop->served());
    CHECK(keys.push("q", end::front, names{"2", "3"}) == 2);
    CHECK(second.pop->key() == "q");
    CHECK(second.pop->element() == "3");
    CHECK(keys.elements("q") == std::vector<std::string>{"2"});
}

TEST_CASE("kv storage: a list that is there serves at once") {
    keyspace keys;
    REQUIRE(keys.push("b", end::back, names{"1"}));
    waiting_client client({"a", "b"});
    CHECK(*keys.pop_or_wait(client.pop) == true);
    CHECK(client.pop->key() == "b");
    CHECK(client.waker->wakes == 0);
    CHECK(keys.size() == 0);
}

TEST_CASE("kv storage: a client that gave up consumes nothing") {
    keyspace keys;
    waiting_client late({"q", "q"});
    waiting_client next({"q"});
    CHECK(*keys.pop_or_wait(late.pop) == false);
    CHECK(*keys.pop_or_wait(next.pop) == false);
    CHECK(late.pop->give_up());
    REQUIRE(keys.push("q", end::back, names{"1"}));
    CHECK_FALSE(late.pop->served());
    CHECK(next.pop->element() == "1");
    CHECK_FALSE(next.pop->give_up());
    keys.forget(late.pop);
}

TEST_CASE("kv storage: no element is lost between pushes, blocked clients and those who give up") {
    keyspace keys;
    constexpr int pushes = 5'000;
    const auto push_all = [&] {
        for (int i = 0; i < pushes; ++i) {
            static_cast<void>(keys.push(i % 2 ? "q1" : "q2", end::back, names{"x"}));
        }
    };
    int taken = 0;
    std::thread pusher(push_all);
    for (int i = 0; i < pushes; ++i) {
        waiting_client client({"q1", "q2"});
        taken += *keys.pop_or_wait(client.pop) || !client.pop->give_up();
        keys.forget(client.pop);
    }
    pusher.join();
    std::size_t left = keys.elements("q1").size() + keys.elements("q2").size();
    CHECK(static_cast<std::size_t>(taken) + left == pushes);
}

TEST_CASE("kv storage: calls over all keys see those over several whole") {
    kv::storage store;
    std::vector<std::string> texts;
    for (int i = 0; i < 64; ++i) texts.push_back("key:" + std::to_string(i / 2));
    const names pairs(texts.begin(), texts.end());
    std::atomic<bool> over{false};
    std::thread writer([&] {
        while (!over) store.set_many(pairs);
    });
    std::thread eraser([&] {
        while (!over) store.clear();
    });
    std::size_t torn = 0;
    const auto look = [&](std::size_t seen) { torn += seen != 0 && seen != pairs.size() / 2; };
    for (int round = 0; round < 2'000; ++round) {
        look(store.size());
        look(store.match("*").size());
        look(store.count(names(texts.begin(), texts.end())) / 2);
    }
    over = true;
    writer.join();
    eraser.join();
    CHECK(torn == 0);
}

TEST_CASE("kv storage: keys by pattern, and none of the expired") {
    keyspace keys;
    keys.set_many(names{"one", "", "two", "", "three", ""});
    keys.put("told", "", expiring_at(now_for_tests + 1ms));
    now_for_tests += 1ms;
    auto found = keys.match("t*");
    std::ranges::sort(found);
    CHECK(found == std::vector<std::string>{"three", "two"});
    keys.clear();
    CHECK(keys.match("*").empty());
    CHECK(keys.expiring() == 0);
}
