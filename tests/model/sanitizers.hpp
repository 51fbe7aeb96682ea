#pragma once

// Which sanitizer looks on: fibers must tell it when they switch stacks.

#if defined(__SANITIZE_ADDRESS__)
#define MODEL_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define MODEL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MODEL_ASAN 1
#elif __has_feature(thread_sanitizer)
#define MODEL_TSAN 1
#endif
#endif

#if defined(MODEL_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#elif defined(MODEL_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace sluice::model {

/// A schedule that fails is abandoned with its frames, and with what they own.
class leaks_allowed {
public:
#if defined(MODEL_ASAN)
    leaks_allowed() { __lsan_disable(); }
    ~leaks_allowed() { __lsan_enable(); }
#else
    leaks_allowed() {}
    ~leaks_allowed() {}
#endif
    leaks_allowed(const leaks_allowed&) = delete;
};

}  // namespace sluice::model
