#include <sluice/runtime/detail/held_mutexes.hpp>

#if defined(SLUICE_CHECKED)

#include <cstdio>

#include <sluice/runtime/detail/misuse.hpp>
#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

namespace {

constinit thread_local int held = 0;                         // by this thread
constinit thread_local std::source_location latest_await{};  // in this step

}  // namespace

void note_await(const std::source_location& place) noexcept {
    latest_await = place;
}

mutex_check::mutex_check() noexcept : held_before_(held) {
    latest_await = {};
}

void mutex_check::ended() const noexcept {
    if (held <= held_before_) return;
    if (latest_await.line() == 0) die_of_misuse("a task has ended with a std::mutex locked");
    char text[512];
    std::snprintf(text, sizeof text,
                  "a std::mutex stays locked after its task's step, whose latest co_await is at "
                  "%s:%u; unlock it before a suspension, or use sluice::mutex",
                  latest_await.file_name(), static_cast<unsigned>(latest_await.line()));
    die_of_misuse(text);
}

}  // namespace sluice::detail

#if !defined(SLUICE_THREAD_SANITIZER)

#include <ctime>

#include <dlfcn.h>
#include <pthread.h>

// Defines a function of the C library that calls the real one and counts its success.
#define COUNTED(name, change, parameters, ...)                                                 \
    extern "C" int name parameters noexcept {                                                  \
        static const auto real = reinterpret_cast<decltype(&name)>(::dlsym(RTLD_NEXT, #name)); \
        const int result = real(__VA_ARGS__);                                                  \
        if (result == 0) sluice::detail::held += (change);                                     \
        return result;                                                                         \
    }

COUNTED(pthread_mutex_lock, 1, (pthread_mutex_t * m), m)
COUNTED(pthread_mutex_trylock, 1, (pthread_mutex_t * m), m)
COUNTED(pthread_mutex_timedlock, 1, (pthread_mutex_t * m, const timespec* end), m, end)
COUNTED(pthread_mutex_clocklock, 1, (pthread_mutex_t * m, clockid_t clock, const timespec* end), m,
        clock, end)
COUNTED(pthread_mutex_unlock, -1, (pthread_mutex_t * m), m)
COUNTED(pthread_rwlock_rdlock, 1, (pthread_rwlock_t * l), l)
COUNTED(pthread_rwlock_tryrdlock, 1, (pthread_rwlock_t * l), l)
COUNTED(pthread_rwlock_timedrdlock, 1, (pthread_rwlock_t * l, const timespec* end), l, end)
COUNTED(pthread_rwlock_clockrdlock, 1, (pthread_rwlock_t * l, clockid_t clock, const timespec* end),
        l, clock, end)
COUNTED(pthread_rwlock_wrlock, 1, (pthread_rwlock_t * l), l)
COUNTED(pthread_rwlock_trywrlock, 1, (pthread_rwlock_t * l), l)
COUNTED(pthread_rwlock_timedwrlock, 1, (pthread_rwlock_t * l, const timespec* end), l, end)
COUNTED(pthread_rwlock_clockwrlock, 1, (pthread_rwlock_t * l, clockid_t clock, const timespec* end),
        l, clock, end)
COUNTED(pthread_rwlock_unlock, -1, (pthread_rwlock_t * l), l)

#undef COUNTED

#endif

#endif
