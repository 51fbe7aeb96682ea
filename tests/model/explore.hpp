#pragma once

// The explorer for tests: runs a small program of two or three threads under many schedules.
//
// A program is a function. It makes its shared objects, starts threads, joins them (their
// destructors do) and checks what must hold; it runs once per schedule and must depend on nothing
// but the schedule.
//
//     explore([] {
//         detail::spin_lock lock{detail::lock_rank::channel};
//         detail::plain<int> count = 0;
//         auto add = [&] { ... };
//         thread a(add), b(add);
//     });
//
// SLUICE_SEED=<seed of a report> runs that one schedule; SLUICE_SCHEDULES=<n> sets how many random
// ones run and how many a search may take.

#include <functional>
#include <optional>
#include <string>

#include "chooser.hpp"
#include "world.hpp"

namespace sluice::model {

using program = std::function<void()>;

class thread {
public:
    explicit thread(program body) : id_(world::current().spawn(std::move(body))) {}
    thread(const thread&) = delete;
    ~thread() { join(); }

    void join() {
        if (!joined_) world::current().join(id_);
        joined_ = true;
    }
    std::size_t id() const { return id_; }

private:
    std::size_t id_;
    bool joined_ = false;
};

inline std::size_t this_thread() {
    return world::current().self();
}
/// The calling thread is no worker: its lock_identity() is 0.
inline void be_foreign() {
    world::current().set_identity(0);
}
inline void park() {
    world::current().park();
}
inline void unpark(std::size_t thread) {
    world::current().unpark(thread);
}

/// Ends the schedule as a failure unless `holds`.
inline void check(bool holds, const char* what) {
    if (!holds) world::current().fail(what);
}

struct effort {
    std::uint64_t random_schedules = 100'000;  // uniform and by priority, in turn
    std::uint64_t first_seed = 1;
    std::uint64_t search_schedules = 1'000'000;  // at most
    bounds limits;
    unsigned max_steps = 2'000;
};

struct finding {
    std::string what;
    std::string seed;
    std::string trace;
};

struct report {
    std::optional<finding> found;  // the first failure; nothing is run after it
    std::uint64_t schedules = 0;
    bool exhausted = false;  // search: every schedule within the bounds was run

    std::string text() const;
};

/// Random schedules.
report sample(const program& p, const effort& e = {});

/// Every schedule within the bounds.
report search(const program& p, const effort& e = {});

/// Searches may end early in this run: the build is a slow one (unoptimised, or with sanitizers),
/// or SLUICE_SCHEDULES says so.
bool search_is_cut();

/// The one schedule of this seed.
report replay(const program& p, const std::string& seed, const effort& e = {});

/// A sample, then a search if that found nothing; or the schedule in SLUICE_SEED.
report explore(const program& p, const effort& e = {});

}  // namespace sluice::model
