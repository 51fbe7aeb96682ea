// What a simulation has in place of a kernel: choices that stand for its whims, and a place where
// io/, of which the runtime knows nothing, keeps the network.
#pragma once

#include <cstdint>
#include <memory>

#include <sluice/runtime/detail/seam.hpp>
#include <sluice/runtime/driver.hpp>
#include <sluice/runtime/simulate.hpp>

namespace sluice::detail {

/// Choices drawn from a seed and noted in a hash, by which runs can be compared.
class simulation_choices {
public:
    void begin(std::uint64_t seed) noexcept {
        random_ = random_source(~seed);  // not the seed of the worker's own
        trace_ = 0;
    }

    /// A number in [0, bound); bound is at least 1.
    std::uint32_t below(std::uint32_t bound) noexcept {
        const std::uint32_t i = random_.below(bound);
        note(std::uint64_t{bound} << 32 | i);
        return i;
    }

    /// A number in [least, most].
    std::int64_t between(std::int64_t least, std::int64_t most) noexcept {
        if (least == most) return least;
        const auto span = static_cast<std::uint64_t>(most - least) + 1;
        const std::int64_t n = least + static_cast<std::int64_t>(random_.next() % span);
        note(static_cast<std::uint64_t>(n));
        return n;
    }

    /// True with that probability. What is certain is no choice.
    bool chance(double probability) noexcept {
        if (probability <= 0) return false;
        if (probability >= 1) return true;
        const bool yes = static_cast<double>(random_.next() >> 11) * 0x1p-53 < probability;
        note(yes);
        return yes;
    }

    void note(std::uint64_t what) noexcept { trace_ = (trace_ ^ what) * 0x9e3779b97f4a7c15u + 1; }
    std::uint64_t trace() const noexcept { return trace_; }

private:
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
    void nudge() noexcept override {}
    bool poll(unsigned) noexcept override { return false; }
    void submit() noexcept override {}
    void park(std::int64_t) noexcept override {}
    void wake() noexcept override {}

    const simulated_network options;
    simulation_choices choices;
    std::unique_ptr<network> net;
};

}  // namespace sluice::detail
