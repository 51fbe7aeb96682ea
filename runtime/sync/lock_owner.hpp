// What holds a lock for as long as it lives: the guards of mutex and rw_mutex.
#pragma once

#include <utility>

namespace sluice::detail {

/// Holds a lock of a Mutex, exclusive or shared; letting it go unlocks. Not bound to a task or
/// thread. Move-only.
template <class Mutex, bool Shared = false>
class [[nodiscard]] lock_owner {
public:
    /// Takes over a lock that is held; null: owns none.
    explicit lock_owner(Mutex* held) noexcept : mutex_(held) {}
    lock_owner(lock_owner&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    lock_owner& operator=(lock_owner&& other) noexcept {
        lock_owner old(std::move(other));
        std::swap(mutex_, old.mutex_);
        return *this;
    }
    ~lock_owner() { unlock(); }

    /// Unlocks early; does nothing the second time.
    void unlock() noexcept {
        Mutex* const m = std::exchange(mutex_, nullptr);
        if (m == nullptr) return;
        if constexpr (Shared) {
            m->unlock_shared();
        } else {
            m->unlock();
        }
    }
    bool owns_lock() const noexcept { return mutex_ != nullptr; }
    Mutex* mutex() const noexcept { return mutex_; }
    /// Leaves the mutex locked, and owns it no more. Gives the mutex, or null.
    Mutex* disown() noexcept { return std::exchange(mutex_, nullptr); }

private:
    Mutex* mutex_;
};

}  // namespace sluice::detail
