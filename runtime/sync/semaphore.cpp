#include <sluice/runtime/sync/semaphore.hpp>

#include <mutex>

#include <sluice/runtime/detail/completer.hpp>
#include <stdexcept>

namespace sluice {

void detail::check_permits(std::int64_t n) {
    if (n < 0)
        throw std::logic_error("sluice: a semaphore was asked for a negative number of permits");
}

semaphore::semaphore(std::int64_t size) : size_(size) {
    if (size < 0) throw std::logic_error("sluice: the size of a semaphore is negative");
}

void permit::release() noexcept {
    if (semaphore* const s = std::exchange(from_, nullptr)) s->release(count_);
}

permit semaphore::try_acquire(std::int64_t n) {
    detail::check_permits(n);
    const std::lock_guard guard(gate_);
    if (!fits(n)) return permit(nullptr, 0);
    taken_ += n;
    return permit(this, n);
}

void semaphore::release(std::int64_t n) noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        taken_ -= n;
        grant(wakes);
    }
    wakes.wake_all();
}

// Gate held. Serves waiters in order, up to the first one that does not fit.
void semaphore::grant(detail::wake_list& wakes) noexcept {
    while (auto* const l = static_cast<semaphore_leaf*>(waiters_.front())) {
        if (size_ - taken_ < l->count()) return;
        l->unlink();
        const detail::claim_result how = detail::claim(*l);
        if (how == detail::claim_result::lost) continue;
        l->grant();
        if (how == detail::claim_result::parked) wakes.add(*l);
    }
}

void semaphore_leaf::grant() noexcept {
    semaphore_.taken_ += count_;
    granted_ = permit(&semaphore_, count_);
}

bool semaphore_leaf::commit(detail::wake_list&) noexcept {
    if (!semaphore_.fits(count_)) return false;
    grant();
    return true;
}

void semaphore_leaf::enlist() noexcept {
    if (count_ <= semaphore_.size_) semaphore_.waiters_.push_back(*this);
}

void semaphore_leaf::retract() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(semaphore_.gate_);
        if (!linked()) return;
        unlink();
        semaphore_.grant(wakes);  // this one may have held up smaller requests
    }
    wakes.wake_all();
}

}  // namespace sluice
