#include "server.hpp"

#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

#include <sluice/io/tcp.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/signals.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "session.hpp"

namespace kv {

namespace {

using sluice::within;
using namespace std::chrono_literals;

constexpr auto sweep_period = 100ms;
constexpr auto accept_pause = 20ms;
constexpr auto keepalive = 300s;  // as Redis: a peer that is gone without a word is noticed
constexpr auto drain_time = 5s;

// A connection is a descriptor; the usual soft limit of 1,024 is for programs that use select().
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Drops expired keys that nobody asks for any more.
sluice::task<> sweep(service* of) {
    for (;;) {
        const auto slept = co_await within(of->stop, sluice::sleep_for(sweep_period));
        if (!slept) co_return;
        of->state.keys.expire_due();
    }
}

sluice::task<> accept_connections(service& to, sluice::io::tcp_listener& listener,
                                  sluice::wait_group& sessions) {
    for (;;) {
        auto connection = co_await within(to.stop, listener.accept());
        if (connection) {
            static_cast<void>(connection->set_keepalive(keepalive));  // or it goes without
            sessions.go(serve_connection, &to, std::move(*connection));
        } else if (to.stop.err()) {
            co_return;
        } else {
            // Out of descriptors, most likely: those who wait are served when others have left.
            co_await sluice::sleep_for(accept_pause);
        }
    }
}

}  // namespace

sluice::task<int> serve(program_options options) {
    raise_descriptor_limit();
    auto listener = sluice::io::listen_tcp("127.0.0.1:" + std::to_string(options.port));
    if (!listener) {
        std::fprintf(stderr, "kv: cannot listen on 127.0.0.1:%u: %s\n", unsigned{options.port},
                     listener.error().message().c_str());
        co_return 1;
    }
    auto [stop, unhook] = sluice::notify_context({SIGINT, SIGTERM});
    auto [cut, cut_now] = sluice::with_cancel(sluice::background());
    service here;
    here.stop = stop;
    here.cut = cut;
    here.state.port = listener->local_address().value().port();
    here.state.workers = sluice::stats().workers;
    std::printf("listening on 127.0.0.1:%u\n", unsigned{here.state.port});
    std::fflush(stdout);

    sluice::wait_group tasks;
    tasks.go(sweep, &here);
    co_await accept_connections(here, *listener, tasks);
    listener->close();
    const auto drained = co_await within(drain_time, tasks.wait());
    cut_now();
    if (!drained) co_await tasks.wait();
    co_return 0;
}

}  // namespace kv
