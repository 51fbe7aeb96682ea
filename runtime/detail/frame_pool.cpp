#include <sluice/runtime/detail/frame_pool.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <new>

namespace sluice::detail {

namespace {

// Every pool that was ever made; never freed, so that late releases and leak checkers find them.
constinit frame_pool* all_pools = nullptr;
constinit spin_lock all_pools_lock;

// How many blocks ahead of its use a free one is fetched into the cache: the core it comes back
// from has written to it.
constexpr std::uint32_t fetched_ahead = 8;

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
    for (parcel& p : pool.outgoing_) flush(p);
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
        auto* const single = ::new (memory) carrier{nullptr, 0};
        header->owner->push_inbox(single, single);
    }
}

// What the first takes from the list need, once this is its top.
void frame_pool::fetch_first(carrier& top) noexcept {
    fetch_block(top.next);
    const std::uint32_t n = std::min(top.count, fetched_ahead);
    for (std::uint32_t i = 1; i <= n; ++i) fetch_block(top.others()[top.count - i]);
}

void* frame_pool::take(std::uint32_t size_class) {
    carrier* const top = free_[size_class];
    if (top == nullptr) [[unlikely]]
        return take_slow(size_class);
    if (top->count == 0) {
        free_[size_class] = top->next;
        if (top->next != nullptr) fetch_first(*top->next);
        return top;
    }
    void** const place = top->others() + --top->count;
    if (top->count >= fetched_ahead) fetch_block(*(place - fetched_ahead));
    return *place;
}

void* frame_pool::take_slow(std::uint32_t size_class) {
    atomic<carrier*>& inbox = inbox_[size_class];
    if (inbox.load(relaxed) != nullptr) {
        // acquire: pairs with the release in push_inbox().
        free_[size_class] = inbox.exchange(nullptr, acquire);
        fetch_first(*free_[size_class]);
        return take(size_class);
    }
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
    add(free_[header->size_class.load(relaxed)], header);
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

// How many addresses of others a carrier of that size holds.
std::uint32_t frame_pool::room(std::uint32_t size_class) noexcept {
    const std::size_t size = std::size_t{size_class} * step - sizeof(block_header);
    return static_cast<std::uint32_t>((size - sizeof(carrier)) / sizeof(void*));
}

// The block is carried by the top of the list, or becomes its new top.
void frame_pool::add(carrier*& top, block_header* header) noexcept {
    if (top != nullptr && top->count != room(header->size_class.load(relaxed))) {
        top->others()[top->count++] = header->memory();
    } else {
        top = ::new (header->memory()) carrier{top, 0};
    }
}

void frame_pool::send(block_header* header) noexcept {
    parcel& p = outgoing_[header->size_class.load(relaxed)];
    if (p.owner != header->owner) {
        flush(p);
        p.owner = header->owner;
    }
    add(p.first, header);
    if (p.last == nullptr) p.last = p.first;
    if (++p.count == batch) flush(p);
}

void frame_pool::flush(parcel& p) noexcept {
    if (p.first == nullptr) return;
    p.owner->push_inbox(p.first, p.last);
    p.first = p.last = nullptr;
    p.count = 0;
}

void frame_pool::push_inbox(carrier* first, carrier* last) noexcept {
    atomic<carrier*>& inbox = inbox_[block_header::of(first)->size_class.load(relaxed)];
    carrier* head = inbox.load(relaxed);
    do {
        last->next = head;
        // release: pairs with the acquire in take_slow(); the carriers and the end of the frames.
    } while (!inbox.compare_exchange_weak(head, first, release, relaxed));
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
