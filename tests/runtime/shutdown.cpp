// A runtime that ends while its tasks wait, in every way there is.
#include <sluice/runtime/runtime.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/channels/ticker.hpp>
#include <sluice/channels/timer.hpp>
#include <sluice/io/tcp.hpp>
#include <sluice/runtime/blocking.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/select_case.hpp>
#include <sluice/runtime/signals.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/cond.hpp>
#include <sluice/runtime/sync/mutex.hpp>
#include <sluice/runtime/sync/once.hpp>
#include <sluice/runtime/sync/rw_mutex.hpp>
#include <sluice/runtime/sync/semaphore.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::chan;
using sluice::context;
using sluice::task;

namespace {

/// What the tasks of one round wait for. It outlives the runtime, and `guard` counts the frames
/// that are alive.
struct sources {
    std::shared_ptr<int> guard = std::make_shared<int>(0);
    chan<std::shared_ptr<int>> empty = sluice::make_chan<std::shared_ptr<int>>();
    chan<std::shared_ptr<int>> unread = sluice::make_chan<std::shared_ptr<int>>();
    sluice::mutex mu;
    sluice::mutex free;
    sluice::cond never{free};
    sluice::rw_mutex written;
    sluice::rw_mutex read;
    sluice::once first;
    sluice::semaphore permits{2};
    sluice::wait_group group;
    std::pair<context, sluice::cancel_function> ending = sluice::with_cancel(sluice::background());
    context stopping = sluice::background();
    std::atomic<std::size_t> left_in_time{0};
    std::atomic<bool> let_go{false};

    /// After the end of the runtime: what it could not cut.
    void end() {
        ending.second();  // what after_func() has registered
        let_go = true;    // blocking calls
        let_go.notify_all();
    }
};

using held = std::shared_ptr<int>;

// Each waits for ever, and owns a share of the guard.
task<> in_recv(sources* s, held) {
    static_cast<void>(co_await s->empty.recv());
}
task<> in_send(sources* s, held h) {
    co_await s->unread.send(std::move(h));
}
task<> in_nil(sources*, held) {
    static_cast<void>(co_await chan<int>().recv());
}
task<> in_nil_send(sources*, held) {
    co_await chan<int>().send(1);
}
task<> in_select(sources* s, held h) {
    static_cast<void>(co_await select(s->empty.recv(), s->unread.send(h), sluice::sleep_for(1h),
                                      s->ending.first.done()));
}
task<> in_within_context(sources* s, held) {
    static_cast<void>(co_await sluice::within(s->ending.first, s->empty.recv()));
}
task<> in_within_time(sources* s, held) {
    static_cast<void>(co_await sluice::within(1h, select(s->empty.recv(), s->group.wait())));
}
task<> in_sleep(sources*, held) {
    co_await sluice::sleep_for(1h);
}
task<> in_lock(sources* s, held) {
    const auto guard = co_await s->mu.lock();
    co_await chan<int>().send(1);
}
task<> in_cond(sources* s, held) {
    auto guard = co_await s->free.lock();
    co_await s->never.wait(guard);
}
task<> in_write_lock(sources* s, held) {
    const auto guard = co_await s->written.lock();
    co_await chan<int>().send(1);
}
task<> in_shared_lock(sources* s, held) {
    const auto guard = co_await s->written.lock_shared();
    co_await chan<int>().send(1);
}
task<> in_lock_of_readers(sources* s, held) {
    {
        const auto guard = co_await s->read.lock_shared();
        co_await sluice::yield();
    }
    const auto guard = co_await s->read.lock();
    co_await chan<int>().send(1);
}
task<> in_once(sources* s, held h) {
    co_await s->first.call(in_recv, s, std::move(h));
}
task<> in_acquire(sources* s, held) {
    const auto permit = co_await s->permits.acquire(2);
    co_await sluice::background().done();
}
task<> in_huge_acquire(sources* s, held) {
    static_cast<void>(co_await s->permits.acquire(3));
}
task<> in_group(sources* s, held) {
    co_await s->group.wait();
}
task<> in_own_group(sources* s, held h) {
    sluice::wait_group own;
    own.go(in_recv, s, h);
    co_await own.wait();
}
task<> in_join(sources* s, held h) {
    auto handle = sluice::spawn(in_recv, s, std::move(h));
    co_await handle.join();
}
task<> in_run_time_select(sources* s, held h) {
    std::optional<held> got;
    std::array cases{sluice::select_case(s->empty.recv(), got),
                     sluice::select_case(s->unread.send(std::move(h))),
                     sluice::select_case(s->group.wait())};
    static_cast<void>(co_await select(std::span(cases)));
}
task<> in_signal(sources*, held) {
    const auto told = sluice::notify_context({SIGUSR2});
    co_await told.first.done();
}
task<> until_stopping(sources* s, held) {
    co_await s->stopping.done();
    ++s->left_in_time;
}
task<> in_done(sources* s, held) {
    co_await s->ending.first.done();
}
task<> in_timer(sources*, held) {
    const sluice::timer t(1h);
    static_cast<void>(co_await t.recv());
}
task<> in_ticker(sources*, held) {
    const sluice::ticker t(1h);
    static_cast<void>(co_await t.recv());
}
task<> in_short_ticker(sources*, held) {
    const sluice::ticker t(200us);
    for (;;) static_cast<void>(co_await t.recv());
}
task<> in_yields(sources*, held) {
    for (;;) co_await sluice::yield();
}
task<> after_blocking(sources* s, held h) {
    const auto call = [h] { std::this_thread::yield(); };
    co_await sluice::blocking(call);
    static_cast<void>(co_await s->empty.recv());
}
task<> in_blocking(sources* s, held h) {
    const auto call = [s, h] { s->let_go.wait(false); };
    co_await sluice::blocking(call);
}
task<> in_accept(sources*, held) {
    const auto listener = sluice::io::listen_tcp("127.0.0.1:0");
    if (!EXPECT(listener.has_value())) co_return;
    static_cast<void>(co_await listener->accept());
}
task<> in_connect(sources*, held) {
    const auto listener = sluice::io::listen_tcp("127.0.0.1:0", {.backlog = 0});
    if (!EXPECT(listener.has_value())) co_return;
    const auto address = listener->local_address();
    const auto only = co_await sluice::io::connect_tcp(address.value());
    static_cast<void>(co_await sluice::io::connect_tcp(address.value()));  // nobody accepts
}
// wait(stream) on one end of a connection whose other end does nothing.
task<> on_stream(task<> (*wait)(const sluice::io::tcp_stream*)) {
    const auto listener = sluice::io::listen_tcp("127.0.0.1:0");
    if (!EXPECT(listener.has_value())) co_return;
    const auto address = listener->local_address();
    const auto here = co_await sluice::io::connect_tcp(address.value());
    const auto there = co_await listener->accept();
    if (!EXPECT(here.has_value() && there.has_value())) co_return;
    co_await wait(&*here);
}
task<> read_some(const sluice::io::tcp_stream* from) {
    std::array<std::byte, 64> buffer;
    static_cast<void>(co_await from->read(buffer));
}
task<> wait_readable(const sluice::io::tcp_stream* from) {
    static_cast<void>(co_await from->readable());
}
task<> write_too_much(const sluice::io::tcp_stream* to) {
    static const std::string much(16 << 20, 'x');
    static_cast<void>(co_await to->write_all(much));
}
task<> in_read(sources*, held) {
    co_await on_stream(read_some);
}
task<> in_readable(sources*, held) {
    co_await on_stream(wait_readable);
}
task<> in_write(sources*, held) {
    co_await on_stream(write_too_much);
}
task<> in_deep_await(sources* s, held h) {
    co_await in_select(s, std::move(h));
}
task<> in_after_func(sources* s, held h) {
    auto stop = after_func(s->ending.first, [h] {});
    static_cast<void>(co_await s->empty.recv());
}

using waiting_function = task<> (*)(sources*, held);

constexpr std::array kinds{
    &in_recv,         &in_send,
    &in_nil,          &in_nil_send,
    &in_select,       &in_within_context,
    &in_within_time,  &in_sleep,
    &in_lock,         &in_acquire,
    &in_huge_acquire, &in_group,
    &in_own_group,    &in_join,
    &in_done,         &in_timer,
    &in_ticker,       &in_short_ticker,
    &in_yields,       &in_blocking,
    &in_accept,       &in_read,
    &in_deep_await,   &in_after_func,
    &in_cond,         &in_write_lock,
    &in_shared_lock,  &in_lock_of_readers,
    &in_once,         &in_run_time_select,
    &in_signal,       &until_stopping,
    &after_blocking,  &in_connect,
    &in_readable,     &in_write,
};
constexpr std::size_t tasks_started = 100;

/// With those that they start: what runs once, too.
constexpr std::size_t tasks_in_all = [] {
    std::size_t n = tasks_started + 1;
    for (std::size_t i = 0; i != tasks_started; ++i) {
        const auto kind = kinds[i % kinds.size()];
        if (kind == &in_own_group || kind == &in_join) ++n;
    }
    return n;
}();

task<> start_all(sources* s) {
    for (std::size_t i = 0; i != tasks_started; ++i) {
        if (i % 10 == 9) co_await sluice::yield();
        sluice::go(kinds[i % kinds.size()], s, s->guard);
    }
    // Most of the others have come to their wait by now.
    for (int i = 0; i != 3; ++i) co_await sluice::yield();
}

bool described(const sluice::task_info& t) {
    const std::string line = t.describe();
    const auto names = [&line](const char* what) { return line.find(what) != std::string::npos; };
    // What a wrapper was made for is known by its type only, until it starts.
    if (t.waits_for == "ready to start" && (names("call_counted") || names("run_joined")))
        return true;
    return !t.waits_for.empty() && names("shutdown.cpp:");
}

void wait_for_stragglers(const held& guard) {
    // A blocking() call that was abandoned keeps its argument until it has run.
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (guard.use_count() != 1 && std::chrono::steady_clock::now() < end)
        std::this_thread::yield();
}

/// Is copied where others are moved, so that every frame that it passes through keeps a share.
struct copied_token {
    copied_token() = default;
    copied_token(const copied_token&) = default;
    std::shared_ptr<int> held = std::make_shared<int>(0);
};

}  // namespace

TEST_CASE(
    "shutdown: 1,000 runtimes end with 100 tasks in every kind of wait; each is named and none is "
    "lost") {
    std::size_t cut = 0;
    std::size_t left = 0;  // by themselves, when they were told
    for (int round = 0; round != 1'000; ++round) {
        sources s;
        s.group.add(1);
        std::size_t reported = 0;
        {
            sluice::options o;
            o.workers = round % 3 == 0 ? 1 : 2;
            if (round % 2 == 0) o.driver = sluice::driver_kind::epoll;
            sluice::runtime rt(o);
            s.stopping = rt.stopping();
            if (round % 4 == 3) {
                rt.go(start_all, &s);  // shutdown meets tasks that start
            } else {
                rt.block_on(start_all, &s);
            }
            const auto report = rt.shutdown(round % 8 == 0 ? 1ms : 0ms);
            reported = report.cut.size();
            std::size_t unnamed = 0;
            for (const sluice::task_info& t : report.cut) unnamed += described(t) ? 0 : 1;
            REQUIRE(unnamed == 0);
            REQUIRE(rt.num_tasks() == 0);
            const sluice::runtime_stats stats = rt.stats();
            REQUIRE(stats.tasks == 0);
            REQUIRE(static_cast<std::size_t>(stats.started) >= reported);
        }
        s.end();
        wait_for_stragglers(s.guard);
        REQUIRE(s.guard.use_count() == 1);
        // Nothing that was cut holds on to what it waited for or had taken.
        REQUIRE(s.mu.try_lock().owns_lock());
        REQUIRE(s.permits.try_acquire(2).held());
        REQUIRE_FALSE(s.empty.try_send(s.guard));
        REQUIRE_FALSE(s.unread.try_recv());
        if (round % 4 != 3) REQUIRE(reported + s.left_in_time >= tasks_started);
        cut += reported;
        left += s.left_in_time;
    }
    CHECK(cut >= 75'000);
    CHECK(left > 0);
    report_expectations();
}

TEST_CASE("shutdown: a task that never started is named by its function") {
    sources s;
    sluice::detail::scheduler idle({.workers = 1}, sluice::detail::scheduler::ending::on_request);
    REQUIRE(sluice::detail::start_detached(idle, in_recv(&s, s.guard)));
    idle.close();
    const auto cut = idle.cut();
    REQUIRE(cut.size() == 1);
    CHECK(cut.front().waits_for == "ready to start");
    CHECK(cut.front().describe().find("in_recv") != std::string::npos);
    CHECK(s.guard.use_count() == 1);
}

TEST_CASE("shutdown: the number of tasks that the report names is the number that was alive") {
    for (int round = 0; round != 20; ++round) {
        sources s;
        s.group.add(1);
        sluice::runtime rt(sluice::options{.workers = 2});
        const copied_token token;
        rt.block_on(
            [](sources* from, copied_token) -> task<> {
                for (std::size_t i = 0; i != tasks_started; ++i)
                    sluice::go(kinds[i % kinds.size()], from, from->guard);
                for (int i = 0; i != 20; ++i) co_await sluice::yield();
            },
            &s, token);
        // The task of block_on() itself may be at its very end. When it has let go of what it was
        // given, it is no more.
        while (token.held.use_count() != 1) std::this_thread::yield();
        while (rt.num_tasks() != tasks_in_all) std::this_thread::yield();
        const auto report = rt.shutdown(0s);
        CHECK(report.cut.size() == tasks_in_all);
        s.end();
        wait_for_stragglers(s.guard);
    }
    report_expectations();
}
