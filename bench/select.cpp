// One task sends to one of several channels, in turn, and selects over all of them.

#include "measure.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>

#include <array>
#include <variant>

namespace {

std::int64_t value_of(const auto& selected) {
    return std::visit([](const auto& value) { return *value; }, selected);
}

sluice::task<bool> select_2(std::int64_t n) {
    auto a = sluice::make_chan<std::int64_t>(1);
    auto b = sluice::make_chan<std::int64_t>(1);
    const std::array turns{&a, &b};
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        co_await turns[i % turns.size()]->send(i);
        const auto got = co_await sluice::select(a.recv(), b.recv());
        sum += value_of(got);
    }
    co_return sum == n*(n - 1) / 2;
}

sluice::task<bool> select_4(std::int64_t n) {
    auto a = sluice::make_chan<std::int64_t>(1);
    auto b = sluice::make_chan<std::int64_t>(1);
    auto c = sluice::make_chan<std::int64_t>(1);
    auto d = sluice::make_chan<std::int64_t>(1);
    const std::array turns{&a, &b, &c, &d};
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        co_await turns[i % turns.size()]->send(i);
        const auto got = co_await sluice::select(a.recv(), b.recv(), c.recv(), d.recv());
        sum += value_of(got);
    }
    co_return sum == n*(n - 1) / 2;
}

const measured two("select_2", 4'000'000, select_2);
const measured four("select_4", 4'000'000, select_4);

}  // namespace
