// A hash table with a lock of its own, where reading a small plain value takes no lock.
//
// Concepts: chains of nodes, which stay where they are, in a power of two of buckets. A key never
// changes in its node. All is done with the lock held but peek(), which writes nothing that another
// core reads: a locked instruction, or a line that goes to and fro between the cores, costs more
// than a lookup. It is for values that are plain bytes, and few (copied_value.hpp).
//
// The table has a version, odd while it is closed: while nodes come and go, and while several keys
// change in one step. A reader that finds it closed takes the lock; one that does not find it as
// before saw two states mixed and tries again.
//
// What is taken out is destroyed after the unlock, so that destructors may use the table. Where it
// may still have a reader (seat_visit.hpp), as waiting for that one costs microseconds, it is kept
// until it is more than half of what is in use.
//
// Invariants: while the lock is free no value is lent and the table is open. What a reader may see
// is stored by releases that follow the odd version, and loaded by acquires: who sees something new
// finds the version changed. At no moment is a chain a circle, so a reader comes to an end.
//
// Rejected: the version counting for values too (each write to one would take the line from the
// readers of all), fetching the lines of the lock and of the value together before a write (a
// twentieth faster), nodes on lines of their own (less than that, for a third more memory).
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <sluice/patterns/detail/copied_value.hpp>
#include <sluice/patterns/detail/seat_visit.hpp>
#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

template <class Key, class T>
class shared_table {
    static_assert(std::copy_constructible<Key>, "a key is copied into the map");

public:
    /// Whether peek() can be used.
    static constexpr bool readable =
        std::is_trivially_copyable_v<T> && std::is_copy_constructible_v<T> && sizeof(T) <= 64;

    struct node {
        template <class K, class... Args>
        node(const K& k, std::uint64_t h, Args&&... args)
            : key(Key(k)), hash(h), value(std::forward<Args>(args)...) {}

        const Key key;
        const std::uint64_t hash;
        atomic<node*> next{nullptr};
        node* next_lent = nullptr;
        std::conditional_t<readable, copied_value<T>, locked_value<T>> value;
    };

private:
    struct buckets {
        explicit buckets(std::size_t count) : shift(64 - std::countr_zero(count)), heads(count) {}

        // By the top bits of a product, since a user's hash may be the key itself.
        atomic<node*>& head(std::uint64_t hash) {
            return heads[hash * 0x9e3779b97f4a7c15u >> shift];
        }

        const int shift;
        std::vector<atomic<node*>> heads;
        std::unique_ptr<buckets> older;
    };

public:
    /// What was taken out; destroyed with this.
    class remains {
    public:
        remains() = default;
        remains(remains&& other) noexcept
            : nodes_(std::exchange(other.nodes_, nullptr)), arrays_(std::move(other.arrays_)) {}
        remains& operator=(remains&&) = delete;
        ~remains() {
            while (nodes_ != nullptr) delete std::exchange(nodes_, nodes_->next.load(relaxed));
            while (arrays_ != nullptr) arrays_ = std::move(arrays_->older);
        }

        // A reader at this node then goes on to what was taken out before, and finds the version
        // changed.
        void add(node* one) noexcept {
            one->next.store(nodes_, release);
            nodes_ = one;
        }
        void add(std::unique_ptr<buckets> array) noexcept {
            array->older = std::move(arrays_);
            arrays_ = std::move(array);
        }

    private:
        node* nodes_ = nullptr;
        std::unique_ptr<buckets> arrays_;
    };

    shared_table() = default;
    shared_table(const shared_table&) = delete;
    shared_table& operator=(const shared_table&) = delete;
    ~shared_table() { take_all(); }

    void lock() { lock_.lock(); }
    void unlock() noexcept {
        const std::optional<remains> doomed = unlock_keeping();
        if constexpr (readable) {
            if (doomed) wait_for_visitors(this);
        }
    }

    /// The same, and what nobody can find any more is the caller's, to destroy when it holds no
    /// lock, after wait_for_visitors() if it is readable.
    std::optional<remains> unlock_keeping() noexcept {
        if constexpr (readable) {
            while (lent_ != nullptr) std::exchange(lent_, lent_->next_lent)->value.take_back();
        }
        std::optional<remains> doomed;
        if (retired_weight_ > (readable ? least_retired + size_ / 2 : 0)) {
            doomed.emplace(std::move(retired_));
            retired_weight_ = 0;
        }
        // release: pairs with the acquire in peek().
        if (is_closed()) version_.store(version_.load(relaxed) + 1, release);
        lock_.unlock();  // the last access: another may destroy the table now
        return doomed;
    }

    /// What changes from here to unlock() is one step.
    void close() noexcept {
        if (!is_closed()) version_.store(version_.load(relaxed) + 1, relaxed);
    }

    std::size_t size() const noexcept { return size_; }

    /// Another number after keys have come or gone: a node that was found before may be gone.
    std::uint64_t changes() const noexcept { return changes_; }

    /// Null: it is absent.
    template <class K>
    node* find(const K& key, std::uint64_t hash) const {
        // acquire, thrice: pairs with the releases in emplace(), erase(), resize() and add().
        buckets* const in = buckets_.load(acquire);
        if (in == nullptr) return nullptr;
        node* at = in->head(hash).load(acquire);
        while (at != nullptr && !(at->hash == hash && at->key == key)) at = at->next.load(acquire);
        return at;
    }

    /// Its value, until unlock().
    T* lend(node* to) noexcept {
        if constexpr (readable) {
            if (!to->value.is_lent()) to->next_lent = std::exchange(lent_, to);
        }
        return to->value.lend();
    }

    /// Adds a key that is absent.
    template <class K, class... Args>
    node* emplace(const K& key, std::uint64_t hash, Args&&... args) {
        auto fresh = std::make_unique<node>(key, hash, std::forward<Args>(args)...);
        close();
        const buckets* const in = buckets_.load(relaxed);
        const std::size_t count = in == nullptr ? 0 : in->heads.size();
        if (size_ >= count / 2)
            resize(std::make_unique<buckets>(count == 0 ? least_buckets : count * 2));
        atomic<node*>& head = buckets_.load(relaxed)->head(hash);
        fresh->next.store(head.load(relaxed), relaxed);
        head.store(fresh.get(), release);
        ++size_;
        ++changes_;
        lend(fresh.get());
        return fresh.release();
    }

    void erase(node* gone) noexcept {
        close();
        buckets* const in = buckets_.load(relaxed);
        atomic<node*>* at = &in->head(gone->hash);
        while (at->load(relaxed) != gone) at = &at->load(relaxed)->next;
        at->store(gone->next.load(relaxed), release);
        --size_;
        ++changes_;
        retired_.add(gone);
        ++retired_weight_;
        const std::size_t count = in->heads.size();
        if (count == least_buckets || size_ >= count / 8) return;
        try {
            resize(std::make_unique<buckets>(count / 2));
        } catch (const std::bad_alloc&) {
            return;  // it stays large
        }
    }

    /// All that is in the table or was kept, for the caller to destroy when it holds no lock, after
    /// wait_for_visitors(). The table is closed already.
    remains take_all() noexcept {
        retire_all();
        retired_weight_ = 0;
        return std::move(retired_);
    }

    void clear() noexcept {
        retired_weight_ += size_ + least_retired + 1;  // goes at the end of this section
        retire_all();
    }

    /// Calls fn(node*), which must not add or erase any.
    template <class Fn>
    void for_each(Fn&& fn) const {
        buckets* const in = buckets_.load(relaxed);
        if (in == nullptr) return;
        for (const atomic<node*>& head : in->heads) {
            node* next = nullptr;
            for (node* at = head.load(relaxed); at != nullptr; at = next) {
                next = at->next.load(relaxed);
                fn(at);
            }
        }
    }

    enum class glimpse : std::uint8_t { failed, absent, present };

    /// Copies the key's value, as copied_value::read() does, without the lock; or fails.
    template <class K>
    glimpse peek(const K& key, std::uint64_t hash, auto& into) const {
        const seat_visit inside(this);
        if (!inside) return glimpse::failed;
        for (int tries = 0; tries != most_tries; ++tries) {
            // acquire: pairs with the release in unlock().
            const std::uint64_t version = version_.load(acquire);
            if (version % 2 != 0) break;
            const node* const at = find(key, hash);
            if (at != nullptr && !at->value.read(into)) continue;
            if (version_.load(relaxed) == version)
                return at == nullptr ? glimpse::absent : glimpse::present;
        }
        return glimpse::failed;
    }

private:
    static constexpr int most_tries = 3;
    static constexpr std::size_t least_buckets = 8;
    static constexpr std::size_t least_retired = 32;

    bool is_closed() const noexcept { return version_.load(relaxed) % 2 != 0; }

    void retire_all() noexcept {
        for_each([&](node* one) { retired_.add(one); });
        size_ = 0;
        ++changes_;
        if (auto all = std::unique_ptr<buckets>(buckets_.exchange(nullptr, release)))
            retired_.add(std::move(all));
    }

    void resize(std::unique_ptr<buckets> next) noexcept {
        for_each([&](node* one) {
            atomic<node*>& head = next->head(one->hash);
            one->next.store(head.load(relaxed), release);
            head.store(one, release);
        });
        std::unique_ptr<buckets> old(buckets_.exchange(next.release(), release));
        if (readable && old != nullptr) {
            retired_weight_ += old->heads.size();
            retired_.add(std::move(old));
        }
    }

    // On a line that is written when nodes come and go, and not with each value. Readers read:
    atomic<std::uint64_t> version_{0};
    atomic<buckets*> buckets_{nullptr};
    // Under the lock.
    std::size_t size_ = 0;
    std::uint64_t changes_ = 0;
    std::size_t retired_weight_ = 0;  // of retired_, in nodes or so
    remains retired_;

    // Not a spin lock: plain threads use the map too, and may lose their core with the lock.
    alignas(64) std::mutex lock_;
    node* lent_ = nullptr;  // under the lock
};

}  // namespace sluice::detail
