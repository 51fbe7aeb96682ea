// Where exporters write their text to.
#pragma once

#include <concepts>
#include <functional>
#include <string_view>
#include <type_traits>

#include <sluice/runtime/result.hpp>

namespace sluice::detail {

/// A plain function of a text that gives nothing or result<>; it may throw.
template <class F>
concept text_sink = std::invocable<F&, std::string_view> &&
                    std::same_as<flattened<std::invoke_result_t<F&, std::string_view>>, result<>>;

template <text_sink Sink>
result<> write_text(Sink& sink, std::string_view text) {
    if constexpr (std::is_void_v<std::invoke_result_t<Sink&, std::string_view>>) {
        std::invoke(sink, text);
        return {};
    } else {
        return std::invoke(sink, text);
    }
}

}  // namespace sluice::detail
