#pragma once

// Glob patterns as in KEYS and CONFIG GET: * ? [abc] [^abc] [a-z] and \ before a literal.

#include <string_view>

namespace kv {

/// Takes at most pattern size times text size steps, whatever the pattern.
bool glob_match(std::string_view pattern, std::string_view text, bool ignore_case = false);

}  // namespace kv
