#pragma once

// The one place that knows which Catch2 is installed: 2.13 (Debian 12) or 3.x (Debian 13 and
// later). Tests include this header and write against what the two have in common.
//
// Two rules for tests of coroutines: await into a local before REQUIRE (its argument may be
// evaluated twice), and assert on the test's own thread only (Catch2 2 is not safe elsewhere).

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_approx.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_all.hpp>
#else
#include <catch2/catch.hpp>

namespace Catch::Matchers {

// The name that Catch2 3 gives to the string matcher Contains.
inline auto ContainsSubstring(const std::string& text) {
    return Contains(text);
}

}  // namespace Catch::Matchers
#endif
