// simulate: a program on one thread, in virtual time, in an order that a seed decides.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/run.hpp>

namespace sluice {

/// The network of a simulation: TCP in memory, where every address is at home. A program that is
/// right runs in it as it stands; resets and losses are for whoever asks for them.
struct simulated_network {
    /// A segment (what one write took, a connect, an end) is under way for a time between these
    /// two, drawn for each. It never overtakes another one of its connection in its direction.
    std::chrono::nanoseconds min_delay = std::chrono::microseconds(100);
    std::chrono::nanoseconds max_delay = std::chrono::milliseconds(1);
    /// Bytes of a direction that are under way or not read yet, at most: then its writer waits.
    std::size_t buffer = 16 * 1024;
    // Probabilities, each from 0 to 1.
    /// Of a read, or a write, to take a part of what it could.
    double partial = 0.25;
    /// Of a segment to be lost. It is sent again after 200 ms (a connect after 1 s), then after
    /// twice that, and so on; those behind it wait for it. Lost 16 times in a row (a connect 7),
    /// its sender gives up with ETIMEDOUT, and the other end hears nothing.
    double drop = 0;
    /// Of a segment to be the end of its connection: both ends get ECONNRESET.
    double reset = 0;
};

/// What decides a simulation.
struct simulation {
    std::uint64_t seed = 1;
    /// For explore(): so many seeds, from `seed` on.
    std::uint64_t seeds = 1'000;
    /// For explore_all(): how often, in one order, a task that could have gone on lets others, or a
    /// timer, go first, and how many orders are expected; both at most.
    unsigned preemptions = 2;
    std::uint64_t max_orders = 1'000'000;
    /// For explore_cancelled(): it cancels before so many steps of a seed, at most. A program that
    /// goes on until it is cancelled has no last one.
    std::uint64_t cancels = 1'000;
    /// A simulation that takes more steps than this has failed: most likely a task spins until time
    /// has passed, which it does not while a task is ready.
    std::uint64_t max_steps = 10'000'000;
    /// Time stands still while a task is ready, but may leap to a timer that is so far ahead, at
    /// most: as if what is ready came late. Then a sleep does not stand for "all others are done".
    std::chrono::nanoseconds leap = std::chrono::nanoseconds(0);
    simulated_network network = {};
};

/// Runs programs as run() does, but on the calling thread alone: which ready task runs next or
/// timer that is due fires, where a task that need not wait lets others go first, and which ready
/// case a select takes are drawn from a seed. Time stands still while a task is ready (but see
/// simulation::leap); then it jumps to the next timer, so that sleeping costs nothing. The same
/// program with the same seed does the same, as long as it takes nothing from outside: other
/// threads, real clocks (use sluice::now()), addresses, random devices. blocking() calls its
/// function at once. Sockets made in a simulation are of its own network (simulated_network), and
/// closed at its end; one brought along from outside fails with ENOTSUP where it would wait for the
/// kernel. A simulator is for one thread at a time, which must not be a worker; it may run any
/// number of simulations, one after the other, and is cheaper than a new one for each.
class simulator {
public:
    /// See simulation. Throws std::bad_alloc, and std::invalid_argument for a network that cannot
    /// be.
    explicit simulator(std::uint64_t max_steps = simulation().max_steps,
                       const simulated_network& network = {}, std::chrono::nanoseconds leap = {});
    simulator(const simulator&) = delete;
    simulator& operator=(const simulator&) = delete;
    ~simulator();

    /// Runs the coroutine fn(args...) and all that it starts to their end; gives its result (0 for
    /// task<>). Throws its exception, and sluice::deadlock when tasks are left that nothing can
    /// ready any more; tasks that are left are destroyed. Throws std::runtime_error after
    /// max_steps, with where each task was, and std::logic_error on a worker.
    template <class F, class... Args>
    detail::run_result<F, Args...> run(std::uint64_t seed, F&& fn, Args&&... args) {
        return detail::run_by([this, seed](task<> main) { run_main(seed, std::move(main)); },
                              std::forward<F>(fn), std::forward<Args>(args)...);
    }

    // Of the latest run.

    /// A hash of every choice made and every move of the clock: equal for equal runs.
    std::uint64_t trace() const noexcept;
    /// How often a task was resumed, a timer fired, or something arrived from the network.
    std::uint64_t steps() const noexcept;
    /// Virtual time from start to end.
    std::chrono::nanoseconds elapsed() const noexcept;

private:
    template <class F>
    friend std::uint64_t explore_all(simulation s, F fn);
    template <class F>
    friend std::uint64_t explore_cancelled(simulation s, F fn);

    /// Calls once(program, s.seed), which runs one, for each order, as explore_all() says.
    std::uint64_t run_all(const simulation& s, void (*once)(void*, std::uint64_t), void* program);
    /// Calls once(program, seed, ctx), which runs one, as explore_cancelled() says.
    std::uint64_t run_cancelled(const simulation& s,
                                void (*once)(void*, std::uint64_t, const context&), void* program);
    void run_main(std::uint64_t seed, task<> main);

    struct state;
    const std::unique_ptr<state> state_;
};

/// Thrown by explore() and explore_all(), with the exception of the simulation nested in it.
class simulation_failure : public std::runtime_error {
public:
    simulation_failure(std::string repeat, const std::string& why);
    /// The environment variable that repeats the simulation: "SLUICE_SEED=17".
    const std::string& repeat() const noexcept { return *repeat_; }

private:
    std::shared_ptr<const std::string> repeat_;  // copying an exception must not throw
};

namespace detail {

/// Throws std::logic_error unless a task of a simulation calls it.
void require_simulation(const char* what);

/// In a simulation: it runs when nothing else can before time goes on.
void run_when_quiet(runnable* r) noexcept;

struct [[nodiscard]] quiescence_awaiter {
    using sluice_awaitable = void;
    quiescence_awaiter() noexcept {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
        frame.promise().runs_again();
        run_when_quiet(runnable::from_frame(frame));
    }
    void await_resume() const noexcept {}
};

/// Calls once(program, seed) for each seed, as explore() says.
void explore_seeds(const simulation& s, void (*once)(void*, std::uint64_t), void* program);

/// A program that is simulated again and again; once() does so with itself as the context.
template <class F>
struct explored {
    explored(const simulation& s, F& program)
        : world(s.max_steps, s.network, s.leap), fn(program) {}

    static void once(void* self, std::uint64_t seed) {
        auto& e = *static_cast<explored*>(self);
        static_cast<void>(e.world.run(seed, e.fn));
    }
    static void once_cancelled(void* self, std::uint64_t seed, const context& ctx) {
        auto& e = *static_cast<explored*>(self);
        static_cast<void>(e.world.run(seed, e.fn, ctx));
    }

    simulator world;
    F& fn;
};

}  // namespace detail

/// One simulation of fn(args...): see simulator::run.
template <class F, class... Args>
detail::run_result<F, Args...> simulate(simulation s, F&& fn, Args&&... args) {
    return simulator(s.max_steps, s.network, s.leap)
        .run(s.seed, std::forward<F>(fn), std::forward<Args>(args)...);
}

/// co_await quiescence(), in a task of a simulation: all others run on until each of them waits,
/// for a later time or for what only somebody else can do, before this one does. Time stands still
/// meanwhile. So a test says "now it has happened, or does not happen by itself"; it is what
/// synctest.Wait is in Go. Several who wait so at the same time go on together. Throws
/// std::logic_error elsewhere: of real tasks nobody knows that much.
inline auto quiescence() {
    detail::require_simulation("quiescence()");
    return detail::quiescence_awaiter();
}

/// Simulates fn() with one seed after the other. The first that fails ends it with
/// simulation_failure, whose message names the seed; the environment variable SLUICE_SEED repeats
/// that one alone, and SLUICE_SEEDS overrides how many there are. Throws std::invalid_argument if
/// one of them is not a number. fn must leave nothing behind that the next run would see.
template <class F>
void explore(simulation s, F fn) {
    detail::explored<F> program(s, fn);
    detail::explore_seeds(s, &program.once, &program);
}

/// Simulates fn() in every order with at most s.preemptions preemptions, for small programs; gives
/// how many there were. An order is which ready task runs next, or timer that is due fires,
/// wherever one must wait or gives up its turn, where a task that could have gone on is preempted,
/// and which of its cases a select polls first. Of the network's times and partial transfers only
/// the shortest and the longest are tried, and of its probabilities both outcomes. Tasks that
/// yield() until something has happened have orders without end. The first order that fails ends it
/// with simulation_failure, whose message names the order; the environment variable SLUICE_ORDER
/// repeats that one alone. Throws std::runtime_error if there are more than s.max_orders, and
/// std::invalid_argument for another text in SLUICE_ORDER. fn must leave nothing behind that the
/// next run would see: a program that is found to differ where the choices do not has failed.
template <class F>
std::uint64_t explore_all(simulation s, F fn) {
    detail::explored<F> program(s, fn);
    return program.world.run_all(s, &program.once, &program);
}

/// Simulates fn(ctx), whose context is cancelled before the first step of the program, then before
/// the second, and so on until it ends before that; a step is a task's way from one await to the
/// next, or a timer that fires; and before s.cancels steps at most. All of it with one seed after
/// the other, s.seeds in all; gives how many simulations that were. A program that hangs when it is
/// cancelled, or leaves a task behind, fails by that; what else must hold is for fn to say. One
/// that stands still until it is cancelled is cancelled then, and that is the last of its seed. The
/// first that fails ends it with simulation_failure, whose message names the seed and the step; the
/// environment variables SLUICE_SEED and SLUICE_CANCEL repeat it. Throws std::invalid_argument if
/// one of them is not a number. fn must leave nothing behind that the next run would see.
template <class F>
std::uint64_t explore_cancelled(simulation s, F fn) {
    detail::explored<F> program(s, fn);
    return program.world.run_cancelled(s, &program.once_cancelled, &program);
}

}  // namespace sluice
