#include <sluice/runtime/detail/held_mutexes.hpp>

#if defined(SLUICE_CHECKED)

#include <cstdio>
#include <utility>

#include <sluice/runtime/detail/misuse.hpp>
#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

namespace {

constinit thread_local int mutexes_held = 0;                 // by this thread
constinit thread_local std::source_location latest_await{};  // in this step

}  // namespace

void note_await(const std::source_location& place) noexcept {
    latest_await = place;
}

mutex_check::mutex_check() noexcept
    : held_before_(mutexes_held), outer_await_(std::exchange(latest_await, {})) {}

void mutex_check::ended() const noexcept {
    if (mutexes_held <= held_before_) {
        latest_await = outer_await_;
        return;
    }
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

#include <cerrno>
#include <ctime>

#include <dlfcn.h>
#include <pthread.h>

namespace {

// The next one after ours.
void* find_next(const char* name) noexcept {
    void* const found = ::dlsym(RTLD_NEXT, name);
    if (found == nullptr) {
        sluice::detail::die_of_misuse(
            "a build with checks must be linked dynamically, and before the C library");
    }
    return found;
}

int counted(int result, int change) noexcept {
    if (result == 0 || result == EOWNERDEAD) sluice::detail::mutexes_held += change;
    return result;
}

}  // namespace

// Defines a function of the C library that calls the real one and counts its success. That one is
// looked up before the program has threads: the loader's lock may be held by somebody who waits for
// a mutex.
#define COUNTED(name, change, parameters, ...)                                            \
    namespace {                                                                           \
    constinit sluice::detail::atomic<void*> next_##name{nullptr};                         \
    [[gnu::constructor(101)]] void find_##name() noexcept {                               \
        next_##name.store(find_next(#name), sluice::detail::relaxed);                     \
    }                                                                                     \
    }                                                                                     \
    extern "C" int name parameters noexcept {                                             \
        if (next_##name.load(sluice::detail::relaxed) == nullptr) find_##name();          \
        const auto real =                                                                 \
            reinterpret_cast<decltype(&name)>(next_##name.load(sluice::detail::relaxed)); \
        return counted(real(__VA_ARGS__), change);                                        \
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
