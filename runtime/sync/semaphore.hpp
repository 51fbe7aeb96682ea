// A weighted semaphore.
#pragma once

#include <cstdint>
#include <utility>

#include <sluice/runtime/operation.hpp>

namespace sluice {

class semaphore;

/// Permits held; letting it go gives them back.
class [[nodiscard]] permit {
public:
    /// Holds nothing.
    permit() noexcept = default;
    permit(permit&& other) noexcept
        : from_(std::exchange(other.from_, nullptr)), count_(other.count_) {}
    permit& operator=(permit&& other) noexcept {
        permit old(std::move(other));
        std::swap(from_, old.from_);
        std::swap(count_, old.count_);
        return *this;
    }
    ~permit() { release(); }

    /// Gives back early; does nothing the second time.
    void release() noexcept;
    bool held() const noexcept { return from_ != nullptr; }
    std::int64_t count() const noexcept { return count_; }

private:
    friend class semaphore;
    friend class semaphore_leaf;
    permit(semaphore* from, std::int64_t count) noexcept : from_(from), count_(count) {}
    semaphore* from_ = nullptr;
    std::int64_t count_ = 0;
};

/// A number of permits, taken in any amount, strictly first come first served: a large request is
/// not overtaken, so it never starves. A request for more than the size waits for ever and holds up
/// nobody; bound it with a context. Must outlive its permits and the operations on it.
class semaphore {
public:
    /// Throws std::logic_error for a negative size.
    explicit semaphore(std::int64_t size);
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;

    /// Operation: gives a permit for n. One that loses a race holds nothing. Throws
    /// std::logic_error for a negative n.
    auto acquire(std::int64_t n = 1);

    /// A permit for n if so many are free and nobody waits, else one that holds nothing. Any
    /// thread.
    permit try_acquire(std::int64_t n = 1);

    std::int64_t size() const noexcept { return size_; }

private:
    friend class permit;
    friend class semaphore_leaf;

    void release(std::int64_t n) noexcept;
    bool fits(std::int64_t n) const noexcept { return waiters_.empty() && size_ - taken_ >= n; }
    void grant(detail::wake_list& wakes) noexcept;

    const std::int64_t size_;
    detail::spin_lock gate_{detail::lock_rank::semaphore};
    std::int64_t taken_ = 0;      // under gate_
    detail::wait_queue waiters_;  // under gate_
};

class semaphore_leaf final : public detail::leaf {
public:
    semaphore_leaf(semaphore& s, std::int64_t n) noexcept : semaphore_(s), count_(n) {}
    semaphore_leaf(semaphore_leaf&&) noexcept = default;
    detail::spin_lock* gate() noexcept override { return &semaphore_.gate_; }
    bool ready() noexcept override { return semaphore_.fits(count_); }
    bool commit(detail::wake_list&) noexcept override;
    void enlist() noexcept override;
    void retract() noexcept override;
    detail::wait_site site() const noexcept override {
        return {"acquire of a semaphore", &semaphore_};
    }
    std::int64_t count() const noexcept { return count_; }
    /// Gate held.
    void grant() noexcept;
    permit take() noexcept { return std::move(granted_); }

private:
    semaphore& semaphore_;
    std::int64_t count_;
    permit granted_{nullptr, 0};  // given back if the task is cut before it runs again
};

class [[nodiscard]] acquire_operation : public detail::holding_operation<acquire_operation> {
public:
    using result_type = permit;
    acquire_operation(semaphore& s, std::int64_t n) noexcept : leaf_(s, n) {}
    acquire_operation(acquire_operation&&) noexcept = default;

    semaphore_leaf& the_leaf() noexcept { return leaf_; }
    permit take(std::size_t) noexcept { return leaf_.take(); }

private:
    semaphore_leaf leaf_;
};

namespace detail {
void check_permits(std::int64_t n);
}

inline auto semaphore::acquire(std::int64_t n) {
    detail::check_permits(n);
    return acquire_operation(*this, n);
}

}  // namespace sluice
