#pragma once

// What a key can hold, and what can go wrong with it.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <variant>

#include <tl/expected.hpp>

namespace kv {

using list = std::deque<std::string>;

/// A string or a list. The list is held by pointer: strings are the common case and stay small.
using stored_value = std::variant<std::string, std::unique_ptr<list>>;

enum class failure : std::uint8_t { wrong_type, not_an_integer, overflow };

template <class T>
using expected = tl::expected<T, failure>;

/// Wall time, because expiry times such as PXAT's are.
using time_point = std::chrono::sys_time<std::chrono::milliseconds>;

inline constexpr time_point never = time_point::max();

/// For a time that a client named. The very last one means never here, so it is a little sooner.
constexpr time_point expiry_at(std::int64_t unix_milliseconds) {
    const std::chrono::milliseconds step(1);
    return std::min(time_point(unix_milliseconds * step), never - step);
}

inline time_point wall_clock() {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

}  // namespace kv
