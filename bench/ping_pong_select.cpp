// Ping-pong where every send and receive also heeds a context.

#include "measure.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/spawn.hpp>

namespace {

using sluice::chan;

sluice::task<> echo_until_done(sluice::context ctx, chan<std::int64_t> ping,
                               chan<std::int64_t> pong) {
    for (;;) {
        const auto got = co_await sluice::select(ping.recv(), ctx.done());
        if (got.index() == 1) co_return;
        const auto sent = co_await sluice::select(pong.send(*std::get<0>(got)), ctx.done());
        if (sent.index() == 1) co_return;
    }
}

sluice::task<bool> ping_pong_select(std::int64_t n) {
    auto ping = sluice::make_chan<std::int64_t>();
    auto pong = sluice::make_chan<std::int64_t>();
    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    sluice::go(echo_until_done, ctx, ping, pong);
    bool correct = true;
    for (std::int64_t i = 0; i < n && correct; ++i) {
        const auto sent = co_await sluice::select(ping.send(i), ctx.done());
        const auto reply = co_await sluice::select(pong.recv(), ctx.done());
        correct = sent.index() == 0 && reply.index() == 0 && std::get<0>(reply) == i;
    }
    co_return correct;
}

const measured tasks("ping_pong_select", 500'000, ping_pong_select);

}  // namespace
