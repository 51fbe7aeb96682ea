#include <sluice/runtime/runtime.hpp>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice {

struct runtime::state {
    explicit state(options o)
        : scheduler(o, detail::scheduler::ending::on_request), root(with_cancel(background())) {}

    detail::scheduler scheduler;
    std::pair<context, cancel_function> root;
    std::recursive_mutex ending;  // what is cut may ask for the end too
    bool ended = false;           // under it
};

runtime::runtime(options o) : state_(std::make_unique<state>(o)) {
    state_->scheduler.start_threads(0);
}

runtime::~runtime() {
    shut_down(0);
}

detail::scheduler& runtime::scheduler() const noexcept {
    return state_->scheduler;
}

void runtime::accept(bool accepted) {
    if (!accepted) throw std::logic_error("sluice: the runtime has been shut down");
}

const context& runtime::stopping() const noexcept {
    return state_->root.first;
}

shutdown_report runtime::shut_down(std::int64_t grace) {
    detail::scheduler& s = state_->scheduler;
    if (const detail::worker* const w = detail::current_worker(); w != nullptr && &w->owner() == &s)
        throw std::logic_error("sluice: a task cannot shut its own runtime down");
    const std::lock_guard guard(state_->ending);
    if (std::exchange(state_->ended, true)) return {};
    const std::int64_t start = detail::now();
    state_->root.second();
    std::chrono::nanoseconds pause = std::chrono::microseconds(20);
    while (s.num_tasks() != 0 && detail::now() - start < grace) {
        std::this_thread::sleep_for(pause);
        pause = std::min<std::chrono::nanoseconds>(2 * pause, std::chrono::milliseconds(1));
    }
    s.close();
    s.stop();
    s.join();
    return shutdown_report{s.cut()};
}

std::size_t runtime::num_tasks() const noexcept {
    return static_cast<std::size_t>(state_->scheduler.num_tasks());
}

runtime_stats runtime::stats() const {
    return state_->scheduler.stats();
}

runtime_stats stats() {
    return detail::require_worker("stats()").owner().stats();
}

}  // namespace sluice
