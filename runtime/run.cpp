#include <sluice/runtime/run.hpp>

#include <stdexcept>
#include <string>

#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

std::string detail::described(const std::vector<task_info>& tasks) {
    std::string text;
    for (const task_info& t : tasks) text += "\n  " + t.describe();
    return text;
}

deadlock::deadlock(std::vector<task_info> tasks)
    : std::runtime_error("all tasks are asleep - deadlock!" + detail::described(tasks)),
      tasks_(std::make_shared<const std::vector<task_info>>(std::move(tasks))) {}

void detail::end_of_main(bool failed) noexcept {
    current_worker()->owner().main_ended(failed);
}

void detail::run_until_quiescent(options o, task<> main_task) {
    class scheduler s(o, scheduler::ending::when_quiescent);
    start_detached(s, std::move(main_task));
    s.start_threads(1);
    s.run_here();
    s.close();
    s.join();
    const bool stuck = s.deadlocked();
    std::vector<task_info> left = s.cut();
    if (stuck) throw deadlock(std::move(left));
}

}  // namespace sluice
