// after: a point in time as a case of a select.
#pragma once

#include <chrono>

#include <sluice/runtime/sleep.hpp>

namespace sluice {

/// Operation: waits until `d` has passed since this call. In a select it is the case "too late".
/// Unlike Go's time.After it is no channel: it costs no allocation, and nothing of it is left when
/// another case wins.
template <class Rep, class Period>
auto after(std::chrono::duration<Rep, Period> d) noexcept {
    return sleep_for(d);
}

}  // namespace sluice
