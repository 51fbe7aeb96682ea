#include <sluice/io/detail/descriptor.hpp>

#include <cerrno>
#include <mutex>
#include <new>

#include <sys/socket.h>
#include <unistd.h>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::io::detail {

using sluice::detail::claim;
using sluice::detail::claim_result;
using sluice::detail::leaf;
using sluice::detail::wake_list;

descriptor* descriptor::make(int fd) {
    try {
        void* const memory = sluice::detail::frame_pool::allocate(sizeof(descriptor));
        return ::new (memory) descriptor(fd);
    } catch (...) {
        ::close(fd);
        throw;
    }
}

void descriptor::unref() noexcept {
    if (refs_.fetch_sub(1, sluice::detail::acq_rel) != 1) return;
    this->~descriptor();
    sluice::detail::frame_pool::deallocate(this);
}

void descriptor::enlist(side s, leaf& l) noexcept {
    waiters_[index(s)].push_back(l);
    l.home->count_io(1);
}

void descriptor::stepped_out(leaf& l) noexcept {
    l.home->count_io(-1);
}

int descriptor::watch() noexcept {
    if (home_ != nullptr) return 0;
    auto& here = static_cast<reactor&>(sluice::detail::current_worker()->io());
    ref();
    const int error = here.watch(*this);
    if (error == 0) {
        home_ = &here;
    } else {
        refs_.fetch_sub(1, sluice::detail::relaxed);  // not the last: the caller's operation borrows another
    }
    return error;
}

void descriptor::wake_all(side s, wake_list& wakes) noexcept {
    while (leaf* const l = waiters_[index(s)].pop_front()) {
        sluice::detail::scheduler& home = *l->home;
        // The claim pins a foreign runtime, and only then is this no longer I/O that it waits for.
        if (claim(*l) == claim_result::parked) wakes.add(*l);
        home.count_io(-1);
    }
}

void descriptor::edge(edges e) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (e.hang_up) hung_up_ = true;
        if (e.read || e.hang_up) {
            ready_[index(side::read)] = true;
            wake_all(side::read, wakes);
        }
        if (e.write || e.hang_up) {
            ready_[index(side::write)] = true;
            wake_all(side::write, wakes);
        }
    }
    wakes.wake_all();
}

void descriptor::lost() noexcept {
    {
        const std::lock_guard guard(gate_);
        home_ = nullptr;
        if (closed_ && !number_closed_) {
            ::close(fd_);
            number_closed_ = true;
        }
    }
    edge({true, true, false});
}

void descriptor::unwatched() noexcept {
    lost();
    unref();
}

void descriptor::close() noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (closed_) return;
        closed_ = true;
        wake_all(side::read, wakes);
        wake_all(side::write, wakes);
        if (home_ == nullptr) {
            ::close(fd_);
            number_closed_ = true;
        } else {
            ::shutdown(fd_, SHUT_RDWR);  // the peer learns of it now; on what is no socket this does nothing
            home_->unwatch(*this);
        }
    }
    wakes.wake_all();
}

reactor::~reactor() = default;

void reactor::add_to_list(descriptor& d) noexcept {
    const std::lock_guard guard(list_lock_);
    d.insert_before(watched_);
}

void reactor::remove_from_list(descriptor& d) noexcept {
    const std::lock_guard guard(list_lock_);
    d.unlink();
}

void reactor::forget_all() noexcept {
    for (;;) {
        descriptor* d = nullptr;
        {
            const std::lock_guard guard(list_lock_);
            if (!watched_.linked()) return;
            d = static_cast<descriptor*>(watched_.next);
            d->unlink();
        }
        d->unwatched();
    }
}

}  // namespace sluice::io::detail
