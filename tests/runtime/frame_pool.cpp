#include <sluice/runtime/detail/frame_pool.hpp>

#include <cstddef>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sluice/runtime/run.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

#include "support.hpp"

using sluice::task;
using sluice::detail::block_header;
using sluice::detail::frame_pool;

namespace {

std::size_t blocks() {
    std::size_t count = 0;
    frame_pool::for_each_block([&count](block_header&) { ++count; });
    return count;
}

std::size_t marked_blocks() {
    std::size_t count = 0;
    frame_pool::for_each_block(
        [&count](block_header& h) { count += h.runtime_id.load() != 0 ? 1 : 0; });
    return count;
}

void use(void* memory, std::size_t size) {
    std::memset(memory, 0x5a, size);
}

/// Runs a thousand short tasks, with frames of several sizes, that end on any worker.
task<> many_tasks() {
    sluice::wait_group group;
    for (int i = 0; i != 1'000; ++i) {
        group.go(
            [](std::string text) -> task<> {
                co_await sluice::yield();
                text.clear();
            },
            std::string(static_cast<std::size_t>(i) % 50, 'x'));
        if (i % 50 == 0) co_await sluice::yield();
    }
    co_await group.wait();
}

}  // namespace

TEST_CASE("frame pool: blocks of every size are aligned and do not overlap") {
    std::vector<std::pair<unsigned char*, std::size_t>> all;
    for (std::size_t size = 1; size < 3'000; size += 13) {
        auto* const p = static_cast<unsigned char*>(frame_pool::allocate(size));
        REQUIRE(reinterpret_cast<std::uintptr_t>(p) % 16 == 0);
        std::memset(p, static_cast<int>(all.size() % 251), size);
        all.emplace_back(p, size);
    }
    for (std::size_t i = 0; i != all.size(); ++i) {
        const auto [p, size] = all[i];
        for (std::size_t k = 0; k != size; ++k) REQUIRE(p[k] == i % 251);
        frame_pool::deallocate(p);
    }
}

TEST_CASE("frame pool: what is given back is used again") {
    std::vector<void*> held;
    const auto round = [&held] {
        for (int i = 0; i != 500; ++i) {
            held.push_back(frame_pool::allocate(200));
            use(held.back(), 200);
        }
        for (void* p : held) frame_pool::deallocate(p);
        held.clear();
    };
    round();
    const std::size_t before = blocks();
    for (int i = 0; i != 100; ++i) round();
    CHECK(blocks() == before);
}

TEST_CASE("frame pool: blocks freed by another thread come back to the one that made them") {
    const auto round = [] {
        std::vector<void*> held;
        for (int i = 0; i != 1'000; ++i) {
            held.push_back(frame_pool::allocate(300));
            use(held.back(), 300);
        }
        std::thread([&held] {
            for (void* p : held) frame_pool::deallocate(p);
        }).join();
    };
    round();
    round();
    const std::size_t before = blocks();
    for (int i = 0; i != 100; ++i) round();
    CHECK(blocks() <= before + 64);
}

TEST_CASE("frame pool: a thread that has a pool of its own sends the blocks of others home") {
    void* mine = nullptr;
    const auto round = [&mine] {
        std::vector<void*> held;
        for (int i = 0; i != 1'000; ++i) held.push_back(frame_pool::allocate(300));
        std::thread([&held, &mine] {
            mine = frame_pool::allocate(300);
            for (void* p : held) frame_pool::deallocate(p);
            frame_pool::deallocate(mine);
        }).join();
    };
    round();
    round();
    const std::size_t before = blocks();
    for (int i = 0; i != 100; ++i) round();
    CHECK(blocks() <= before + 128);
}

TEST_CASE("frame pool: what a thread has collected for others goes home when it ends") {
    if (!frame_pool::pooling) return;
    constexpr std::size_t size = 900;
    constexpr std::size_t few = 10;  // less than a parcel
    std::set<void*> sent;
    while (sent.size() != few) sent.insert(frame_pool::allocate(size));
    std::thread([sent] {
        void* const own = frame_pool::allocate(size);
        for (void* p : sent) frame_pool::deallocate(p);
        frame_pool::deallocate(own);
    }).join();
    const std::size_t before = blocks();
    std::vector<void*> held;
    while (!sent.empty()) {
        held.push_back(frame_pool::allocate(size));
        sent.erase(held.back());
        REQUIRE(blocks() == before);
    }
    for (void* p : held) frame_pool::deallocate(p);
}

TEST_CASE("frame pool: a block may be freed after its thread has ended") {
    void* left = nullptr;
    std::thread([&left] { left = frame_pool::allocate(100); }).join();
    use(left, 100);
    frame_pool::deallocate(left);
    std::thread([&left] { left = frame_pool::allocate(2'000); }).join();
    use(left, 2'000);
    frame_pool::deallocate(left);
}

TEST_CASE("frame pool: pools are leased again by later threads") {
    const auto visit = [] {
        std::thread([] {
            std::vector<void*> held;
            for (int i = 0; i != 100; ++i) held.push_back(frame_pool::allocate(100));
            for (void* p : held) frame_pool::deallocate(p);
        }).join();
    };
    visit();
    const std::size_t before = blocks();
    for (int i = 0; i != 100; ++i) visit();
    CHECK(blocks() == before);
}

TEST_CASE(
    "frame pool: memory does not grow over 100 rounds of runtimes whose tasks end on any worker") {
    const auto round = [] { sluice::run(sluice::options{.workers = 2}, many_tasks); };
    for (int i = 0; i != 20; ++i) round();
    const std::size_t before = blocks();
    for (int i = 0; i != 100; ++i) round();
    // Where a task's frame is made depends on who runs; a round needs a thousand of each kind at
    // most.
    CHECK(blocks() <= before + 5'000);
    CHECK(marked_blocks() == 0);
}

TEST_CASE("frame pool: memory does not grow over 100 rounds in one runtime") {
    {
        sluice::runtime rt(sluice::options{.workers = 2});
        for (int i = 0; i != 20; ++i) rt.block_on(many_tasks);
        const std::size_t before = blocks();
        for (int i = 0; i != 100; ++i) rt.block_on(many_tasks);
        CHECK(blocks() <= before + 5'000);
        while (rt.num_tasks() != 0) std::this_thread::yield();
    }
    CHECK(marked_blocks() == 0);  // a task is counted as ended shortly before its frame is freed
}
