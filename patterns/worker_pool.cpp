#include <sluice/patterns/worker_pool.hpp>

#include <stdexcept>

namespace sluice {

/// A worker's share of the crew. The count is given back first: it is a part of the crew.
class worker_pool::member {
public:
    explicit member(std::shared_ptr<crew> c) : crew_(std::move(c)), count_(crew_->workers) {}
    member(member&&) noexcept = default;
    member& operator=(member&&) = delete;
    ~member() {
        if (crew_ != nullptr && !ended_) crew_->abandon();
    }
    crew& operator*() const noexcept { return *crew_; }
    void ended() noexcept { ended_ = true; }

private:
    bool ended_ = false;  // by itself; else it is cut with its runtime
    std::shared_ptr<crew> crew_;
    detail::counted count_;
};

worker_pool::worker_pool(std::size_t workers, std::size_t queue)
    : crew_(std::make_shared<crew>(queue)) {
    if (workers == 0) throw std::invalid_argument("sluice: a worker_pool without workers");
    try {
        for (std::size_t i = 0; i != workers; ++i) go(&worker_pool::work, member(crew_));
    } catch (...) {
        close();  // those that were started end
        throw;
    }
}

task<> worker_pool::work(member me) {
    // An exception that leaves a job here is one that nobody waits for.
    while (auto body = co_await (*me).jobs.recv()) co_await std::move(*body);
    me.ended();
}

void worker_pool::crew::close() noexcept {
    // relaxed: only to close once; what was accepted is ordered by the channel.
    if (!closed.exchange(true, detail::relaxed)) jobs.close();
}

// The runtime cuts the workers: no job is done any more, which whoever joins one is told.
void worker_pool::crew::abandon() noexcept {
    close();
    while (jobs.try_recv()) {
    }
}

void worker_pool::close() noexcept {
    crew_->close();
}

}  // namespace sluice
