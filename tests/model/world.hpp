#pragma once

// One simulated process: its threads (fibers), its memory, and the schedule it is under.
//
// Each operation on an atomic, each fence, park and unpark begins with a step: the chooser says
// which thread goes on. What lies between two steps is done as one.
//
// A thread is ready, or waits:
//   spinning  until another thread has changed something. If nobody else can run, it is let go on
//             once more and then reads the newest values (stores become visible in finite time); if
//             it spins again, it spins for ever.
//   parked    until it is unparked. An unpark that came first is not lost (one is remembered).
//   joining   until the other thread has ended.
// A schedule fails when a check fails, when plain data is raced for, or when no thread can go on.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "fiber.hpp"
#include "memory.hpp"
#include "trace.hpp"

namespace sluice::model {

class world {
public:
    world();

    /// Runs `program` as thread 0 to its end. What went wrong, if anything did.
    std::optional<std::string> run(const std::function<void()>& program, chooser& choices,
                                   unsigned max_steps, bool tracing);
    std::string trace_text() const { return trace_.text(); }

    /// The world whose thread calls; it must be one.
    static world& current();

    [[noreturn]] void fail(const std::string& what);
    void note(const std::string& text) { trace_.add(self_, text); }

    std::size_t self() const { return self_; }
    /// By which locks tell workers apart; every thread is one until it says 0.
    std::uint32_t identity() const { return threads_[self_]->identity; }
    void set_identity(std::uint32_t identity) { threads_[self_]->identity = identity; }
    std::size_t spawn(std::function<void()> body);
    void join(std::size_t thread);
    void park();
    void unpark(std::size_t thread);
    void spin();
    std::size_t chance(std::size_t n) { return choices_->chance(n); }
    unsigned steps() const { return steps_; }
    std::uint64_t schedule_number() const { return schedule_number_; }

    index create_atomic(const void* owner, word value, bool static_storage = false);
    void destroy_atomic(const void* owner, index location);
    word load(const void* owner, index location, order o);
    void store(const void* owner, index location, word value, order o);
    /// The two halves of a read-modify-write; nothing runs between them.
    word begin_update(const void* owner, index location, order o);
    void end_update(index location, word old, word value, order o);
    bool compare_exchange(const void* owner, index location, word& expected, word desired,
                          order success, order failure, bool weak);
    enum class fence { light, heavy, full };
    void run_fence(fence kind);

    void read_plain(footprint& reads, const footprint& writes);
    void write_plain(const footprint& reads, footprint& writes);

private:
    enum class state { unused, ready, spinning, parked, joining, finished };

    struct thread {
        explicit thread(std::size_t stack_size) : stack(stack_size) {}

        fiber stack;
        state now = state::unused;
        std::uint32_t identity = 0;
        std::size_t joins = 0;
        unsigned changes_seen = 0;    // spinning: goes on when there are more
        unsigned refreshed_at = ~0u;  // the number of changes at which it was let go on once more
        bool token = false;           // unparked ahead of time
        view token_view;
    };

    void start_thread(std::size_t id, std::function<void()> body);
    void step();
    void schedule();
    bool can_run(const thread& t) const;
    std::size_t refresh_spinners(std::array<index, max_threads>& ready);
    void switch_to(std::size_t next);
    void check_access(const void* owner, index location);
    [[noreturn]] void fail_stuck();
    [[noreturn]] void leave();

    std::vector<std::unique_ptr<thread>> threads_;
    fiber host_;
    memory memory_;
    trace trace_;
    chooser* choices_ = nullptr;
    std::optional<std::string> failure_;
    std::size_t self_ = 0;
    std::size_t started_ = 0;
    unsigned changes_ = 0;  // of the value of any atomic
    unsigned steps_ = 0;
    unsigned max_steps_ = 0;
    std::uint64_t schedule_number_ = 0;  // no other schedule of the process has it
};

}  // namespace sluice::model
