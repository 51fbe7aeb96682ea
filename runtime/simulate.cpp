// How a simulation runs
//   The loop takes all that is ready out of the queues of its one worker into a list, draws one,
//   and runs it with a short slice, drawn too, so that a task may have to let others go first at
//   any step. Where all orders are tried, a slice is one step, and the task goes on with the next
//   one unless it is preempted. When nothing is ready those have their turn that wait for that
//   (quiescence()); then the clock moves to the earliest timer; those that are due then are drawn,
//   too, one by one, among what is ready. What the network (io/) brings comes by timers and then
//   stands in the same list. The workers of real runtimes pay nothing for this: the loop uses their
//   queues, timers and slices as they are.
#include <sluice/runtime/simulate.hpp>

#include <algorithm>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sluice/runtime/detail/choice_tree.hpp>
#include <sluice/runtime/detail/environment.hpp>
#include <sluice/runtime/detail/misuse.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/detail/simulated_driver.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice {

namespace detail {

class simulation_loop {
public:
    simulation_loop(std::uint64_t max_steps, const simulated_network& network, std::int64_t leap)
        : max_steps_(max_steps),
          leap_(leap),
          scheduler_(std::make_unique<simulated_driver>(network)) {
        simulators.fetch_add(1, relaxed);
    }
    simulation_loop(const simulation_loop&) = delete;
    simulation_loop& operator=(const simulation_loop&) = delete;
    ~simulation_loop() { simulators.fetch_sub(1, relaxed); }

    void run(std::uint64_t seed, task<> main);

    std::uint64_t trace() const noexcept { return choices_.trace(); }
    void enumerate(choice_tree& tree) noexcept { choices_.tree = &tree; }
    /// For the next run, whose slices are one step then.
    void cancel_before(std::uint64_t step, const cancel_function& cancel) noexcept {
        cancel_step_ = step;
        cancel_ = &cancel;
        stood_still = false;
    }

    bool stood_still = false;  // until it was cancelled, before its time

    std::uint64_t steps = 0;
    std::int64_t clock = 0;

private:
    static constexpr std::uint32_t longest_slice = 8;

    void loop();
    void move_clock(std::int64_t to);
    void take_quiet();
    bool leaps_to(std::int64_t earliest);
    runnable* take_drawn(bool timer_due);
    runnable* take_enumerated(bool timer_due);
    void run_timer();

    const std::uint64_t max_steps_;
    const std::int64_t leap_;
    scheduler scheduler_;
    worker& worker_ = scheduler_.at(0);
    simulated_driver& driver_ = static_cast<simulated_driver&>(worker_.io());
    simulation_choices& choices_ = driver_.choices;
    std::vector<runnable*> ready_;
    bool may_go_on_ = false;  // enumerating: the latest task had to let go, and is the last in line
    std::uint64_t cancel_step_ = 0;
    const cancel_function* cancel_ = nullptr;  // null: nothing is cancelled from outside
};

void simulation_loop::run(std::uint64_t seed, task<> main) {
    if (current_worker() != nullptr)
        throw std::logic_error("sluice: a simulation must not be started from a task");
    const worker_scope scope(worker_);
    const simulation_scope simulated(clock, choices_.tree);
    // Last of all: sockets may outlive the tasks, and the tasks' frames close theirs.
    const struct network_scope {
        simulated_driver& of;
        ~network_scope() { of.net.reset(); }
    } network{driver_};
    steps = 0;
    clock = 0;
    // What outlived the latest run may have started tasks, and may have timers.
    do {
        static_cast<void>(scheduler_.cut());
    } while (scheduler_.num_tasks() != 0);
    worker_.timers().forget_all();
    worker_.random_ = random_source(seed);
    choices_.begin(seed);
    may_go_on_ = false;
    scheduler_.begin_again();
    start_detached(scheduler_, std::move(main));
    loop();
    const bool endless = steps > max_steps_;
    const bool stuck = !scheduler_.finished() && !scheduler_.stopping();
    take_quiet();
    for (runnable* const r : ready_) worker_.make_last(r);
    ready_.clear();
    std::vector<task_info> left = scheduler_.cut();
    if (endless) {
        throw std::runtime_error("sluice: a simulation was given up after " +
                                 std::to_string(max_steps_) + " steps" + described(left));
    }
    if (stuck) throw deadlock(std::move(left));
}

// Ends when the program has, when its main task has failed, and when nothing can happen any more.
void simulation_loop::loop() {
    while (!scheduler_.stopping()) {
        if (cancel_ != nullptr && steps + 1 == cancel_step_) (*cancel_)();
        scheduler_.take_queued([this](runnable* r) { ready_.push_back(r); });
        if (ready_.empty() && scheduler_.finished()) return;
        const std::int64_t earliest = worker_.timers().earliest();
        if (!ready_.empty() && leaps_to(earliest)) move_clock(earliest);
        const bool due = earliest <= clock;
        if (!ready_.empty() || due) {
            if (++steps > max_steps_) return;
            if (runnable* const r =
                    choices_.tree == nullptr ? take_drawn(due) : take_enumerated(due)) {
                worker_.step(r);
                may_go_on_ = worker_.budget_ == worker::had_to_let_go;
            } else {
                run_timer();
            }
            continue;
        }
        if (driver_.until_quiet != nullptr) {
            take_quiet();
            continue;
        }
        if (earliest == timer_queue::never || !worker_.timers().attended()) {
            if (cancel_ == nullptr || steps + 1 >= cancel_step_ || stood_still) return;
            stood_still = true;
            (*cancel_)();
            continue;
        }
        move_clock(earliest);
    }
}

void simulation_loop::move_clock(std::int64_t to) {
    clock = to;
    choices_.note(static_cast<std::uint64_t>(to));
}

void simulation_loop::take_quiet() {
    while (driver_.until_quiet != nullptr) {
        ready_.push_back(driver_.until_quiet);
        driver_.until_quiet = driver_.until_quiet->next;
    }
}

// Whether time goes on, though tasks are ready.
bool simulation_loop::leaps_to(std::int64_t earliest) {
    constexpr double probability = 1.0 / 16;
    return earliest != timer_queue::never && earliest > clock && earliest - clock <= leap_ &&
           choices_.chance(probability);
}

// Null: a timer that is due comes first.
runnable* simulation_loop::take_drawn(bool timer_due) {
    const auto ready = static_cast<std::uint32_t>(ready_.size());
    const std::uint32_t i = choices_.below(ready + timer_due);
    if (i == ready) return nullptr;
    runnable* const r = std::exchange(ready_[i], ready_.back());
    ready_.pop_back();
    worker_.budget_ = cancel_ != nullptr ? 1 : 1 + static_cast<int>(choices_.below(longest_slice));
    return r;
}

// The same.
runnable* simulation_loop::take_enumerated(bool timer_due) {
    if (may_go_on_) std::rotate(ready_.begin(), ready_.end() - 1, ready_.end());
    const auto ready = static_cast<std::uint32_t>(ready_.size());
    const std::uint32_t ways = ready + timer_due;
    const std::uint32_t i = may_go_on_ ? choices_.preempt(ways) : choices_.below(ways);
    if (i == ready) return nullptr;
    runnable* const r = ready_[i];
    ready_.erase(ready_.begin() + i);
    worker_.budget_ = 1;
    return r;
}

void simulation_loop::run_timer() {
    may_go_on_ = false;  // it was preempted
    worker_.timers().run_one_due(
        clock, [this](std::uint32_t ways) { return choices_.below(ways); },
        [this](runnable* r) { worker_.make_last(r); });
}

namespace {

// how() is the environment that repeats what `once` does.
template <class Once>
void run_one(Once once, const std::function<std::string()>& how) {
    const repeatable scope(how);
    try {
        once();
    } catch (const std::exception& e) {
        std::throw_with_nested(simulation_failure(how(), e.what()));
    } catch (...) {
        std::throw_with_nested(simulation_failure(how(), "an exception of unknown type"));
    }
}

// Calls fn(seed) for each that s or the environment asks for.
template <class F>
void for_each_seed(const simulation& s, F fn) {
    const auto only = number_from_environment<std::uint64_t>("SLUICE_SEED");
    const std::uint64_t first = only.value_or(s.seed);
    const std::uint64_t count =
        only ? 1 : number_from_environment<std::uint64_t>("SLUICE_SEEDS").value_or(s.seeds);
    for (std::uint64_t i = 0; i != count; ++i) fn(first + i);
}

std::string in_words(std::uint64_t seed) {
    return "SLUICE_SEED=" + std::to_string(seed);
}

}  // namespace

void require_simulation(const char* what) {
    if (!require_worker(what).owner().simulated())
        throw std::logic_error(std::string("sluice: ") + what + " is for simulations");
}

[[gnu::noinline]] void run_when_quiet(runnable* r) noexcept {
    auto& driver = static_cast<simulated_driver&>(this_threads_worker->io());
    r->next = std::exchange(driver.until_quiet, r);
}

void explore_seeds(const simulation& s, void (*once)(void*, std::uint64_t), void* program) {
    for_each_seed(s, [&](std::uint64_t seed) {
        run_one([&] { once(program, seed); }, [&] { return in_words(seed); });
    });
}

}  // namespace detail

struct simulator::state {
    state(std::uint64_t max_steps, const simulated_network& network, std::int64_t leap)
        : loop(max_steps, network, leap) {}
    detail::simulation_loop loop;
};

namespace {

const simulated_network& checked(const simulated_network& n) {
    const auto probable = [](double p) { return p >= 0 && p <= 1; };
    if (n.min_delay.count() < 0 || n.max_delay < n.min_delay || n.buffer == 0 ||
        !probable(n.partial) || !probable(n.drop) || !probable(n.reset)) {
        throw std::invalid_argument("sluice: a simulated network that cannot be");
    }
    return n;
}

}  // namespace

simulator::simulator(std::uint64_t max_steps, const simulated_network& network,
                     std::chrono::nanoseconds leap)
    : state_(std::make_unique<state>(max_steps, checked(network), leap.count())) {}
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

std::uint64_t simulator::run_all(const simulation& s, void (*once)(void*, std::uint64_t),
                                 void* program) {
    const auto only = detail::text_from_environment("SLUICE_ORDER");
    detail::choice_tree tree(s.preemptions);
    if (only) tree.go_to(*only);
    const auto run = [&] {
        std::exception_ptr thrown;
        try {
            once(program, s.seed);
        } catch (...) {
            thrown = std::current_exception();
        }
        // What it did then proves nothing.
        if (tree.diverged()) {
            throw std::logic_error(only
                                       ? "sluice: the program has no such order"
                                       : "sluice: with the same choices the program did not do the "
                                         "same; it takes something from outside");
        }
        if (thrown) std::rethrow_exception(thrown);
    };
    state_->loop.enumerate(tree);
    std::uint64_t orders = 0;
    do {
        if (orders == s.max_orders) {
            throw std::runtime_error("sluice: a program has more than " +
                                     std::to_string(s.max_orders) + " orders");
        }
        ++orders;
        tree.begin();
        detail::run_one(run, [&] { return "SLUICE_ORDER=" + tree.path(); });
    } while (!only && tree.advance());
    return orders;
}

std::uint64_t simulator::run_cancelled(const simulation& s,
                                       void (*once)(void*, std::uint64_t, const context&),
                                       void* program) {
    const auto only = detail::number_from_environment<std::uint64_t>("SLUICE_CANCEL", 1);
    detail::simulation_loop& loop = state_->loop;
    std::uint64_t runs = 0;
    detail::for_each_seed(s, [&](std::uint64_t seed) {
        for (std::uint64_t step = only.value_or(1);; ++step) {
            auto [ctx, cancel] = with_cancel(background());
            loop.cancel_before(step, cancel);
            detail::run_one(
                [&] { once(program, seed, ctx); },
                [&] { return detail::in_words(seed) + " SLUICE_CANCEL=" + std::to_string(step); });
            ++runs;
            if (only || loop.steps < step || loop.stood_still || step >= s.cancels) break;
        }
    });
    return runs;
}

simulation_failure::simulation_failure(std::string repeat, const std::string& why)
    : std::runtime_error("simulation with " + repeat + " failed: " + why),
      repeat_(std::make_shared<const std::string>(std::move(repeat))) {}

}  // namespace sluice
