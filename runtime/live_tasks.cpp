#include <sluice/runtime/live_tasks.hpp>

#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice::detail {

std::vector<task_info> list_tasks_here() {
    return scheduler_here("live_tasks()").list_tasks();
}

}  // namespace sluice::detail
