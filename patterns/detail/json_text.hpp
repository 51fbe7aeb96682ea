// Pieces of JSON, appended to a text.
#pragma once

#include <string>
#include <string_view>

namespace sluice::detail {

/// In quotes. What is not valid UTF-8 becomes U+FFFD, one for each maximal part of a sequence that
/// could have been valid.
void append_json(std::string& to, std::string_view text);

/// The shortest number that reads back the same; infinities and NaN as protobuf's JSON mapping has
/// them, in quotes.
void append_json(std::string& to, double number);

}  // namespace sluice::detail
