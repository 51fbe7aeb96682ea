// Frames taken on one thread and given back on another, under the explorer: with a pool of three
// blocks, each of which carries one other, and parcels of two.

#include <sluice/runtime/detail/free_blocks.hpp>

#include <array>
#include <optional>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

constexpr std::uint32_t room = 1;

// A block, and what a frame in it would write.
struct block {
    alignas(16) std::array<std::byte, sizeof(carrier) + room * sizeof(void*)> memory;
    plain<int> frame = 0;
    bool in_use = false;
};
static_assert(carrier::room(sizeof(block::memory)) == room);

// What a frame_pool is for one size, with so many blocks and no more.
class pool {
public:
    static constexpr int most = 3;

    // Owner. Null: all blocks are in use, or not at home yet.
    block* take() {
        void* memory = nullptr;
        if (!free_.empty() || free_.refill(inbox_)) {
            memory = free_.take();
        } else if (carved_ != most) {
            memory = all_[carved_++].memory.data();
        }
        if (memory == nullptr) return nullptr;
        block& b = *of(memory);
        check(!b.in_use, "a block was handed out twice");
        b.in_use = true;
        b.frame += 1;
        return &b;
    }

    void put(block* b) { free_.add(ended(b), room); }

    block_inbox& inbox() { return inbox_; }

    // The end of the frame, on any thread.
    static void* ended(block* b) {
        check(b->in_use, "a block was given back twice");
        b->in_use = false;
        b->frame += 1;
        return b->memory.data();
    }

    // Owner, when all is at rest.
    void check_all_at_home() {
        for (int i = 0; i != most; ++i) check(take() != nullptr, "a block was lost");
        check(take() == nullptr, "a block too many");
    }

private:
    block* of(void* memory) {
        for (block& b : all_) {
            if (b.memory.data() == memory) return &b;
        }
        model::world::current().fail("a block of another pool");
    }

    std::array<block, most> all_;
    int carved_ = 0;
    block_list free_;
    block_inbox inbox_;
};

// A thread that releases these, has a pool of its own, and ends.
void release_all(pool& home, std::initializer_list<block*> blocks) {
    parcel outgoing;
    for (block* b : blocks) outgoing.add(pool::ended(b), room, home.inbox());
    outgoing.send();
}

// The programs are small: so there are more preemptions than usual.
model::effort wide() {
    model::effort e;
    e.limits = {.preemptions = 3, .weaknesses = 3};
    return e;
}

// Hands a block from one thread to another.
class mailbox {
public:
    void put(block* b) { block_.store(b, release); }
    block* take() {
        for (;;) {
            if (block* const b = block_.load(acquire)) return b;
            cpu_relax();
        }
    }

private:
    atomic<block*> block_{nullptr};
};

}  // namespace

TEST_CASE("free_blocks: what another thread releases comes home whole, each block once") {
    model::require_exhausted(
        [] {
            pool home;
            block* const a = home.take();
            block* const b = home.take();
            block* const c = home.take();
            {
                thread other([&] { release_all(home, {a, b, c}); });
                for (int i = 0; i != 3; ++i) {
                    if (block* const again = home.take()) home.put(again);
                }
            }
            home.check_all_at_home();
        },
        wide());
}

TEST_CASE("free_blocks: two threads release to one owner, which takes meanwhile") {
    model::require_exhausted(
        [] {
            pool home;
            block* const a = home.take();
            block* const b = home.take();
            block* const c = home.take();
            {
                thread one([&] { release_all(home, {a, b}); });
                thread other([&] { release_all(home, {c}); });
                block* const first = home.take();
                block* const second = home.take();
                if (first != nullptr) home.put(first);
                if (second != nullptr) home.put(second);
            }
            home.check_all_at_home();
        },
        wide());
}

TEST_CASE(
    "free_blocks: a block that goes out and comes home again meets a push that saw it there") {
    model::require_exhausted(
        [] {
            pool home;
            block* const a = home.take();
            block* const b = home.take();
            block* const c = home.take();
            {
                mailbox box;
                home.inbox().push(pool::ended(a));
                thread slow([&] { home.inbox().push(pool::ended(b)); });
                thread quick([&] { home.inbox().push(pool::ended(box.take())); });
                block* const again = home.take();
                check(again != nullptr, "what had come home was not found");
                box.put(again);
                home.inbox().push(pool::ended(c));
            }
            home.check_all_at_home();
        },
        wide());
}

TEST_CASE("free_blocks: a thread that releases blocks of two owners sends each to its own") {
    model::require_exhausted(
        [] {
            pool left;
            std::array<block*, 3> of_left;
            for (block*& b : of_left) b = left.take();
            mailbox box;
            {
                thread owner([&] {
                    pool right;
                    box.put(right.take());
                    thread sender([&] {
                        parcel outgoing;
                        outgoing.add(pool::ended(of_left[0]), room, left.inbox());
                        outgoing.add(pool::ended(box.take()), room, right.inbox());
                        outgoing.add(pool::ended(of_left[1]), room, left.inbox());
                        outgoing.add(pool::ended(of_left[2]), room, left.inbox());
                        outgoing.send();
                    });
                    if (block* const b = right.take()) right.put(b);
                    sender.join();
                    right.check_all_at_home();
                });
                if (block* const b = left.take()) left.put(b);
            }
            left.check_all_at_home();
        },
        wide());
}

TEST_CASE("free_blocks: a parcel goes home when it is full, and what is left when it is sent") {
    model::require_exhausted([] {
        pool home;
        std::array<block*, 3> taken;
        for (block*& b : taken) b = home.take();
        parcel outgoing;
        const auto add = [&](block* b) { outgoing.add(pool::ended(b), room, home.inbox()); };
        add(taken[0]);
        check(home.inbox().empty(), "a parcel went home before it was full");
        add(taken[1]);
        check(!home.inbox().empty(), "a full parcel stayed");
        add(taken[2]);
        outgoing.send();
        home.check_all_at_home();
        outgoing.send();
        check(home.inbox().empty(), "a parcel went home twice");
    });
}
