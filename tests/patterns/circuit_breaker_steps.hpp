// What the tests of the circuit breaker have in common.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <sluice/patterns/circuit_breaker.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "support.hpp"

namespace circuit_breaker_steps {

using namespace sluice;
using namespace std::chrono_literals;

inline const std::error_code down = std::make_error_code(std::errc::connection_refused);
inline const std::error_code not_found = std::make_error_code(std::errc::no_such_file_or_directory);

inline result<int> fails() {
    return fail(down);
}
inline int works() {
    return 7;
}

inline task<> fail_often(circuit_breaker& b, int times) {
    for (int i = 0; i < times; ++i) {
        const auto got = co_await b.call(fails);
        EXPECT(!got && got.error() == down);
    }
}

inline task<> work_often(circuit_breaker& b, int times) {
    for (int i = 0; i < times; ++i) {
        const auto got = co_await b.call(works);
        EXPECT(got == 7);
    }
}

inline circuit_settings trips_after(std::uint64_t failures, circuit_settings s = {}) {
    s.ready_to_trip = [failures](const circuit_counts& c) {
        return c.consecutive_failures >= failures;
    };
    return s;
}

inline circuit_ticket admitted(circuit_breaker& b) {
    return b.allow().value();
}

inline std::error_code refused(circuit_breaker& b) {
    const auto got = b.allow();
    return got ? std::error_code() : got.error();
}

inline std::uint64_t settled(const circuit_counts& c) {
    return c.total_successes + c.total_failures + c.total_exclusions;
}

}  // namespace circuit_breaker_steps
