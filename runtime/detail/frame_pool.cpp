#include <sluice/runtime/detail/frame_pool.hpp>

#include <sys/mman.h>

#include <mutex>
#include <new>

namespace sluice::detail {

namespace {

// Every pool that was ever made; never freed, so that late releases and leak checkers find them.
constinit frame_pool* all_pools = nullptr;
constinit spin_lock all_pools_lock{lock_rank::all_frame_pools};

// Zeroed memory: a header of size 0 ends a walk. Throws std::bad_alloc.
std::byte* map_pages(std::size_t size) {
    void* const pages =
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    return static_cast<std::byte*>(pages);
}

}  // namespace

// The pool of one thread, from its first use to the thread's end.
struct pool_lease {
    frame_pool* pool = nullptr;
    ~pool_lease();
};

namespace {
[[gnu::tls_model("initial-exec")]] constinit thread_local frame_pool* this_threads_pool = nullptr;
thread_local pool_lease this_threads_lease;
}  // namespace

pool_lease::~pool_lease() {
    if (pool == nullptr) return;
    this_threads_pool = nullptr;
    frame_pool::give_back(*pool);
}

frame_pool& frame_pool::of_this_thread() {
    return this_threads_pool != nullptr ? *this_threads_pool : lease();
}

frame_pool& frame_pool::lease() {
    {
        const std::lock_guard guard(all_pools_lock);
        for (frame_pool* p = all_pools; p != nullptr; p = p->next_pool_) {
            if (p->leased_) continue;
            p->leased_ = true;
            this_threads_pool = p;
            break;
        }
    }
    if (this_threads_pool == nullptr) {
        auto* const fresh = new frame_pool;
        const std::lock_guard guard(all_pools_lock);
        fresh->leased_ = true;
        fresh->next_pool_ = all_pools;
        all_pools = fresh;
        this_threads_pool = fresh;
    }
    this_threads_lease.pool = this_threads_pool;
    return *this_threads_pool;
}

void frame_pool::give_back(frame_pool& pool) noexcept {
    for (parcel& p : pool.outgoing_) p.send();
    const std::lock_guard guard(all_pools_lock);
    pool.leased_ = false;
}

void* frame_pool::allocate_small(std::uint32_t size_class) {
    return of_this_thread().take(size_class);
}

void* frame_pool::allocate_large(std::size_t size) {
    return of_this_thread().take_large(size);
}

void frame_pool::deallocate(void* memory) noexcept {
    block_header* const header = block_header::of(memory);
    header->runtime_id.store(0, relaxed);
    if (header->size_class.load(relaxed) == 0) {
        header->owner->put_large(header);
    } else if (header->owner == this_threads_pool) {
        header->owner->put(header);
    } else if (this_threads_pool != nullptr) {
        this_threads_pool->send(header);
    } else {  // a thread that is ending, or never took a block
        header->owner->inbox_[header->size_class.load(relaxed)].push(memory);
    }
}

void* frame_pool::take(std::uint32_t size_class) {
    block_list& free = free_[size_class];
    if (free.empty()) [[unlikely]]
        return take_slow(size_class);
    return free.take();
}

void* frame_pool::take_slow(std::uint32_t size_class) {
    if (free_[size_class].refill(inbox_[size_class])) return free_[size_class].take();
    const std::size_t size = std::size_t{size_class} * step;
    if (static_cast<std::size_t>(carve_end_ - carve_) < size) add_chunk();
    auto* const header = reinterpret_cast<block_header*>(carve_);
    header->owner = this;
    // release: pairs with the acquire in visit_chunks(); the block has an owner.
    header->size_class.store(size_class, release);
    carve_ += size;
    return header->memory();
}

void frame_pool::add_chunk() {
    {
        const std::lock_guard guard(lock_);
        chunks_.reserve(chunks_.size() + 1);
    }
    carve_ = map_pages(chunk_size);
    carve_end_ = carve_ + chunk_size;
    const std::lock_guard guard(lock_);
    chunks_.push_back(carve_);
}

void* frame_pool::take_large(std::size_t size) {
    void* const memory = ::operator new(sizeof(large_block) + sizeof(block_header) + size);
    auto* const links = ::new (memory) large_block{nullptr, nullptr};
    auto* const header = ::new (static_cast<void*>(links + 1)) block_header;
    header->owner = this;
    const std::lock_guard guard(lock_);
    links->next = large_;
    if (large_ != nullptr) large_->previous = links;
    large_ = links;
    return header->memory();
}

void frame_pool::put(block_header* header) noexcept {
    const std::uint32_t size_class = header->size_class.load(relaxed);
    free_[size_class].add(header->memory(), room(size_class));
}

void frame_pool::send(block_header* header) noexcept {
    const std::uint32_t size_class = header->size_class.load(relaxed);
    outgoing_[size_class].add(header->memory(), room(size_class),
                              header->owner->inbox_[size_class]);
}

void frame_pool::put_large(block_header* header) noexcept {
    auto* const links = reinterpret_cast<large_block*>(header) - 1;
    {
        const std::lock_guard guard(lock_);
        if (links->previous != nullptr) {
            links->previous->next = links->next;
        } else {
            large_ = links->next;
        }
        if (links->next != nullptr) links->next->previous = links->previous;
    }
    ::operator delete(links);
}

void frame_pool::visit_chunks(void (*visit)(block_header&, void*), void* context) {
    const std::lock_guard guard(lock_);
    for (std::byte* at : chunks_) {
        std::byte* const end = at + chunk_size;
        while (end - at >= static_cast<std::ptrdiff_t>(sizeof(block_header))) {
            auto* const header = reinterpret_cast<block_header*>(at);
            const std::size_t steps = header->size_class.load(acquire);
            if (steps == 0) break;
            visit(*header, context);
            at += steps * step;
        }
    }
    for (large_block* b = large_; b != nullptr; b = b->next)
        visit(*reinterpret_cast<block_header*>(b + 1), context);
}

void frame_pool::visit_all(void (*visit)(block_header&, void*), void* context) {
    const std::lock_guard guard(all_pools_lock);
    for (frame_pool* p = all_pools; p != nullptr; p = p->next_pool_)
        p->visit_chunks(visit, context);
}

}  // namespace sluice::detail
