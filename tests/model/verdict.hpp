#pragma once

// How a Catch2 test states what an exploration must show.

#include <cstdlib>

#include "../catch.hpp"
#include "explore.hpp"

namespace sluice::model {

/// No schedule of `p` fails.
inline void require_sound(const program& p, const effort& e = {}) {
    const report r = explore(p, e);
    INFO(r.text());
    REQUIRE_FALSE(r.found.has_value());
}

/// The same, and the search came to its end within the bounds.
inline void require_exhausted(const program& p, const effort& e = {}) {
    const report r = explore(p, e);
    INFO(r.text());
    REQUIRE_FALSE(r.found.has_value());
    const bool one_seed = std::getenv("SLUICE_SEED") != nullptr;
    REQUIRE((r.exhausted || one_seed || search_is_cut()));
}

/// Some schedule of `p` fails in this way.
inline void require_found(const program& p, const char* what, const effort& e = {}) {
    const report r = explore(p, e);
    INFO(r.text());
    REQUIRE(r.found.has_value());
    REQUIRE_THAT(r.found->what, Catch::Matchers::ContainsSubstring(what));
}

}  // namespace sluice::model
