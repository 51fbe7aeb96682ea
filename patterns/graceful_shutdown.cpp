#include <sluice/patterns/graceful_shutdown.hpp>

#include <sluice/runtime/select.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

bool flight_register::enter(names& one) {
    const std::lock_guard guard(mutex_);
    if (closed_ || stop.err()) return false;
    in_flight_.splice(in_flight_.end(), one);
    alive.add(1);
    return true;
}

void flight_register::leave(names::iterator which) noexcept {
    {
        const std::lock_guard guard(mutex_);
        in_flight_.erase(which);
    }
    alive.done();
}

void flight_register::close() {
    const std::lock_guard guard(mutex_);
    closed_ = true;
}

void flight_register::cut(const failure& why) {
    {
        const std::lock_guard guard(mutex_);
        if (std::exchange(was_cut_, true)) return;
        cut_.insert(cut_.end(), in_flight_.begin(), in_flight_.end());
    }
    work_.second(why);
}

std::vector<std::string> flight_register::names_cut() const {
    const std::lock_guard guard(mutex_);
    return cut_;
}

flight::flight(std::shared_ptr<flight_register> in, std::string name) {
    flight_register::names one;
    one.push_back(std::move(name));
    which_ = one.begin();
    if (in->enter(one)) in_ = std::move(in);
}

}  // namespace detail

namespace {

task<result<>> drain_flights(context hurry, std::chrono::nanoseconds grace,
                             std::shared_ptr<detail::flight_register> of) {
    static_cast<void>(co_await select(of->stop.done(), hurry.done()));
    of->close();
    const auto in_time = co_await within(grace, within(hurry, of->alive.wait()));
    failure why;
    if (!in_time) why = hurry.err() ? hurry.cause() : failure(errc::deadline_exceeded);
    of->cut(why);
    co_await of->alive.wait();
    const auto outcome = co_await of->group.wait();
    co_return outcome;
}

}  // namespace

task<result<>> graceful_shutdown::drain(context hurry, std::chrono::nanoseconds grace) {
    return drain_flights(std::move(hurry), grace, register_);
}

}  // namespace sluice
