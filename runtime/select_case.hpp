// The run-time form of select: any number of cases, chosen by the program as it runs.
//
//     std::vector<select_case> cases;
//     for (auto& ch : channels) cases.push_back(select_case(ch.recv(), value));
//     std::size_t which = co_await select(std::span(cases));
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/runtime/select.hpp>

namespace sluice {

/// One case: an operation, and where its result goes if it wins. Used up by one select, whichever
/// case wins; another one throws std::logic_error.
class select_case {
public:
    /// `into` must outlive the select; it is assigned before the select returns, and only if this
    /// case wins.
    template <operation Op>
        requires(!std::is_lvalue_reference_v<Op> && !std::is_void_v<typename Op::result_type>)
    select_case(Op&& op, detail::regular<typename Op::result_type>& into)
        : body_(std::make_unique<model<Op>>(std::move(op), &into)) {}

    /// For operations without a result, or one that is of no interest.
    template <operation Op>
        requires(!std::is_lvalue_reference_v<Op>)
    explicit select_case(Op&& op) : body_(std::make_unique<model<Op>>(std::move(op), nullptr)) {}

private:
    friend class dynamic_select_base;

    /// What a case calls for each of its leaves.
    struct visitor {
        bool shuffles;
        virtual bool operator()(detail::leaf& l, std::uint32_t i) noexcept = 0;

        template <class Op>
        static constexpr bool asks(const Op&) noexcept {
            return true;
        }

    protected:
        explicit visitor(bool s) noexcept : shuffles(s) {}
        ~visitor() = default;
    };

    struct concept_base {
        virtual ~concept_base() = default;
        virtual std::size_t leaf_count() const noexcept = 0;
        virtual bool holds() const noexcept = 0;
        virtual bool visit(std::uint32_t base, visitor& v) noexcept = 0;
        virtual bool finish(std::size_t i) noexcept = 0;
        virtual void take(std::size_t i) = 0;
    };

    template <class Op>
    struct model final : concept_base {
        using result = typename Op::result_type;
        static_assert(!detail::never_waits<Op>,
                      "select(…, otherwise) never waits: it cannot be a case");
        static_assert(!detail::bounded_only<Op>, "this operation may stop half-way when it loses");

        model(Op&& o, detail::regular<result>* where) noexcept : op(std::move(o)), into(where) {}
        std::size_t leaf_count() const noexcept override { return Op::leaf_count; }
        bool holds() const noexcept override { return Op::holds(); }
        bool visit(std::uint32_t base, visitor& v) noexcept override { return op.visit(base, v); }
        bool finish(std::size_t i) noexcept override { return detail::finish(op, i); }
        void take(std::size_t i) override {
            if constexpr (std::is_void_v<result>) {
                op.take(i);
            } else if (into != nullptr) {
                *into = op.take(i);
            } else {
                static_cast<void>(op.take(i));
            }
        }

        Op op;
        detail::regular<result>* into;
    };

    std::unique_ptr<concept_base> body_;
    bool used_ = false;
};

/// The part of the run-time select that does not depend on whether it has a default.
class dynamic_select_base : public detail::raced_wait<dynamic_select_base> {
public:
    using sluice_awaitable = void;

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        struct caller final : select_case::visitor {
            explicit caller(Visit& of) noexcept : visitor(of.shuffles), visit(of) {}
            bool operator()(detail::leaf& l, std::uint32_t i) noexcept override {
                return visit(l, i);
            }
            Visit& visit;
        };
        caller each(v);
        return visit_cases(base, each);
    }
    bool finish(std::size_t i) noexcept;

protected:
    dynamic_select_base(std::span<select_case> cases, bool has_default);
    dynamic_select_base(dynamic_select_base&&) noexcept = default;
    ~dynamic_select_base() = default;

    /// The index of the case that won, its result delivered; none: the default was taken.
    std::optional<std::size_t> take_winner();

private:
    friend detail::raced_wait<dynamic_select_base>;

    struct place {
        std::uint32_t case_index;
        std::uint32_t leaf_index;
    };
    bool visit_cases(std::uint32_t base, select_case::visitor& v) noexcept;
    detail::leaf** leaf_list() noexcept { return leaves_.data(); }
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(places_.size()); }
    bool has_default() const noexcept { return has_default_; }
    bool holds() const noexcept { return holds_; }

    std::span<select_case> cases_;
    bool has_default_;
    bool holds_ = false;                 // one of the cases does
    std::vector<detail::leaf*> leaves_;  // twice as many as there are leaves: see multi_wait
    std::vector<place> places_;
    std::vector<std::uint32_t> first_leaf_;  // of each case
    std::vector<std::uint32_t> shuffle_room_;
};

namespace detail {

class [[nodiscard]] dynamic_select final : public dynamic_select_base {
public:
    explicit dynamic_select(std::span<select_case> cases) : dynamic_select_base(cases, false) {}
    std::size_t await_resume() { return *take_winner(); }
};

class [[nodiscard]] dynamic_select_or_default final : public dynamic_select_base {
public:
    explicit dynamic_select_or_default(std::span<select_case> cases)
        : dynamic_select_base(cases, true) {}
    std::optional<std::size_t> await_resume() { return take_winner(); }
};

}  // namespace detail

/// co_await gives the index of the case that won. With no cases it waits for ever. At most 2^31
/// cases. To bound it, make the context's done() or a sleep a case of it.
inline auto select(std::span<select_case> cases) {
    return detail::dynamic_select(cases);
}

/// co_await gives the index of the case that won, or nothing when none was ready.
inline auto select(std::span<select_case> cases, otherwise_t) {
    return detail::dynamic_select_or_default(cases);
}

}  // namespace sluice
