#include "session.hpp"

#include <chrono>
#include <utility>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/within.hpp>

#include "commands.hpp"

namespace kv {

namespace {

using sluice::select;
using sluice::within;
using namespace std::chrono_literals;

/// A half request up to this long is copied out, so that its workspace can go.
constexpr std::size_t short_request = 1024;

/// What comes this soon after the service has stopped was on its way before.
constexpr auto arrival_time = 20ms;

}  // namespace

task_bell::task_bell(const sluice::context& parent) : task_bell(sluice::with_cancel(parent)) {}

task_bell::task_bell(std::pair<sluice::context, sluice::cancel_function> life)
    : alive_(std::move(life.first)), cancel_(std::move(life.second)) {}

session::~session() {
    abandon_blocked(*this);
}

std::shared_ptr<waker> session::make_bell() {
    bell_ = std::make_shared<task_bell>(service_.cut);
    return bell_;
}

sluice::task<> serve_connection(service* of, sluice::io::tcp_stream connection) {
    session self(*of, std::move(connection));
    bool open = true;
    while (open && !of->stop.err()) {
        if (self.blocked) {
            open = co_await self.wait_for_element();
        } else if (self.mail()) {
            open = co_await self.listen();
        } else {
            const auto ready = co_await within(of->stop, self.connection().readable());
            if (ready) open = co_await self.read_requests();
        }
        if (open) open = co_await self.answer();
    }
    if (open) co_await self.drain();
}

void session::take_workspace() {
    if (space_) return;
    space_ = borrow_workspace();
    space_->append(std::exchange(kept_, {}));
}

void session::tidy_up() {
    if (!space_ || space_->rest().size() > short_request) return;
    kept_ = space_->rest();
    space_.reset();
}

sluice::task<bool> session::read_requests() {
    take_workspace();
    const auto got = co_await within(0s, connection_.read(space_->room()));
    if (!got) co_return got.error() == sluice::errc::deadline_exceeded;  // readable() is a hint
    space_->filled(*got);
    co_return *got != 0;
}

sluice::task<bool> session::answer() {
    using step = workspace::step;
    if (!space_) co_return true;
    for (step next = step::flush; next == step::flush;) {
        next = space_->run(*this);
        for (auto left = space_->out().bytes(); !left.empty();) {
            const auto sent = co_await within(alive(), connection_.write(left));
            if (!sent) co_return false;
            left.remove_prefix(*sent);
            if (mail()) mail()->written(*sent);
        }
        space_->out().clear();
        if (next == step::close) co_return false;
    }
    tidy_up();
    co_return true;
}

// Requests that come meanwhile are only kept; reading them is how the end of the connection is
// seen.
sluice::task<bool> session::wait_for_element() {
    while (!blocked->served()) {
        const auto left = blocked_until - std::chrono::steady_clock::now();
        auto happened = co_await within(
            service_.stop, within(left, select(bell_->rings().recv(), connection_.readable())));
        if (!happened) break;  // out of time, or the service stops
        if (happened->index() == 1) {
            const bool goes_on = co_await read_requests();
            if (!goes_on || space_->rest().size() > service_.state.limits.buffered) co_return false;
        }
    }
    if (service_.stop.err() && blocked->give_up()) co_return false;
    take_workspace();
    finish_blocked(*this, space_->out());
    co_return true;
}

sluice::task<bool> session::listen() {
    auto happened = co_await within(
        service_.stop,
        within(bell_->alive(), select(bell_->rings().recv(), connection_.readable())));
    if (!happened) co_return !bell_->alive().err();
    if (happened->index() == 1) co_return co_await read_requests();
    take_workspace();  // for the messages
    co_return true;
}

// Nothing may be left unread at the end: closing would reset the connection then, and replies on
// their way be lost.
sluice::task<> session::drain() {
    const auto last_call = sluice::now() + arrival_time;
    for (bool arrives = true; arrives;) {
        bool open = true;
        if (blocked) {
            open = co_await wait_for_element();
        } else {
            const auto left = last_call - sluice::now();
            const auto ready = co_await within(service_.cut, within(left, connection_.readable()));
            arrives = ready.has_value();
            if (arrives) {
                open = co_await read_requests();
            } else {
                unsubscribe_all();  // what was posted until now is the last to be sent
                take_workspace();
            }
        }
        if (open) open = co_await answer();
        if (!open) co_return;
    }
    static_cast<void>(connection_.shutdown());
}

}  // namespace kv
