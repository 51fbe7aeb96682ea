#include <sluice/patterns/elastic_pool.hpp>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice {

namespace detail {

/// A worker's share of the core. The count is given back first: it is a part of the core.
class elastic_core::member {
public:
    member(std::shared_ptr<elastic_core> c, counted count) noexcept
        : core_(std::move(c)), count_(std::move(count)) {}
    /// Once, into the worker's frame: if there is no memory for that, the pool lives on.
    member(member&& other) noexcept
        : works_(true), core_(std::move(other.core_)), count_(std::move(other.count_)) {}
    member& operator=(member&&) = delete;
    ~member() {
        if (core_ != nullptr && works_) core_->abandon();
    }
    elastic_core& operator*() const noexcept { return *core_; }
    void ended() noexcept { works_ = false; }

private:
    // In its frame, until it ends by itself; else it is cut with its runtime, or was refused.
    bool works_ = false;
    std::shared_ptr<elastic_core> core_;
    counted count_;
};

elastic_core::elastic_core(std::size_t most, std::size_t queue, std::chrono::nanoseconds window)
    : most_(most),
      window_(window.count()),
      home_(scheduler_here("elastic_pool").id()),
      room_(make_chan<>(static_cast<std::ptrdiff_t>(most + queue))),
      jobs_(make_chan<task<>>(static_cast<std::ptrdiff_t>(most + queue))),
      window_began_(detail::now()) {
    work_.add(1);
}

bool elastic_core::accept(task<> body) {
    std::optional<counted> fresh;  // the count of a worker to be started
    {
        // A worker is counted, and a job sent, before anybody can close the pool.
        const std::lock_guard guard(lock_);
        if (!closed_) {
            ++demand_;
            highest_demand_ = std::max(highest_demand_, demand_);
            if (demand_ <= workers_ || workers_ == most_) {
                jobs_.try_send(std::move(body));  // it has room
                return true;
            }
            ++workers_;
            ++counters_.started;
            counters_.peak = std::max(counters_.peak, workers_);
            fresh.emplace(work_);
        }
    }
    if (!fresh) {
        give_back();
        return false;
    }
    try {
        if (start_worker(std::move(*fresh), std::move(body))) return true;
    } catch (...) {
        not_started();
        throw;
    }
    not_started();
    return false;
}

// False: the runtime is at its end, or gone. The pool is closed then.
bool elastic_core::start_worker(counted count, task<> first) {
    auto worker = work(member(shared_from_this(), std::move(count)), std::move(first));
    scheduler* const home = scheduler::find_and_pin(home_);
    if (home == nullptr) return false;
    const bool started = start_detached(*home, std::move(worker));
    home->unpin();
    return started;
}

void elastic_core::not_started() {
    {
        const std::lock_guard guard(lock_);
        --workers_;
        --counters_.started;
    }
    job_gone();
}

void elastic_core::job_gone() {
    bool last = false;
    {
        const std::lock_guard guard(lock_);
        last = --demand_ == 0 && closed_;
    }
    give_back();
    if (last) jobs_.close();
}

// No job is done any more, which whoever joins one is told.
void elastic_core::abandon() noexcept {
    close();
    while (const auto job = jobs_.try_recv()) job_gone();
}

// Between two jobs a worker waits at the channel until the window is over, and then asks whether it
// may go. An exception that leaves a job here is one that nobody waits for.
task<> elastic_core::work(member me, task<> first) {
    elastic_core& core = *me;
    std::optional<task<>> next(std::move(first));
    while (next) {
        {
            task<> body = std::move(*next);
            next.reset();
            co_await std::move(body);
        }  // whoever joins the job finds it gone
        core.job_gone();
        bool retired = core.may_retire();
        while (!retired && !next) {
            auto got = co_await within(core.window_left(), core.jobs_.recv());
            if (!got) {
                retired = core.may_retire();
            } else if (!*got) {
                core.retire();
                retired = true;
            } else {
                next.emplace(std::move(**got));
            }
        }
    }
    me.ended();
}

// Of a worker without a job. True: it has retired.
bool elastic_core::may_retire() {
    const std::lock_guard guard(lock_);
    if (const std::int64_t t = detail::now(); t - window_began_ >= window_) {
        window_began_ = t;
        highest_before_ = std::exchange(highest_demand_, demand_);
    }
    if (workers_ <= std::max(highest_demand_, highest_before_)) return false;
    --workers_;
    ++counters_.retired;
    return true;
}

// The pool is closed.
void elastic_core::retire() {
    const std::lock_guard guard(lock_);
    --workers_;
    ++counters_.retired;
}

std::chrono::nanoseconds elastic_core::window_left() {
    const std::lock_guard guard(lock_);
    return std::chrono::nanoseconds(window_ - (detail::now() - window_began_));
}

void elastic_core::close() noexcept {
    bool last = false;
    {
        const std::lock_guard guard(lock_);
        if (std::exchange(closed_, true)) return;
        last = demand_ == 0;
    }
    room_.close();
    if (last) jobs_.close();
    work_.done();
}

elastic_counters elastic_core::counters() const noexcept {
    const std::lock_guard guard(lock_);
    elastic_counters all = counters_;
    all.current = workers_;
    return all;
}

}  // namespace detail

elastic_pool::elastic_pool(std::size_t most, std::size_t queue, std::chrono::nanoseconds window)
    : core_(std::make_shared<detail::elastic_core>(most, queue, window)) {
    if (most == 0) throw std::invalid_argument("sluice: an elastic_pool without workers");
    if (most + queue < queue)
        throw std::invalid_argument("sluice: the queue of an elastic_pool is too large");
    if (window <= window.zero())
        throw std::invalid_argument("sluice: the window of an elastic_pool is not positive");
}

}  // namespace sluice
