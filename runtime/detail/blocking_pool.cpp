#include <sluice/runtime/detail/blocking_pool.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <pthread.h>
#include <unistd.h>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::detail {

namespace {

constexpr std::chrono::seconds idle_time{10};
constexpr std::size_t most_threads = 512;  // more calls than that wait in the queue

constinit thread_local bool of_the_pool = false;  // the calling thread

class blocking_pool {
public:
    /// For the end of the process: waits for the calls under way. Not for one that ends the process
    /// itself, nor in a forked child, which has none of the threads.
    void drain() {
        if (of_the_pool || ::getpid() != process_) return;
        std::unique_lock lock(mutex_);
        stopping_ = true;
        work_.notify_all();
        all_ended_.wait(lock, [this] { return threads_.empty(); });
        std::thread last = std::move(last_ended_);
        lock.unlock();
        if (last.joinable()) last.join();
    }

    void submit(std::unique_ptr<blocking_job> job) {
        std::unique_lock lock(mutex_);
        jobs_.push_back(std::move(job));
        if (idle_ >= jobs_.size()) {
            work_.notify_one();
            return;
        }
        if (threads_.size() == most_threads) return;
        const auto self = threads_.emplace(threads_.end());
        try {
            *self = std::thread([this, self] { work(self); });  // waits for the lock
        } catch (const std::system_error&) {
            threads_.erase(self);
            if (!threads_.empty()) return;  // the others get to it
            std::unique_ptr<blocking_job> unserved = std::move(jobs_.back());
            jobs_.pop_back();
            lock.unlock();
            throw;
        }
    }

private:
    void work(std::list<std::thread>::iterator self) {
        ::pthread_setname_np(::pthread_self(), "sluice-blocking");
        of_the_pool = true;
        std::unique_lock lock(mutex_);
        for (;;) {
            ++idle_;
            work_.wait_for(lock, idle_time, [this] { return stopping_ || !jobs_.empty(); });
            --idle_;
            if (jobs_.empty()) break;
            std::unique_ptr<blocking_job> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job->run();
            job.reset();
            lock.lock();
        }
        // Each thread is joined by the next one that ends, so that drain() leaves none behind.
        // (std::notify_all_at_thread_exit would not do: in an exiting process it may be dead
        // before drain() runs, and then the lock is never released.)
        std::thread before = std::exchange(last_ended_, std::move(*self));
        threads_.erase(self);
        if (threads_.empty()) all_ended_.notify_all();
        lock.unlock();
        if (before.joinable()) before.join();
    }

    const ::pid_t process_ = ::getpid();
    std::mutex mutex_;
    std::condition_variable work_;
    std::condition_variable all_ended_;
    std::deque<std::unique_ptr<blocking_job>> jobs_;
    std::size_t idle_ = 0;
    std::list<std::thread> threads_;
    std::thread last_ended_;
    bool stopping_ = false;
};

blocking_pool& pool() {
    // Never destroyed: a destructor of a static object may still ask for a call.
    static blocking_pool* const instance = [] {
        auto* const made = new blocking_pool;
        std::atexit([] { pool().drain(); });
        return made;
    }();
    return *instance;
}

}  // namespace

blocking_job::blocking_job(scheduler& from) noexcept : runtime_id_(from.id()) {
    from.hold_outside();
}

blocking_job::~blocking_job() {
    scheduler* const home = scheduler::find_and_pin(runtime_id_);
    if (home == nullptr) return;
    home->release_outside();
    home->unpin();
}

void submit_blocking(std::unique_ptr<blocking_job> job) {
    worker* const here = current_worker();
    if (here != nullptr && here->owner().simulated()) {
        job->run();
    } else {
        pool().submit(std::move(job));
    }
}

}  // namespace sluice::detail
