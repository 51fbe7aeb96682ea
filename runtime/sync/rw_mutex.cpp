#include <sluice/runtime/sync/rw_mutex.hpp>

#include <mutex>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/misuse.hpp>

namespace sluice {

using detail::acq_rel;
using detail::acquire;
using detail::relaxed;

// Closes the short ways: what it answers stays so while the gate is held.
bool rw_mutex::free_for(word hold) noexcept {
    // acquire: pairs with the release of whoever held it.
    const word before = state_.fetch_or(waited, acquire);
    if (hold == reader) return (before & writing) == 0 && writers_.empty();
    return (before & ~waited) == 0;
}

bool rw_mutex::take(word hold) noexcept {
    if (!free_for(hold)) return false;
    admit(hold);
    return true;
}

// The short ways are closed.
void rw_mutex::admit(word holds) noexcept {
    state_.fetch_add(nobody_waits() ? holds - waited : holds, relaxed);
}

// Nobody writes.
bool rw_mutex::admit_readers(detail::wake_list& wakes) noexcept {
    word holds = 0;
    detail::claim_all(readers_, wakes, [&holds](detail::leaf& l) {
        holds += reader;
        static_cast<rw_mutex_leaf&>(l).granted_ = true;
    });
    if (holds != 0) admit(holds);
    return holds != 0;
}

// Nobody reads or writes.
bool rw_mutex::admit_writer(detail::wake_list& wakes) noexcept {
    auto* const next = static_cast<rw_mutex_leaf*>(detail::claim_front(writers_, wakes));
    if (next == nullptr) return false;
    next->granted_ = true;
    admit(writing);
    return true;
}

bool rw_mutex::try_take(word hold) noexcept {
    if (enter(hold)) return true;
    const std::lock_guard guard(gate_);
    return take(hold);
}

write_guard rw_mutex::try_lock() noexcept {
    return write_guard(try_take(writing) ? this : nullptr);
}

read_guard rw_mutex::try_lock_shared() noexcept {
    return read_guard(try_take(reader) ? this : nullptr);
}

[[gnu::noinline]] void rw_mutex::leave(word hold) noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        const word before = state_.fetch_or(waited, relaxed);
        if (hold == writing && (before & writing) == 0)
            detail::die_of_misuse("unlock of an rw_mutex that is not locked");
        if (hold == reader && before < reader)
            detail::die_of_misuse("unlock_shared of an rw_mutex that no reader holds");
        // acquire: pairs with the release of the other readers.
        if (state_.fetch_sub(hold, acq_rel) - hold != waited) return;
        if (hold == writing) {
            if (!admit_readers(wakes)) admit_writer(wakes);
        } else {
            if (!admit_writer(wakes)) admit_readers(wakes);  // whose writers gave up
        }
    }
    wakes.wake_all();
}

void rw_mutex_leaf::give_back() noexcept {
    if (hold_ == rw_mutex::reader) {
        mutex_.unlock_shared();
    } else {
        mutex_.unlock();
    }
}

[[gnu::noinline]] bool rw_mutex_leaf::try_commit() noexcept {
    granted_ = mutex_.try_take(hold_);
    if (granted_) detail::this_threads_worker->spend();
    return granted_;
}

void rw_mutex_leaf::enlist() noexcept {
    (hold_ == rw_mutex::reader ? mutex_.readers_ : mutex_.writers_).push_back(*this);
}

void rw_mutex_leaf::retract() noexcept {
    detail::wake_list wakes;
    {
        const std::lock_guard guard(mutex_.gate_);
        if (!linked()) return;
        unlink();
        // The last writer that waited may have held back readers.
        if (mutex_.free_for(rw_mutex::reader)) mutex_.admit_readers(wakes);
    }
    wakes.wake_all();
}

}  // namespace sluice
