#include <sluice/runtime/detail/seam.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::detail {

namespace {

long membarrier(int command) noexcept {
    return ::syscall(__NR_membarrier, command, 0, 0);
}

// Runs when the library is loaded, ahead of every ordinary static constructor: a fence that changed
// its kind while threads run could pair a compiler fence with a mere local one.
[[gnu::constructor(101)]] void choose_fences() noexcept {
#if !defined(SLUICE_THREAD_SANITIZER)
    const int saved = errno;
    fences.asymmetric = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
                        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
    errno = saved;
#endif
}

[[noreturn]] void membarrier_lost() noexcept {
    std::fprintf(stderr,
                 "sluice: membarrier worked at start and is refused now (%s); "
                 "a seccomp filter must be installed before the program starts\n",
                 std::strerror(errno));
    std::abort();
}

}  // namespace

namespace {
[[gnu::tls_model("initial-exec")]] constinit thread_local const std::int64_t* simulated_clock =
    nullptr;
[[gnu::tls_model(
    "initial-exec")]] constinit thread_local choice_source* choices_in_place_of_chance = nullptr;
}  // namespace

simulation_scope::simulation_scope(const std::int64_t& clock, choice_source* choices) noexcept {
    simulated_clock = &clock;
    choices_in_place_of_chance = choices;
}

simulation_scope::~simulation_scope() {
    simulated_clock = nullptr;
    choices_in_place_of_chance = nullptr;
}

std::int64_t now_of_this_thread() noexcept {
    if (simulated_clock != nullptr) return *simulated_clock;
    return to_nanoseconds(std::chrono::steady_clock::now());
}

[[gnu::noinline]] choice_source* chance_of_this_thread() noexcept {
    return choices_in_place_of_chance;
}

// ThreadSanitizer does not model fences, and g++ warns of each one; here only the processor's fence
// is wanted: no data is published through it.
#if defined(SLUICE_THREAD_SANITIZER) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
void full_fence() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}
#if defined(SLUICE_THREAD_SANITIZER) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

void heavy_fence() noexcept {
    if (!fences.asymmetric) {
        full_fence();
        return;
    }
    // ENOMEM: the kernel could not allocate its CPU mask; it may the next time.
    while (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0) {
        if (errno != ENOMEM) membarrier_lost();
        ::sched_yield();
    }
}

void back_off() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    // 3 to 5 microseconds for time stamp counters of 2 to 3.3 GHz.
    constexpr std::uint64_t ticks = 10000;
    const std::uint64_t start = __builtin_ia32_rdtsc();
    do {
        cpu_relax();
    } while (__builtin_ia32_rdtsc() - start < ticks);
#else
    constexpr int relaxations = 200;
    for (int i = 0; i < relaxations; ++i) cpu_relax();
#endif
}

bool patience::left() noexcept {
    for (int i = 0; i != 4; ++i) cpu_relax();
    return ++looks_ != most_looks;
}

void spin_wait::pause() noexcept {
    if (rounds_ == rounds_before_yield) {
        ::sched_yield();
    } else if (rounds_++ == 0) {
        for (int i = 0; i != first_relaxations; ++i) cpu_relax();
    } else {
        back_off();
    }
}

constinit thread_local std::uint32_t this_threads_identity = 0;

void set_lock_identity(std::uint32_t identity) noexcept {
    this_threads_identity = identity;
}

namespace {

constinit std::atomic<bool> identity_taken[most_lock_identities]{};
constinit std::atomic<std::uint32_t> identities_end = 1;

}  // namespace

std::uint32_t take_lock_identity() {
    for (std::uint32_t i = 1; i != most_lock_identities; ++i) {
        // acquire: pairs with the release in give_back_lock_identity(); the seat is empty.
        if (identity_taken[i].load(relaxed) || identity_taken[i].exchange(true, acquire)) continue;
        std::uint32_t end = identities_end.load(relaxed);
        while (end <= i && !identities_end.compare_exchange_weak(end, i + 1, relaxed)) {
        }
        return i;
    }
    throw std::runtime_error("sluice: more than 4095 workers in one process");
}

std::uint32_t lock_identities_end() noexcept {
    return identities_end.load(relaxed);
}

void give_back_lock_identity(std::uint32_t identity) noexcept {
    identity_taken[identity].store(false, release);
}

}  // namespace sluice::detail
