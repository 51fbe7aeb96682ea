#include <sluice/runtime/sync/rw_mutex.hpp>

#include <mutex>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/misuse.hpp>

namespace sluice {

// Gate held.
bool rw_mutex::take(bool shared) noexcept {
    if (!free_for(shared)) return false;
    if (shared) {
        ++reading_;
    } else {
        writing_ = true;
    }
    return true;
}

// Gate held; nobody writes.
void rw_mutex::admit_readers(detail::wake_list& wakes) noexcept {
    detail::claim_all(readers_, wakes, [this](detail::leaf& l) {
        ++reading_;
        static_cast<rw_mutex_leaf&>(l).granted_ = true;
    });
}

// Gate held; nobody reads or writes.
void rw_mutex::admit_writer(detail::wake_list& wakes) noexcept {
    auto* const next = static_cast<rw_mutex_leaf*>(detail::claim_front(writers_, wakes));
    writing_ = next != nullptr;
    if (writing_) next->granted_ = true;
}

write_guard rw_mutex::try_lock() noexcept {
    const std::lock_guard guard(gate_);
    return write_guard(take(false) ? this : nullptr);
}

read_guard rw_mutex::try_lock_shared() noexcept {
    const std::lock_guard guard(gate_);
    return read_guard(take(true) ? this : nullptr);
}

void rw_mutex::unlock() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (!writing_) detail::die_of_misuse("unlock of an rw_mutex that is not locked");
        writing_ = false;
        admit_readers(wakes);
        if (reading_ == 0) admit_writer(wakes);
    }
    wakes.wake_all();
}

void rw_mutex::unlock_shared() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (reading_ == 0)
            detail::die_of_misuse("unlock_shared of an rw_mutex that no reader holds");
        if (--reading_ == 0) {
            admit_writer(wakes);
            if (!writing_) admit_readers(wakes);  // those who waited for writers that gave up
        }
    }
    wakes.wake_all();
}

rw_mutex_leaf::~rw_mutex_leaf() {
    if (!granted_) return;
    if (shared_) {
        mutex_.unlock_shared();
    } else {
        mutex_.unlock();
    }
}

void rw_mutex_leaf::enlist() noexcept {
    (shared_ ? mutex_.readers_ : mutex_.writers_).push_back(*this);
}

void rw_mutex_leaf::retract() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(mutex_.gate_);
        if (!linked()) return;
        unlink();
        // The last writer that waited may have held back readers.
        if (!mutex_.writing_ && mutex_.writers_.empty()) mutex_.admit_readers(wakes);
    }
    wakes.wake_all();
}

}  // namespace sluice
