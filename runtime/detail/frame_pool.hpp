// Memory for coroutine frames, channels and other small shared objects: one pool per thread.
//
// Concepts
//   Small blocks come from chunks of their pool, in steps of a cache line (what two cores use never
//   shares one). Each begins with a 16-byte header that names its pool. How free ones are listed,
//   and come home from other threads, is in free_blocks.hpp. Large blocks, and all blocks under
//   AddressSanitizer (so that it sees each frame's end), come from operator new. A pool outlives
//   its thread: it is leased from a process-wide list and goes back there, so that a block may be
//   released at any time, by anyone, and runtimes that start and stop do not grow the process.
//
// A block that holds the outermost frame of a task is marked with its runtime's number. Walking the
// blocks of all pools thus enumerates the live tasks of a runtime (when its workers are still), at
// the price of one store per task.
//
// Invariants
//   A chunk is carved from front to back and never reused for another size: headers can be walked.
//
// Rejected: huge pages for the chunks (a few percent faster, but the kernel may stop a thread for
// milliseconds to make one).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <sluice/runtime/detail/free_blocks.hpp>
#include <sluice/runtime/detail/spin_lock.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define SLUICE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLUICE_ADDRESS_SANITIZER 1
#endif
#endif

namespace sluice::detail {

class frame_pool;

struct alignas(16) block_header {
    frame_pool* owner = nullptr;
    atomic<std::uint32_t> size_class{
        0};  // in steps of a cache line, header included; 0: a block of its own, or not carved yet
    atomic<std::uint32_t> runtime_id{
        0};  // the runtime whose task's outermost frame this is; 0: anything else

    void* memory() noexcept { return this + 1; }
    static block_header* of(void* memory) noexcept {
        return static_cast<block_header*>(memory) - 1;
    }
};
static_assert(sizeof(block_header) == 16);

class frame_pool {
public:
    /// Memory for `size` bytes, aligned to 16, from the calling thread's pool. Throws
    /// std::bad_alloc.
    static void* allocate(std::size_t size) {
        const std::size_t whole = size + sizeof(block_header);
        if (!pooling || whole > max_pooled) return allocate_large(size);
        return allocate_small(static_cast<std::uint32_t>((whole + step - 1) / step));
    }

    /// Gives memory back, from any thread.
    static void deallocate(void* memory) noexcept;

    /// Calls visit(header) for every block of every pool. Blocks that change meanwhile may or may
    /// not be seen, so the caller makes sure that those it looks for are still.
    template <class Visit>
    static void for_each_block(Visit visit);

    static constexpr std::size_t step = 64;
    // Header included: the frame of a task that serves a connection from a buffer of 4 KiB.
    static constexpr std::size_t max_pooled = 4608;
#if defined(SLUICE_ADDRESS_SANITIZER)
    static constexpr bool pooling = false;
#else
    static constexpr bool pooling = true;
#endif

private:
    friend struct pool_lease;

    static constexpr std::size_t chunk_size = std::size_t{1024} * 1024;  // untouched pages are free

    struct large_block {
        large_block* next;
        large_block* previous;
    };

    static constexpr std::size_t classes = max_pooled / step + 1;

    static void* allocate_small(std::uint32_t size_class);
    static void* allocate_large(std::size_t size);
    static frame_pool& of_this_thread();
    static frame_pool& lease();
    static void give_back(frame_pool& pool) noexcept;

    void* take(std::uint32_t size_class);
    void* take_slow(std::uint32_t size_class);
    void add_chunk();
    void* take_large(std::size_t size);
    void put(block_header* header) noexcept;
    void put_large(block_header* header) noexcept;
    // How many addresses of others a carrier of that size holds.
    static constexpr std::uint32_t room(std::uint32_t size_class) noexcept {
        return carrier::room(std::size_t{size_class} * step - sizeof(block_header));
    }
    void send(block_header* header) noexcept;
    void visit_chunks(void (*visit)(block_header&, void*), void* context);
    static void visit_all(void (*visit)(block_header&, void*), void* context);

    // The pool's thread only.
    block_list free_[classes] = {};
    parcel outgoing_[classes] = {};
    std::byte* carve_ = nullptr;
    std::byte* carve_end_ = nullptr;

    // Under lock_.
    spin_lock lock_{lock_rank::frame_pool};
    std::vector<std::byte*> chunks_;  // never given back
    large_block* large_ = nullptr;

    // Under the registry's lock.
    frame_pool* next_pool_ = nullptr;
    bool leased_ = false;

    alignas(64) block_inbox inbox_[classes] = {};  // anyone pushes, the pool's thread empties
};

template <class Visit>
void frame_pool::for_each_block(Visit visit) {
    visit_all([](block_header& h, void* context) { (*static_cast<Visit*>(context))(h); }, &visit);
}

/// Deleter-free shared ownership: objects made with make_pooled are ended by destroy_pooled.
template <class T, class... Args>
T* make_pooled(Args&&... args) {
    static_assert(alignof(T) <= 16);
    void* const memory = frame_pool::allocate(sizeof(T));
    try {
        return ::new (memory) T(static_cast<Args&&>(args)...);
    } catch (...) {
        frame_pool::deallocate(memory);
        throw;
    }
}

template <class T>
void destroy_pooled(T* object) noexcept {
    object->~T();
    frame_pool::deallocate(object);
}

}  // namespace sluice::detail
