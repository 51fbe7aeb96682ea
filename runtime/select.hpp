// select: the first of several operations.
//
//     auto got = co_await select(replies.recv(), ctx.done(), sleep_for(1s));
//     if (auto* reply = std::get_if<0>(&got)) …
//
// Exactly one case commits; the others have no effect and leave nothing behind. Among cases that
// are ready at once the choice is uniform; of those that become ready in the moment between that
// choice and the wait, the first is taken. Every operand is evaluated once, losers included (in
// which order, C++ leaves open). A select enlists without allocating (the run-time form allocates
// for its cases).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>

namespace sluice {

/// The last argument of a select that never waits.
struct otherwise_t {
    explicit otherwise_t() = default;
};
inline constexpr otherwise_t otherwise{};

namespace detail {

template <class T>
using regular = std::conditional_t<std::is_void_v<T>, std::monostate, storable<T>>;

template <bool Default, class... Ops>
struct select_result {
    using type = std::variant<regular<typename Ops::result_type>...>;
};
template <class... Ops>
struct select_result<true, Ops...> {
    using type = std::variant<regular<typename Ops::result_type>..., std::monostate>;
};

/// An operation that may have taken effect in part when it loses, so that it can be bounded but not
/// raced.
template <class Op>
concept bounded_only = requires { requires !Op::raceable; };

/// Operations of one leaf each, all of one type (sends and receives): the k-th leaf is found
/// without a branch, which would be mispredicted as often as chance decides k.
template <class... Ops>
concept alike = requires(Ops&... ops) { std::array{&ops.the_leaf()...}; };

template <bool Default, operation... Ops>
class [[nodiscard]] select_operation
    : public multi_operation<select_operation<Default, Ops...>, (Ops::leaf_count + ... + 0)> {
public:
    using result_type = typename select_result<Default, Ops...>::type;

    explicit select_operation(Ops&&... ops) noexcept : ops_(std::move(ops)...) {}
    select_operation(select_operation&&) noexcept = default;

    static constexpr bool has_default() noexcept { return Default; }
    static constexpr bool holds() noexcept { return (Ops::holds() || ...); }

    template <class Visit>
    bool visit(std::uint32_t base, Visit& v) noexcept {
        if (!v.shuffles) return visit_in_turn(base, v, std::index_sequence_for<Ops...>());
        std::array<std::uint32_t, sizeof...(Ops)> asked;
        const std::uint32_t n = list_asked(asked.data(), v, std::index_sequence_for<Ops...>());
        if constexpr (alike<Ops...>) {
            const std::array leaves =
                std::apply([](Ops&... ops) { return std::array{&ops.the_leaf()...}; }, ops_);
            return in_random_order(asked.data(), n,
                                   [&](std::uint32_t k) { return v(*leaves[k], base + k); });
        } else {
            return in_random_order(asked.data(), n,
                                   [&](std::uint32_t k) { return visit_case(k, base, v); });
        }
    }
    /// The leaves of case k alone, for an operation that has an order of its own.
    template <class Visit>
    bool visit_case(std::uint32_t k, std::uint32_t base, Visit& v) noexcept {
        return visit_case(k, base, v, std::index_sequence_for<Ops...>());
    }
    bool finish(std::size_t i) noexcept { return finish_from<0>(i); }

    result_type take(std::size_t i) {
        if constexpr (Default) {
            if (i == multi_wait::nothing) return result_type(std::in_place_index<sizeof...(Ops)>);
        }
        return take_from<0>(i);
    }

private:
    // Without branches, which would be mispredicted as often as it is open which cases are ready.
    template <class Visit, std::size_t... K>
    [[gnu::always_inline]] std::uint32_t list_asked(std::uint32_t* asked, const Visit& v,
                                                    std::index_sequence<K...>) const noexcept {
        std::uint32_t n = 0;
        ((asked[n] = K, n += static_cast<std::uint32_t>(v.asks(std::get<K>(ops_)))), ...);
        return n;
    }

    template <class Visit, std::size_t... K>
    bool visit_in_turn(std::uint32_t base, Visit& v, std::index_sequence<K...>) noexcept {
        return (std::get<K>(ops_).visit(
                    std::exchange(base, base + static_cast<std::uint32_t>(Ops::leaf_count)), v) ||
                ...);
    }

    // The leaves of case k come after those of the cases before it.
    template <class Visit, std::size_t... K>
    bool visit_case(std::uint32_t k, std::uint32_t base, Visit& v,
                    std::index_sequence<K...>) noexcept {
        bool done = false;
        static_cast<void>(
            ((K == k ? (done = std::get<K>(ops_).visit(base, v), true)
                     : (base += static_cast<std::uint32_t>(Ops::leaf_count), false)) ||
             ...));
        return done;
    }

    template <std::size_t K>
    using op_at = std::tuple_element_t<K, std::tuple<Ops...>>;

    template <std::size_t K>
    bool finish_from(std::size_t i) noexcept {
        if constexpr (K + 1 == sizeof...(Ops)) {
            return detail::finish(std::get<K>(ops_), i);
        } else {
            return i < op_at<K>::leaf_count ? detail::finish(std::get<K>(ops_), i)
                                            : finish_from<K + 1>(i - op_at<K>::leaf_count);
        }
    }

    template <std::size_t K>
    result_type take_from(std::size_t i) {
        if constexpr (K + 1 < sizeof...(Ops)) {
            if (i >= op_at<K>::leaf_count) return take_from<K + 1>(i - op_at<K>::leaf_count);
        }
        if constexpr (std::is_void_v<typename op_at<K>::result_type>) {
            std::get<K>(ops_).take(i);
            return result_type(std::in_place_index<K>);
        } else {
            return result_type(std::in_place_index<K>, std::get<K>(ops_).take(i));
        }
    }

    std::tuple<Ops...> ops_;
};

}  // namespace detail

/// Operation: waits until one of the operations completes; gives a variant with its result at its
/// position (void becomes std::monostate). An exception of the winner (a send on a closed channel)
/// is thrown. A select may itself be a case.
template <operation... Ops>
    requires(sizeof...(Ops) > 0 && (!std::is_lvalue_reference_v<Ops> && ...))
auto select(Ops&&... ops) {
    static_assert((!detail::never_waits<Ops> && ...),
                  "select(…, otherwise) never waits: it cannot be a case");
    static_assert((!detail::bounded_only<Ops> && ...),
                  "write_all may stop half-way when it loses: bound it with within(), or race "
                  "write()");
    return detail::select_operation<false, Ops...>(std::move(ops)...);
}

namespace detail {

template <class Tuple, std::size_t... I>
auto select_or_default(Tuple&& args, std::index_sequence<I...>) {
    return select_operation<
        true, std::remove_reference_t<std::tuple_element_t<I, std::remove_reference_t<Tuple>>>...>(
        std::move(std::get<I>(args))...);
}

/// Operations, and then `otherwise`; not a list of select_case, which has a select of its own.
template <class Tuple, std::size_t... I>
consteval bool operations_and_otherwise(std::index_sequence<I...>) {
    return (operation<std::remove_cvref_t<std::tuple_element_t<I, Tuple>>> && ...) &&
           std::is_same_v<std::remove_cvref_t<std::tuple_element_t<sizeof...(I), Tuple>>,
                          otherwise_t>;
}

template <class... Args>
concept ends_with_otherwise =
    sizeof...(Args) > 1 &&
    operations_and_otherwise<std::tuple<Args...>>(std::make_index_sequence<sizeof...(Args) - 1>());

}  // namespace detail

/// Operation: select(ops…, otherwise) takes the last alternative (std::monostate) when no case is
/// ready; never waits.
template <class... Args>
    requires detail::ends_with_otherwise<Args...>
auto select(Args&&... args) {
    return detail::select_or_default(std::forward_as_tuple(std::forward<Args>(args)...),
                                     std::make_index_sequence<sizeof...(Args) - 1>());
}

}  // namespace sluice
