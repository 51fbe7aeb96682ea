#include <sluice/patterns/leak_check.hpp>

namespace sluice::detail {

namespace {

std::pair<const void*, std::uint64_t> id_of(const task_info& t) {
    return {t.frame, t.started};
}

}  // namespace

task_set::task_set(const std::vector<task_info>& tasks) {
    ids_.reserve(tasks.size());
    for (const task_info& t : tasks) ids_.push_back(id_of(t));
    std::sort(ids_.begin(), ids_.end());
}

bool task_set::contains(const task_info& t) const {
    return std::binary_search(ids_.begin(), ids_.end(), id_of(t));
}

// A task that is about to end is no leak: looks again, after pauses that double.
task<std::vector<task_info>> tasks_since(task_set before, std::chrono::nanoseconds grace) {
    const auto begin = sluice::now();
    std::chrono::nanoseconds pause = std::chrono::microseconds(100);
    for (;;) {
        std::vector<task_info> found = co_await live_tasks();
        std::erase_if(found, [&](const task_info& t) { return before.contains(t); });
        const auto left = grace - (sluice::now() - begin);
        if (found.empty() || left <= left.zero()) co_return found;
        co_await sleep_for(std::min(pause, left));
        pause *= 2;
    }
}

}  // namespace sluice::detail
