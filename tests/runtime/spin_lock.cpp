#include <sluice/runtime/detail/spin_lock.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "support.hpp"

using namespace sluice::detail;

namespace {

/// An identity for the length of a thread's visit.
class identity_scope {
public:
    explicit identity_scope(std::uint32_t id) noexcept { set_lock_identity(id); }
    identity_scope(const identity_scope&) = delete;
    identity_scope& operator=(const identity_scope&) = delete;
    ~identity_scope() { set_lock_identity(0); }
};

/// `threads` threads, each with or without an identity, add to a plain counter under the lock.
long visits(const std::vector<bool>& has_identity, int each, int pause_every) {
    spin_lock lock(lock_rank::channel);
    long plain = 0;
    std::vector<std::uint32_t> identities;
    for (const bool has : has_identity) identities.push_back(has ? take_lock_identity() : 0);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t != identities.size(); ++t) {
        threads.emplace_back([&, t] {
            const identity_scope scope(identities[t]);
            for (int i = 0; i != each; ++i) {
                {
                    const std::lock_guard guard(lock);
                    ++plain;
                }
                if (t != 0 && i % pause_every == 0) {
                    for (int k = 0; k != 2'000; ++k)
                        cpu_relax();  // so that the first one earns the bias
                }
            }
        });
    }
    for (std::thread& t : threads) t.join();
    for (const std::uint32_t id : identities) {
        if (id != 0) give_back_lock_identity(id);
    }
    return plain;
}

}  // namespace

TEST_CASE(
    "spin lock: a favourite that is disturbed now and then excludes the others, and nobody hangs") {
    CHECK(visits({true, true}, 100'000, 500) == 200'000);
}

TEST_CASE("spin lock: threads without an identity are excluded too") {
    CHECK(visits({true, false}, 100'000, 500) == 200'000);
    CHECK(visits({true, true, false}, 30'000, 1'000) == 90'000);
}

TEST_CASE("spin lock: contended all the time it stays a lock") {
    CHECK(visits({true, true, true}, 30'000, 30'001) == 90'000);
}

TEST_CASE("spin lock: a favourite inside one of its locks takes another") {
    const std::uint32_t id = take_lock_identity();
    {
        const identity_scope scope(id);
        spin_lock a(lock_rank::channel);
        spin_lock b(lock_rank::context);
        for (int i = 0; i != 2'000; ++i) {
            const std::lock_guard outer(a);
            const std::lock_guard inner(b);
        }
        a.lock();
        CHECK(b.try_lock());
        b.unlock();
        a.unlock();
    }
    give_back_lock_identity(id);
}

TEST_CASE("spin lock: try_lock fails while someone is inside, favourite or not") {
    const std::uint32_t id = take_lock_identity();
    spin_lock lock(lock_rank::channel);
    {
        const identity_scope scope(id);
        CHECK(lock.try_lock());
        CHECK_FALSE(lock.try_lock());
        lock.unlock();
        for (int i = 0; i != 2'000; ++i) {
            lock.lock();
            lock.unlock();
        }
    }
    CHECK(lock.try_lock());  // takes the bias back
    CHECK_FALSE(lock.try_lock());
    lock.unlock();
    give_back_lock_identity(id);
}

TEST_CASE("spin lock: the one who was let in last may free the lock's memory at once") {
    for (int round = 0; round != 500; ++round) {
        auto lock = std::make_unique<spin_lock>(lock_rank::channel);
        int inside = 0;
        std::atomic<bool> started{false};
        std::thread other([&] {
            lock->lock();
            inside = 1;
            started = true;
            lock->unlock();
        });
        while (!started) std::this_thread::yield();
        lock->lock();
        const int seen = inside;
        lock->unlock();
        lock.reset();
        other.join();
        REQUIRE(seen == 1);
    }
}
