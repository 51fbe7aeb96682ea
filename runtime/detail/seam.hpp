// The seam between the runtime and the machine.
//
// Every atomic, fence, clock reading, random choice and spin of the scheduler goes through this
// header. In production each name is the standard thing, at no cost. When SLUICE_MODEL names a
// header (the interleaving explorer in tests/model), the same names come from there, so that the
// very files users run are explored: the explorer decides who runs next, which of the stores
// allowed by the memory model a load sees, and what the random source answers.
//
// Rule: a header that includes only this one (and the standard library) can be explored.
//
// The asymmetric fence pair. Dekker's pattern (each side stores, fences, loads the other's word)
// needs a full fence on both sides. Where one side runs millions of times more often, light_fence()
// on that side stops only the compiler, and heavy_fence() on the rare side has the kernel run a
// full fence on every CPU that runs a thread of this process (membarrier). A light fence pairs with
// heavy fences only: two light fences order nothing between their threads. Source: Dice, Huang,
// Yang, "Asymmetric Dekker synchronization"; WG21 P1202.
#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ratio>

#if defined(SLUICE_MODEL)
#include SLUICE_MODEL
#endif

#if defined(__SANITIZE_THREAD__)
#define SLUICE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLUICE_THREAD_SANITIZER 1
#endif
#endif

namespace sluice::detail {

inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;

/// The least fraction of 2^64 that times n has k as its whole part.
inline std::uint64_t fraction_for(std::uint32_t k, std::uint32_t n) noexcept {
    __extension__ using wide = unsigned __int128;
    return static_cast<std::uint64_t>(((wide{k} << 64) + n - 1) / n);
}

/// Answers in place of chance, where every answer is to be tried.
class choice_source {
public:
    /// An order is about to be drawn, perhaps by no draw at all.
    virtual void begin_order() noexcept = 0;
    /// A number below n, which is at least 1.
    virtual std::uint32_t draw(std::uint32_t n) noexcept = 0;
    /// The latest order has made no difference, so that others need not be tried.
    virtual void drawn_in_vain() noexcept = 0;

protected:
    ~choice_source() = default;
};

#if defined(SLUICE_MODEL)

template <class T>
using atomic = model::atomic<T>;

template <class T>
using plain = model::plain<T>;

using model::back_off;
using model::cpu_relax;
using model::fetch_block;
using model::full_fence;
using model::heavy_fence;
using model::light_fence;
using model::lock_identities_end;
using model::lock_identity;
using model::lock_seat;
using model::now;
using model::patience;
using model::random_source;
using model::spin_wait;

// Small, so that wrap-around, overflow and stealing half are reached within a few steps.
inline constexpr std::size_t deque_capacity = 4;
inline constexpr std::uint32_t parcel_size = 2;
inline constexpr std::uint32_t lock_bias_after = 1;
inline constexpr std::uint32_t lock_bias_after_request = 1;
inline constexpr std::uint32_t most_mutex_losses = 1;

inline std::uint64_t random_fraction(random_source& random, std::uint32_t n) noexcept {
    return n < 2 ? 0 : fraction_for(random.below(n), n);
}
inline choice_source* simulated_chance() noexcept {
    return nullptr;
}

#else

template <class T>
using atomic = std::atomic<T>;

/// Data that is not atomic because some other word orders the accesses to it. The explorer checks
/// that claim.
template <class T>
using plain = T;

/// Whether light fences rely on membarrier, and the heavy ones are that. Set once, when the library
/// is loaded, before it starts any thread. On a line of its own: hot loops read it.
struct alignas(64) fence_kind {
    bool asymmetric = false;
};
inline fence_kind fences;

/// Grows from one start of a task to the next, also where the second happens on another CPU because
/// of the first.
inline std::uint64_t start_stamp() noexcept {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();  // the same on all CPUs, to less than a hand-off between two
                                    // takes
#else
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

/// A sequentially consistent fence.
void full_fence() noexcept;

/// Orders the stores before it with the loads after it against every heavy_fence(), and against
/// nothing else.
inline void light_fence() noexcept {
#if defined(SLUICE_THREAD_SANITIZER)
    full_fence();
#else
    if (fences.asymmetric) [[likely]] {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
        std::atomic_thread_fence(std::memory_order_seq_cst);
    }
#endif
}

/// A full fence here and, at some moment during the call, in every other running thread. Costs
/// microseconds.
void heavy_fence() noexcept;

/// Tells the CPU that this is a spin loop.
inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    asm volatile("yield" ::: "memory");
#else
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

/// Has the cache fetch so many lines from `address` on, which are written to soon. No address is an
/// error, but a line that another core uses is taken from it.
inline void fetch_lines(std::uintptr_t address, unsigned count) noexcept {
    for (unsigned i = 0; i != count; ++i) {
        const auto* const line = reinterpret_cast<const char*>(address + 64 * i);
#if defined(__x86_64__)
        // By name: without an option for newer CPUs the builtin fetches to read only, and the line
        // comes a second time to be written. A nop to CPUs that do not know it.
        asm volatile("prefetchw %0" : : "m"(*line));
#else
        __builtin_prefetch(line, 1);
#endif
    }
}

/// Fetches the first 128 bytes of a block of the frame pool's, header included, of which this is
/// the address that users see.
inline void fetch_block(const void* memory) noexcept {
    fetch_lines(reinterpret_cast<std::uintptr_t>(memory) - 16, 2);
}

/// How many simulators there are; what now() and simulated_chance() say then depends on the thread.
inline std::atomic<int> simulators{0};
std::int64_t now_of_this_thread() noexcept;

/// While it lives, the calling thread's now() reads `clock`, and `choices`, if there are any, are
/// its simulated_chance(), which random_fraction() asks.
class simulation_scope {
public:
    simulation_scope(const std::int64_t& clock, choice_source* choices) noexcept;
    simulation_scope(const simulation_scope&) = delete;
    simulation_scope& operator=(const simulation_scope&) = delete;
    ~simulation_scope();
};

/// Nanoseconds of CLOCK_MONOTONIC, or of the simulation that the thread runs.
inline std::int64_t now() noexcept {
    if (simulators.load(relaxed) != 0) [[unlikely]]
        return now_of_this_thread();
    const auto since_boot = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot).count();
}

/// A small fast generator, one per worker; not thread-safe. Algorithm: splitmix64 (Steele, Lea,
/// Flood, 2014).
class random_source {
public:
    explicit random_source(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    /// A number in [0, bound); bound is at least 1.
    std::uint32_t below(std::uint32_t bound) noexcept {
        return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
    }

private:
    std::uint64_t state_;
};

choice_source* chance_of_this_thread() noexcept;

/// Who answers in place of chance on this thread, or null.
inline choice_source* simulated_chance() noexcept {
    return simulators.load(relaxed) == 0 ? nullptr : chance_of_this_thread();
}

/// random.next(), of which the caller takes the whole part of n times that fraction of 2^64.
inline std::uint64_t random_fraction(random_source& random, std::uint32_t n) noexcept {
    choice_source* const simulated = simulated_chance();
    if (simulated == nullptr || n < 2) [[likely]]
        return random.next();
    return fraction_for(simulated->draw(n), n);
}

/// About 4 microseconds without touching anything.
void back_off() noexcept;

/// Back-off of one waiter: a moment, for those who meet at a lock that is seldom held; some rounds
/// of back_off(); then the CPU is offered to other threads. The time does not grow from a moment: a
/// short wait takes the line, and what the lock guards, from its holder, too often if the lock is
/// busy.
class spin_wait {
public:
    void pause() noexcept;

private:
    static constexpr unsigned rounds_before_yield = 8;
    static constexpr int first_relaxations = 8;
    unsigned rounds_ = 0;
};

/// A wait of a few microseconds at most, for something that is expected at any moment.
class patience {
public:
    /// False: it is used up.
    bool left() noexcept;

private:
    static constexpr int most_looks = 32;
    int looks_ = 0;
};

inline constexpr std::size_t deque_capacity = 256;

/// How many blocks go home to their owner at once.
inline constexpr std::uint32_t parcel_size = 64;

[[gnu::tls_model(
    "initial-exec")]] extern constinit thread_local std::uint32_t this_threads_identity;

/// A number from 1 up that only the calling worker has, while it has it; 0 on a thread that is no
/// worker. For functions that are not inlined: a coroutine must not keep the address of a thread's
/// variable over a suspension.
inline std::uint32_t lock_identity() noexcept {
    return this_threads_identity;
}

/// Gives the calling thread that identity. take_lock_identity() finds a free one; throws
/// std::runtime_error without.
void set_lock_identity(std::uint32_t identity) noexcept;
std::uint32_t take_lock_identity();
void give_back_lock_identity(std::uint32_t identity) noexcept;

inline constexpr std::uint32_t most_lock_identities = 4096;

/// More than any identity that has been taken so far. Who takes one makes this known before it uses
/// its seat.
std::uint32_t lock_identities_end() noexcept;

struct alignas(64) lock_seat_line {
    atomic<const void*> inside{nullptr};
};
inline constinit lock_seat_line lock_seats[most_lock_identities]{};

/// Where the worker of that identity writes which lock it is in as its favourite (spin_lock.hpp).
inline atomic<const void*>& lock_seat(std::uint32_t identity) noexcept {
    return lock_seats[identity].inside;
}

/// How often in a row a worker takes a lock before the lock is biased towards it.
inline constexpr std::uint32_t lock_bias_after = 64;
/// The same where the favourite before left as soon as it was asked to.
inline constexpr std::uint32_t lock_bias_after_request = 16;

/// How often one that waits for a mutex loses it to newcomers before the mutex starves.
inline constexpr std::uint32_t most_mutex_losses = 16;

#endif

inline std::chrono::steady_clock::time_point to_time_point(std::int64_t nanoseconds) noexcept {
    using clock = std::chrono::steady_clock;
    const std::chrono::nanoseconds since_boot(nanoseconds);
    return clock::time_point(std::chrono::duration_cast<clock::duration>(since_boot));
}

/// The nanoseconds of a duration, rounded up; the largest or least number of them beyond that, 0
/// for what is no number.
template <class Rep, class Period>
std::int64_t saturated(std::chrono::duration<Rep, Period> d) noexcept {
    using limits = std::numeric_limits<std::int64_t>;
    using factor = std::ratio_divide<Period, std::nano>;
    if constexpr (std::integral<Rep> && factor::den == 1) {
        std::int64_t n = 0;
        if (!__builtin_mul_overflow(d.count(), factor::num, &n)) return n;
        return d.count() < 0 ? limits::min() : limits::max();
    } else {
        const auto n = std::ceil(std::chrono::duration<long double, std::nano>(d).count());
        if (n >= static_cast<long double>(limits::max())) return limits::max();
        if (n <= static_cast<long double>(limits::min())) return limits::min();
        return n == n ? static_cast<std::int64_t>(n) : 0;
    }
}

inline std::int64_t to_nanoseconds(std::chrono::steady_clock::time_point t) noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
}

}  // namespace sluice::detail
