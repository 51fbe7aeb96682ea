// refusal: why a pattern did not do what was asked, where nothing else went wrong.
#pragma once

#include <system_error>
#include <type_traits>

namespace sluice {

/// As std::error_code in a result<T> or a failure, beside errc::canceled and
/// errc::deadline_exceeded.
enum class refusal {
    circuit_open = 1,    // circuit_breaker: the service is taken to be down
    too_many_requests,   // circuit_breaker: half-open, and its trial requests are under way
    over_burst,          // rate_limiter: more at once than it will ever allow
    deadline_too_short,  // rate_limiter: it would be the task's turn after the context's deadline
    queue_full,          // a bounded queue that does not wait
    closed,              // it takes no more work
};

const std::error_category& refusal_category() noexcept;

inline std::error_code make_error_code(refusal r) noexcept {
    return {static_cast<int>(r), refusal_category()};
}

}  // namespace sluice

template <>
struct std::is_error_code_enum<sluice::refusal> : std::true_type {};
