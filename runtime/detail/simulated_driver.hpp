// What a simulation has in place of a kernel: choices that stand for its whims, and a place where
// io/, of which the runtime knows nothing, keeps the network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <sluice/runtime/detail/choice_tree.hpp>
#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/seam.hpp>
#include <sluice/runtime/driver.hpp>
#include <sluice/runtime/simulate.hpp>

namespace sluice::detail {

/// Choices drawn from a seed, or those of a tree, and noted in a hash, by which runs can be
/// compared.
class simulation_choices {
public:
    /// In place of the seed, if not null.
    choice_tree* tree = nullptr;

    void begin(std::uint64_t seed) noexcept {
        random_ = random_source(~seed);  // not the seed of the worker's own
        trace_ = 0;
    }

    /// A number in [0, bound); bound is at least 1.
    std::uint32_t below(std::uint32_t bound) noexcept {
        return noted(tree == nullptr ? random_.below(bound) : tree->below(bound), bound);
    }

    /// The same; 0 stands for what would come next by itself. Of a tree only.
    std::uint32_t preempt(std::uint32_t bound) noexcept {
        return noted(tree->preempt(bound), bound);
    }

    /// A number in [least, most]; of a tree, one of these two.
    std::int64_t between(std::int64_t least, std::int64_t most) noexcept {
        if (least == most) return least;
        if (tree != nullptr) return below(2) == 0 ? least : most;
        const auto span = static_cast<std::uint64_t>(most - least) + 1;
        const std::int64_t n = least + static_cast<std::int64_t>(random_.next() % span);
        note(static_cast<std::uint64_t>(n));
        return n;
    }

    /// True with that probability. What is certain is no choice.
    bool chance(double probability) noexcept {
        if (probability <= 0) return false;
        if (probability >= 1) return true;
        if (tree != nullptr) return (below(2) == 0) == (probability >= 0.5);
        const bool yes = static_cast<double>(random_.next() >> 11) * 0x1p-53 < probability;
        note(yes);
        return yes;
    }

    /// n, which is at least 1, or with that probability a part of it: from 1 to n - 1.
    std::size_t maybe_part_of(std::size_t n, double probability) noexcept {
        if (n == 1 || !chance(probability)) return n;
        return static_cast<std::size_t>(between(1, static_cast<std::int64_t>(n) - 1));
    }

    void note(std::uint64_t what) noexcept { trace_ = (trace_ ^ what) * 0x9e3779b97f4a7c15u + 1; }
    std::uint64_t trace() const noexcept { return trace_; }

private:
    std::uint32_t noted(std::uint32_t i, std::uint32_t bound) noexcept {
        note(std::uint64_t{bound} << 32 | i);
        return i;
    }

    random_source random_{0};
    std::uint64_t trace_ = 0;
};

/// The driver of a simulation's worker, which never parks.
class simulated_driver final : public driver {
public:
    /// What io/ keeps for the length of one simulation, from its first use on. It is destroyed when
    /// the tasks are gone.
    class network {
    public:
        network() = default;
        network(const network&) = delete;
        network& operator=(const network&) = delete;
        virtual ~network() = default;
    };

    explicit simulated_driver(const simulated_network& o) noexcept : options(o) {}

    void begin() noexcept override {}
    void finish() noexcept override {}
    void nudge() noexcept override {}
    bool poll(unsigned) noexcept override { return false; }
    void submit() noexcept override {}
    void park(std::int64_t) noexcept override {}
    void wake() noexcept override {}

    const simulated_network options;
    simulation_choices choices;
    runnable* until_quiet = nullptr;  // they run when nothing else can before time goes on
    std::unique_ptr<network> net;
};

}  // namespace sluice::detail
