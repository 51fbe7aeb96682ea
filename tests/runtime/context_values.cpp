#include <sluice/runtime/context.hpp>

#include <chrono>
#include <memory>
#include <string>

#include <sluice/runtime/select.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::background;
using sluice::context;
using sluice::context_key;
using sluice::task;
using sluice::with_value;

namespace {

const context_key<int> number("number");
const context_key<int> same_name("number");
const context_key<std::string> user("user");

}  // namespace

TEST_CASE(
    "context 3.14: without_cancel drops done, error, deadline and cause, and keeps the values") {
    on_workers([]() -> task<> {
        const context valued = with_value(background(), user, "ada");
        auto [timed, cancel] = sluice::with_timeout(valued, 1h);
        const context free = sluice::without_cancel(with_value(timed, number, 3));
        EXPECT(!free.deadline());
        cancel();
        EXPECT(timed.err() == sluice::errc::canceled);
        EXPECT(!free.err());
        EXPECT(!free.cause());
        const auto got = co_await select(free.done(), sluice::otherwise);
        EXPECT(got.index() == 1);
        EXPECT(*free.value(user) == "ada");
        EXPECT(*free.value(number) == 3);

        auto [below, cancel_below] = sluice::with_cancel(free);
        EXPECT(!below.err());
        cancel_below();
        EXPECT(below.err() == sluice::errc::canceled);
        EXPECT(!free.err());
    });
}

TEST_CASE("context 3.15: the nearest ancestor that has a value under the key wins") {
    const context one = with_value(background(), number, 1);
    const context two = with_value(one, number, 2);
    const context named = with_value(two, user, "grace");
    auto [below, cancel] = sluice::with_cancel(named);
    CHECK(*one.value(number) == 1);
    CHECK(*two.value(number) == 2);
    CHECK(*below.value(number) == 2);
    CHECK(*below.value(user) == "grace");
    CHECK(one.value(user) == nullptr);
    CHECK(background().value(number) == nullptr);
}

TEST_CASE("context 3.15: keys of the same type and name are different keys") {
    const context ctx = with_value(background(), number, 1);
    CHECK(ctx.value(same_name) == nullptr);
    const context both = with_value(ctx, same_name, 2);
    CHECK(*both.value(number) == 1);
    CHECK(*both.value(same_name) == 2);
}

TEST_CASE("context: a context with a value ends with its parent, at its deadline") {
    on_workers([]() -> task<> {
        auto [parent, cancel] = sluice::with_timeout(background(), 1h);
        const context valued = with_value(parent, number, 1);
        EXPECT(valued.deadline() == parent.deadline());
        cancel();
        co_await valued.done();
        EXPECT(valued.err() == sluice::errc::canceled);
    });
}

TEST_CASE("context: a value lives as long as the contexts below it") {
    const context_key<std::shared_ptr<int>> held("held");
    const auto object = std::make_shared<int>(7);
    auto ctx = with_value(background(), held, object);
    ctx = with_value(ctx, number, 1);
    CHECK(object.use_count() == 2);
    CHECK(**ctx.value(held) == 7);
    ctx = background();
    CHECK(object.use_count() == 1);
}

TEST_CASE("context: a chain of a million values is freed without recursion") {
    context ctx;
    for (int i = 0; i != 1'000'000; ++i) ctx = with_value(ctx, number, i);
    CHECK(*ctx.value(number) == 999'999);
    ctx = background();
    CHECK(ctx.value(number) == nullptr);
}
