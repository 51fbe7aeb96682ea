// How a simulation runs
//   The loop takes all that is ready out of the queues of its one worker into a list, draws one,
//   and runs it with a short slice, drawn too, so that a task may have to let others go first at
//   any step. When nothing is ready the clock moves to the earliest timer. What the network (io/)
//   brings comes by timers, too, and then stands in the same list. The workers of real
//   runtimes pay nothing for this: the loop uses their queues, timers and slices as they are.
#include <sluice/runtime/simulate.hpp>

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sluice/runtime/detail/environment.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/detail/simulated_driver.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

namespace detail {

class simulation_loop {
public:
    simulation_loop(std::uint64_t max_steps, const simulated_network& network)
        : max_steps_(max_steps), scheduler_(std::make_unique<simulated_driver>(network)) {
        simulators.fetch_add(1, relaxed);
    }
    simulation_loop(const simulation_loop&) = delete;
    simulation_loop& operator=(const simulation_loop&) = delete;
    ~simulation_loop() { simulators.fetch_sub(1, relaxed); }

    void run(std::uint64_t seed, task<> main);

    std::uint64_t trace() const noexcept { return choices_.trace(); }

    std::uint64_t steps = 0;
    std::int64_t clock = 0;

private:
    static constexpr std::uint32_t longest_slice = 8;

    void loop();

    const std::uint64_t max_steps_;
    scheduler scheduler_;
    worker& worker_ = scheduler_.at(0);
    simulated_driver& driver_ = static_cast<simulated_driver&>(worker_.io());
    simulation_choices& choices_ = driver_.choices;
    std::vector<runnable*> ready_;
};

void simulation_loop::run(std::uint64_t seed, task<> main) {
    if (current_worker() != nullptr)
        throw std::logic_error("sluice: a simulation must not be started from a task");
    const worker_scope scope(worker_);
    const clock_scope time(clock);
    // Last of all: sockets may outlive the tasks, and the tasks' frames close theirs.
    const struct network_scope {
        simulated_driver& of;
        ~network_scope() { of.net.reset(); }
    } network{driver_};
    steps = 0;
    clock = 0;
    worker_.random_ = random_source(seed);
    choices_.begin(seed);
    scheduler_.begin_again();
    start_detached(scheduler_, std::move(main));
    loop();
    const bool endless = steps > max_steps_;
    const bool stuck = !scheduler_.finished() && !scheduler_.stopping();
    for (runnable* const r : ready_) worker_.make_last(r);
    ready_.clear();
    std::vector<task_info> left = scheduler_.cut();
    if (endless) {
        throw std::runtime_error("sluice: a simulation was given up after " +
                                 std::to_string(max_steps_) + " steps");
    }
    if (stuck) throw deadlock(std::move(left));
}

// Ends when the program has, when its main task has failed, and when nothing can run any more.
void simulation_loop::loop() {
    while (!scheduler_.stopping()) {
        scheduler_.take_queued([this](runnable* r) { ready_.push_back(r); });
        if (!ready_.empty()) {
            const std::uint32_t i = choices_.below(static_cast<std::uint32_t>(ready_.size()));
            if (++steps > max_steps_) return;
            runnable* const r = std::exchange(ready_[i], ready_.back());
            ready_.pop_back();
            worker_.budget_ = 1 + static_cast<int>(choices_.below(longest_slice));
            r->run();
            while (worker_.transfer != nullptr) std::exchange(worker_.transfer, nullptr)->run();
            continue;
        }
        const std::int64_t earliest = worker_.timers().earliest();
        if (scheduler_.finished() || earliest == timer_queue::never) return;
        clock = std::max(clock, earliest);
        choices_.note(static_cast<std::uint64_t>(clock));
        worker_.run_timers();
    }
}

void explore_seeds(const simulation& s, void (*once)(void*, std::uint64_t), void* context) {
    const auto only = number_from_environment<std::uint64_t>("SLUICE_SEED");
    const std::uint64_t first = only.value_or(s.seed);
    const std::uint64_t count =
        only ? 1 : number_from_environment<std::uint64_t>("SLUICE_SEEDS").value_or(s.seeds);
    for (std::uint64_t i = 0; i != count; ++i) {
        try {
            once(context, first + i);
        } catch (const std::exception& e) {
            std::throw_with_nested(simulation_failure(first + i, e.what()));
        } catch (...) {
            std::throw_with_nested(simulation_failure(first + i, "an exception of unknown type"));
        }
    }
}

}  // namespace detail

struct simulator::state {
    state(std::uint64_t max_steps, const simulated_network& network) : loop(max_steps, network) {}
    detail::simulation_loop loop;
};

namespace {

simulated_network checked(simulated_network n) {
    const auto probable = [](double p) { return p >= 0 && p <= 1; };
    if (n.min_delay.count() < 0 || n.max_delay < n.min_delay || n.buffer == 0 ||
        !probable(n.partial) || !probable(n.drop) || !probable(n.reset)) {
        throw std::invalid_argument("sluice: a simulated network that cannot be");
    }
    return n;
}

}  // namespace

simulator::simulator(std::uint64_t max_steps, const simulated_network& network)
    : state_(std::make_unique<state>(max_steps, checked(network))) {}
simulator::~simulator() = default;

void simulator::run_main(std::uint64_t seed, task<> main) {
    state_->loop.run(seed, std::move(main));
}

std::uint64_t simulator::trace() const noexcept {
    return state_->loop.trace();
}

std::uint64_t simulator::steps() const noexcept {
    return state_->loop.steps;
}

std::chrono::nanoseconds simulator::elapsed() const noexcept {
    return std::chrono::nanoseconds(state_->loop.clock);
}

simulation_failure::simulation_failure(std::uint64_t seed, const std::string& why)
    : std::runtime_error("simulation with SLUICE_SEED=" + std::to_string(seed) + " failed: " + why),
      seed_(seed) {}

}  // namespace sluice
