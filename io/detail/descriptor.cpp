#include <sluice/io/detail/descriptor.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>

#include <sys/socket.h>
#include <unistd.h>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::io::detail {

using sluice::detail::claim;
using sluice::detail::claim_result;
using sluice::detail::frame_pool;
using sluice::detail::leaf;
using sluice::detail::wake_list;

descriptor* descriptor::make(int fd) {
    try {
        void* const memory = frame_pool::allocate(sizeof(descriptor));
        return ::new (memory) descriptor(fd);
    } catch (...) {
        ::close(fd);
        throw;
    }
}

descriptor::~descriptor() {
    while (first_ != nullptr) frame_pool::deallocate(std::exchange(first_, first_->next));
}

void descriptor::unref() noexcept {
    if (refs_.fetch_sub(1, sluice::detail::acq_rel) != 1) return;
    this->~descriptor();
    frame_pool::deallocate(this);
}

void descriptor::enlist(side s, leaf& l) noexcept {
    waiters_[index(s)].push_back(l);
    l.home->count_io(1);
}

void descriptor::stepped_out(leaf& l) noexcept {
    l.home->count_io(-1);
}

int descriptor::start(registration& r) noexcept {
    auto& here = static_cast<reactor&>(sluice::detail::current_worker()->io());
    const int error = here.start(r);
    if (error != 0) return error;
    ref();
    r.home = &here;
    return 0;
}

int descriptor::watch() noexcept {
    return poll_.home == nullptr ? start(poll_) : 0;
}

int descriptor::watch_stream() noexcept {
    if (receive_.home != nullptr || poll_.home != nullptr) return 0;
    if (!bulk_) {
        receive_stopped_ = false;
        if (start(receive_) == 0) return 0;
        bulk_ = true;
    }
    return watch();
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
            ready_[index(side::read)] = readiness::edge;
            wake_all(side::read, wakes);
        }
        if (e.write || e.hang_up) {
            ready_[index(side::write)] = readiness::edge;
            wake_all(side::write, wakes);
        }
    }
    wakes.wake_all();
}

bool descriptor::queue(std::span<const std::byte> bytes) noexcept {
    try {
        auto* const c = ::new (frame_pool::allocate(sizeof(chunk) + bytes.size()))
            chunk{nullptr, 0, static_cast<std::uint32_t>(bytes.size())};
        std::memcpy(c->bytes(), bytes.data(), bytes.size());
        (first_ == nullptr ? first_ : last_->next) = c;
        last_ = c;
        queued_ += bytes.size();
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

void descriptor::received(std::span<const std::byte> bytes, bool whole) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (closed_) return;
        if (!queue(bytes)) receive_end_ = ENOMEM;
        if (whole) bulk_ = true;
        if (whole || queued_ > most_queued || receive_end_ != open) stop_receive();
        ready_[index(side::read)] = readiness::edge;
        wake_all(side::read, wakes);
    }
    wakes.wake_all();
}

void descriptor::receive_failed(int error) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        receive_end_ = error;
        ready_[index(side::read)] = readiness::edge;
        wake_all(side::read, wakes);
    }
    wakes.wake_all();
}

void descriptor::stop_receive() noexcept {
    if (receive_.home != nullptr && !std::exchange(receive_stopped_, true))
        receive_.home->stop(receive_);
}

ssize_t descriptor::take_received(std::span<std::byte> into) noexcept {
    std::size_t n = 0;
    while (first_ != nullptr && n != into.size()) {
        const std::size_t part =
            std::min<std::size_t>(first_->size - first_->taken, into.size() - n);
        std::memcpy(into.data() + n, first_->bytes() + first_->taken, part);
        n += part;
        first_->taken += static_cast<std::uint32_t>(part);
        if (first_->taken == first_->size)
            frame_pool::deallocate(std::exchange(first_, first_->next));
    }
    queued_ -= n;
    if (receive_.home != nullptr && !has_received()) would_block(side::read);
    if (n != 0 || into.empty()) return static_cast<ssize_t>(n);
    if (receive_end_ == open) return -EAGAIN;
    // An error is told once, as the socket would do; the end of the stream for ever.
    return receive_end_ == 0 ? 0 : -std::exchange(receive_end_, open);
}

void descriptor::ended(registration& r) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        r.home = nullptr;
        if (closed_ && !number_closed_ && poll_.home == nullptr && receive_.home == nullptr) {
            ::close(fd_);
            number_closed_ = true;
        }
        // Those who wait try again, and start anew.
        for (const side s : {side::read, side::write}) {
            ready_[index(s)] = readiness::unknown;
            wake_all(s, wakes);
        }
    }
    wakes.wake_all();
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
        if (poll_.home == nullptr && receive_.home == nullptr) {
            ::close(fd_);
            number_closed_ = true;
        } else {
            ::shutdown(
                fd_,
                SHUT_RDWR);  // the peer learns of it now; on what is no socket this does nothing
            if (poll_.home != nullptr) poll_.home->stop(poll_);
            stop_receive();
        }
    }
    wakes.wake_all();
}

}  // namespace sluice::io::detail
