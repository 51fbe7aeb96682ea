// priority_select: a select in which the first of its ready cases wins, strictly or with a bound.
//
//     auto got = co_await priority_select(urgent.recv(), normal.recv(), idle.recv());
//
//     fair_priority<3> levels(10);                        // each at least once in ten picks
//     auto got = co_await levels.select(urgent.recv(), normal.recv(), idle.recv());
//
// When to use: cases that are not equal: a stop before the work, control messages before data.
// When not: equal cases (select); a stop that must be seen while the work goes on (no select looks
// at a case that it has not been asked for: bound the work by a context).
//
// Both wait like select(): if no case is ready the first that becomes so wins, whichever it is; one
// case takes effect, the others leave nothing behind. Strict priority starves the lower levels for
// as long as a higher one is always ready.
//
// The bound. A fair_priority<n> counts for each level the picks since it was served. One that has
// missed more than k - n is overdue; the overdue are asked before all others, the one that has
// missed most first. So a level that stays ready is served at least once in any k picks in a row:
// it is overdue after k - n + 1 of them, the level just served is not, and each of the n - 2 others
// comes before it once at most. The rest is by priority; with k == n all take turns.
//
// Cost: that of a select, without its draw of lots; the bound adds a few comparisons.
//
// Rejected: two selects, one with `otherwise` for the upper level and one for all (a value that
// comes between them loses its priority, and each level needs one more), a share of lots for each
// level (a level's wait has no bound then).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/select.hpp>

namespace sluice {

namespace detail {

/// Cases in the order of their places.
template <std::size_t N>
struct as_listed {
    static constexpr std::array<std::uint32_t, N> ranks() noexcept {
        std::array<std::uint32_t, N> ranks{};
        for (std::uint32_t k = 0; k != N; ++k) ranks[k] = k;
        return ranks;
    }
    static void served(std::size_t) noexcept {}
};

/// Ranks, a value or a reference, gives the order of the cases, and is told which one was taken.
template <class Ranks, operation... Ops>
class [[nodiscard]] ranked_operation
    : public multi_operation<ranked_operation<Ranks, Ops...>, (Ops::leaf_count + ... + 0)> {
    using cases = select_operation<false, Ops...>;

public:
    using result_type = typename cases::result_type;
    static constexpr bool holds() noexcept { return cases::holds(); }

    ranked_operation(Ranks ranks, Ops&&... ops) noexcept
        : ranks_(ranks), cases_(std::move(ops)...) {}
    ranked_operation(ranked_operation&&) noexcept = default;

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        for (const std::uint32_t k : ranks_.ranks())
            if (cases_.visit_case(k, base, v)) return true;
        return false;
    }
    bool finish(std::size_t i) noexcept { return cases_.finish(i); }
    result_type take(std::size_t i) {
        result_type taken = cases_.take(i);
        ranks_.served(taken.index());
        return taken;
    }

private:
    [[no_unique_address]] Ranks ranks_;
    cases cases_;
};

}  // namespace detail

/// Operation: like select(), but of cases that are ready at once the first one wins. For one that
/// never waits, let sleep_for(0s) be the last.
template <operation... Ops>
    requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto priority_select(Ops&&... ops) {
    static_assert((!detail::never_waits<Ops> && ...) && (!detail::bounded_only<Ops> && ...),
                  "it takes what select takes");
    using listed = detail::as_listed<sizeof...(Ops)>;
    return detail::ranked_operation<listed, Ops...>(listed(), std::move(ops)...);
}

/// Keeps count for selects over N levels, the first one the most urgent. For one task at a time.
template <std::size_t N>
class fair_priority {
    static_assert(N > 0);

public:
    /// A level that stays ready is served at least once in `bound` picks. Throws
    /// std::invalid_argument for a bound below N, which cannot be kept.
    explicit fair_priority(std::size_t bound) : patience_(bound - N) {
        if (bound < N) throw std::invalid_argument("sluice: a bound below the number of levels");
    }
    fair_priority(const fair_priority&) = delete;
    fair_priority& operator=(const fair_priority&) = delete;

    /// Operation: waits for one of the levels, and counts the pick; one that ends by an exception,
    /// or loses a race itself, is not counted. Must not outlive this object.
    template <operation... Ops>
        requires(sizeof...(Ops) == N && (!std::is_lvalue_reference_v<Ops> && ...))
    auto select(Ops&&... ops) {
        static_assert((!detail::never_waits<Ops> && ...) && (!detail::bounded_only<Ops> && ...),
                      "it takes what select takes");
        return detail::ranked_operation<fair_priority&, Ops...>(*this, std::move(ops)...);
    }

private:
    template <class Ranks, operation... Ops>
    friend class detail::ranked_operation;

    std::array<std::uint32_t, N> ranks() const noexcept {
        auto ranks = detail::as_listed<N>::ranks();
        // Not std::stable_sort, which may allocate.
        std::sort(ranks.begin(), ranks.end(), [this](std::uint32_t a, std::uint32_t b) {
            const bool a_overdue = missed_[a] > patience_;
            const bool b_overdue = missed_[b] > patience_;
            if (a_overdue != b_overdue) return a_overdue;
            if (a_overdue && missed_[a] != missed_[b]) return missed_[a] > missed_[b];
            return a < b;
        });
        return ranks;
    }
    void served(std::size_t level) noexcept {
        for (std::uint64_t& picks : missed_) ++picks;
        missed_[level] = 0;
    }

    const std::uint64_t patience_;
    std::array<std::uint64_t, N> missed_{};  // picks of others since a level was served
};

}  // namespace sluice
