#pragma once

// Who answers the questions that a program leaves open: which thread runs next, which store a load
// sees. A schedule is the sequence of answers; a seed is a short text that gives them all again.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "view.hpp"

namespace sluice::model {

class chooser {
public:
    virtual ~chooser() = default;

    /// The index of the thread to run. At least two are ready; if `may_stay`, ready[0] runs now.
    virtual std::size_t next_thread(std::span<const index> ready, bool may_stay) = 0;

    /// A number below n. 0 is what a strong machine does (the newest store, no spurious failure).
    virtual std::size_t weakness(std::size_t n) = 0;

    /// A number below n that the program asked for.
    virtual std::size_t chance(std::size_t n) = 0;

    /// What make_chooser() takes to repeat this schedule.
    virtual std::string seed() const = 0;
};

class generator {
public:
    explicit generator(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next();
    std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() >> 33) % n; }

private:
    std::uint64_t state_;
};

/// Any ready thread at each step, with a tendency to stay that varies with the seed.
class random_chooser final : public chooser {
public:
    explicit random_chooser(std::uint64_t number);
    std::size_t next_thread(std::span<const index> ready, bool may_stay) override;
    std::size_t weakness(std::size_t n) override;
    std::size_t chance(std::size_t n) override { return generator_.below(n); }
    std::string seed() const override;

private:
    std::uint64_t number_;
    generator generator_;
    std::size_t reluctance_;  // of 8 times, how often the running thread stays for sure
    unsigned weakness_left_;
};

/// Threads have random priorities, and at a few random steps the running one falls behind all.
/// Finds a bug of depth d with probability 1 / (n k^(d-1)).
/// Source: Burckhardt et al., "A randomized scheduler with probabilistic guarantees of finding
/// bugs" (ASPLOS 2010).
class priority_chooser final : public chooser {
public:
    explicit priority_chooser(std::uint64_t number);
    std::size_t next_thread(std::span<const index> ready, bool may_stay) override;
    std::size_t weakness(std::size_t n) override;
    std::size_t chance(std::size_t n) override { return generator_.below(n); }
    std::string seed() const override;

private:
    std::uint64_t number_;
    generator generator_;
    std::array<std::uint32_t, max_threads> priority_{};
    std::vector<std::size_t> falls_;  // the steps at which the running thread falls behind
    std::size_t step_ = 0;
    std::uint32_t lowest_;
    unsigned weakness_left_;
};

struct bounds {
    unsigned preemptions = 2;  // switches away from a thread that could have gone on
    unsigned weaknesses = 2;   // answers of weakness() other than 0
};

/// Depth-first search through every schedule within the bounds.
class path_chooser final : public chooser {
public:
    explicit path_chooser(bounds limits) : limits_(limits) {}
    explicit path_chooser(const std::string& digits);

    std::size_t next_thread(std::span<const index> ready, bool may_stay) override;
    std::size_t weakness(std::size_t n) override;
    std::size_t chance(std::size_t n) override { return choose(n); }
    std::string seed() const override;

    /// Goes to the next schedule. False: there is none.
    bool advance();

private:
    struct fork {
        index taken;
        index ways;
    };

    std::size_t choose(std::size_t n);

    bounds limits_;
    std::vector<fork> path_;
    std::size_t depth_ = 0;
    unsigned preemptions_ = 0;
    unsigned weaknesses_ = 0;
};

std::unique_ptr<chooser> make_chooser(const std::string& seed);

}  // namespace sluice::model
