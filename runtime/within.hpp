// within: an operation with an end, by context or by time.
#pragma once

#include <chrono>
#include <type_traits>
#include <utility>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>
#include <sluice/runtime/sleep.hpp>

namespace sluice {

namespace detail {

template <class Op>
flattened<typename Op::result_type> take_result(Op& op, std::size_t i) {
    using taken = typename Op::result_type;
    if constexpr (std::is_void_v<taken>) {
        op.take(i);
        return {};
    } else {
        return op.take(i);
    }
}

template <operation Op>
class [[nodiscard]] within_context
    : public multi_operation<within_context<Op>, 1 + Op::leaf_count> {
public:
    using result_type = flattened<typename Op::result_type>;

    static constexpr bool holds() noexcept { return Op::holds(); }

    within_context(canceller* of, Op&& op) noexcept : done_(of), op_(std::move(op)) {}
    within_context(within_context&&) noexcept = default;

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        return v(done_, base) || op_.visit(base + 1, v);
    }
    bool finish(std::size_t i) noexcept { return i == 0 || detail::finish(op_, i - 1); }
    result_type take(std::size_t i) {
        if (i == 0) return fail(done_.of()->error());
        return take_result(op_, i - 1);
    }

private:
    done_leaf done_;
    Op op_;
};

template <operation Op>
class [[nodiscard]] within_time : public multi_operation<within_time<Op>, Op::leaf_count + 1> {
public:
    using result_type = flattened<typename Op::result_type>;

    static constexpr bool holds() noexcept { return Op::holds(); }

    within_time(std::int64_t until, Op&& op) noexcept : op_(std::move(op)), timer_(until) {}
    within_time(within_time&&) noexcept = default;

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        return op_.visit(base, v) || v(timer_, base + static_cast<std::uint32_t>(Op::leaf_count));
    }
    bool finish(std::size_t i) noexcept { return i == Op::leaf_count || detail::finish(op_, i); }
    result_type take(std::size_t i) {
        if (i == Op::leaf_count) return fail(errc::deadline_exceeded);
        return take_result(op_, i);
    }

private:
    Op op_;
    timer_leaf timer_;
};

}  // namespace detail

/// Operation: `op`, unless ctx ends first; then errc::canceled or errc::deadline_exceeded. A
/// context that has ended always wins. op's own result<T> is passed on, any other T becomes
/// result<T>. Losing has no effect on op's source, but for a write_all(), which may have written a
/// part.
template <operation Op>
    requires(!std::is_lvalue_reference_v<Op>)
auto within(const context& ctx, Op&& op) {
    static_assert(!detail::never_waits<Op>,
                  "select(…, otherwise) never waits: there is nothing to bound");
    return detail::within_context<Op>(ctx.nearest(), std::move(op));
}

/// Operation: `op`, unless the time is up first; then errc::deadline_exceeded. op is asked first: a
/// time of zero or less makes this a try.
template <class Rep, class Period, operation Op>
    requires(!std::is_lvalue_reference_v<Op>)
auto within(std::chrono::duration<Rep, Period> time, Op&& op) {
    static_assert(!detail::never_waits<Op>,
                  "select(…, otherwise) never waits: there is nothing to bound");
    return detail::within_time<Op>(detail::deadline_after(time), std::move(op));
}

}  // namespace sluice
