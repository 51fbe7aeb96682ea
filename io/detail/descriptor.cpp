#include <sluice/io/detail/descriptor.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/io/detail/io_operation.hpp>
#include <sluice/io/detail/simulated_tcp.hpp>
#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::io::detail {

using sluice::detail::claim;
using sluice::detail::claim_result;
using sluice::detail::frame_pool;
using sluice::detail::leaf;
using sluice::detail::wake_list;

namespace {

std::uintptr_t address_of(const void* p) noexcept {
    return reinterpret_cast<std::uintptr_t>(p);
}

// A linger of zero asks close() for a reset, which no end of the stream may come before.
bool resets_at_close(int fd) noexcept {
    linger l{};
    socklen_t size = sizeof l;
    return ::getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &size) == 0 && l.l_onoff != 0 &&
           l.l_linger == 0;
}

}  // namespace

descriptor* descriptor::make(int fd) {
    try {
        void* const memory = frame_pool::allocate(sizeof(descriptor));
        return ::new (memory) descriptor(fd);
    } catch (...) {
        ::close(fd);
        throw;
    }
}

descriptor* descriptor::make(simulated_socket& socket) {
    void* const memory = frame_pool::allocate(sizeof(descriptor) + sizeof(simulated_socket*));
    auto* const d = ::new (memory) descriptor(in_memory);
    ::new (static_cast<void*>(d + 1)) simulated_socket*(&socket);
    socket.watcher = d;
    return d;
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
    if (s == side::read) {
        last_reader_.leaf.store(address_of(&l), sluice::detail::relaxed);
        last_reader_.task.store(address_of(l.owner), sluice::detail::relaxed);
    }
    l.home->count_io(1);
}

void descriptor::stepped_out(leaf& l) noexcept {
    l.home->count_io(-1);
}

int descriptor::start(registration& r) noexcept {
    sluice::detail::worker& worker = *sluice::detail::current_worker();
    if (worker.owner().simulated()) return ENOTSUP;  // the kernel's time is not the simulation's
    auto& here = static_cast<reactor&>(worker.io());
    const int error = here.start(r);
    if (error != 0) return error;
    ref();
    r.home = &here;
    return 0;
}

int descriptor::watch() noexcept {
    return poll_.home == nullptr && fd_ != in_memory ? start(poll_) : 0;
}

int descriptor::watch_stream() noexcept {
    if (receive_.home != nullptr || poll_.home != nullptr || fd_ == in_memory) return 0;
    // acquire: pairs with the release in drain().
    if (!bulk_ && !receive_.in_inbox.load(sluice::detail::acquire)) {
        receive_stopped_ = false;
        if (start(receive_) == 0) return 0;
        bulk_ = true;
    }
    return watch();
}

namespace {

// Takes a leaf out of its queue; false: another leaf of the same wait has won.
bool claim_unlinked(leaf& l, wake_list& wakes) noexcept {
    sluice::detail::scheduler& home = *l.home;
    l.unlink();
    // The claim pins a foreign runtime, and only then is this no longer I/O that it waits for.
    const claim_result how = claim(l);
    if (how == claim_result::parked) wakes.add(l);
    home.count_io(-1);
    return how != claim_result::lost;
}

}  // namespace

// The attempts of those who wait, first come first served, up to the first that would block. A
// leaf that may lose a race must win it before its attempt takes anything.
void descriptor::serve(side s, wake_list& wakes) noexcept {
    while (leaf* const l = waiters_[index(s)].front()) {
        if (!worth_trying(s)) return;
        auto& waiter = static_cast<io_leaf&>(*l);
        if (waiter.sole) {
            if (!waiter.try_now()) return;
            claim_unlinked(waiter, wakes);
        } else if (claim_unlinked(waiter, wakes)) {
            waiter.try_now();
        }
    }
}

// Nothing reports edges any more: those who wait try again, and find a registration of their own.
void descriptor::start_over(side s, wake_list& wakes) noexcept {
    ready_[index(s)] = readiness::unknown;
    while (leaf* const l = waiters_[index(s)].front()) {
        if (l->sole) static_cast<io_leaf*>(l)->start_over();
        claim_unlinked(*l, wakes);
    }
}

void descriptor::edge(edges e) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (e.hang_up) hung_up_ = true;
        // While the receive stands, it tells what there is to read.
        if ((e.read || e.hang_up) && receive_.home == nullptr) {
            ready_[index(side::read)] = readiness::edge;
            serve(side::read, wakes);
        }
        if (e.write || e.hang_up) {
            ready_[index(side::write)] = readiness::edge;
            serve(side::write, wakes);
        }
    }
    wakes.wake_in_turn();
}

bool descriptor::serve_writers_later() noexcept {
    if (writers_later_) return true;
    if (sluice::detail::current_worker() == nullptr || fd_ == in_memory) return false;
    try {
        auto* const turn = sluice::detail::make_pooled<writers_turn>();
        turn->resume = &take_turn;
        turn->destroy = &sluice::detail::action_mark;
        turn->of = this;
        ref();
        writers_later_ = true;
        sluice::detail::run_last(turn);
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

void descriptor::take_turn(void* self) noexcept {
    auto* const turn = static_cast<writers_turn*>(static_cast<sluice::detail::runnable*>(self));
    descriptor& d = *turn->of;
    sluice::detail::destroy_pooled(turn);
    wake_list wakes;
    {
        const std::lock_guard guard(d.gate_);
        d.writers_later_ = false;
        d.ready_[index(side::write)] = readiness::edge;
        d.serve(side::write, wakes);
    }
    wakes.wake_in_turn();
    d.unref();
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
        if (closed_ || receive_end_ != open) return;  // nothing comes after what was dropped
        arriving_ = bytes;
        ready_[index(side::read)] = readiness::edge;
        serve(side::read, wakes);
        if (!arriving_.empty() && !queue(std::exchange(arriving_, {}))) receive_end_ = ENOMEM;
        if (whole) bulk_ = true;
        if (whole || queued_ > most_queued || receive_end_ != open) stop_receive();
    }
    wakes.wake_in_turn();
}

void descriptor::receive_failed(int error) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (receive_end_ == open) receive_end_ = error;  // the first is what the reader must know
        ready_[index(side::read)] = readiness::edge;
        serve(side::read, wakes);
    }
    wakes.wake_in_turn();
}

void descriptor::stop_receive() noexcept {
    if (receive_.home != nullptr && !std::exchange(receive_stopped_, true))
        receive_.home->stop(receive_);
}

std::size_t descriptor::take_chunks(std::span<std::byte> into) noexcept {
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
    return n;
}

ssize_t descriptor::take_received(std::span<std::byte> into) noexcept {
    last_reader_.buffer.store(address_of(into.data()), sluice::detail::relaxed);
    last_reader_.behind.store(address_of(into.data() + into.size()), sluice::detail::relaxed);
    std::size_t n = take_chunks(into);
    if (const std::size_t part = std::min(arriving_.size(), into.size() - n); part != 0) {
        std::memcpy(into.data() + n, arriving_.data(), part);
        arriving_ = arriving_.subspan(part);
        n += part;
    }
    if (receive_.home != nullptr && !has_received()) would_block(side::read);
    if (n != 0 || into.empty()) return static_cast<ssize_t>(n);
    if (receive_end_ == open) return -EAGAIN;
    if (!error_is_untold()) return -receive_end_;
    return -std::exchange(receive_end_, open);
}

// An error is told once, as the socket would do; for ever the end of the stream, and that bytes
// were dropped for want of memory.
bool descriptor::error_is_untold() const noexcept {
    return receive_end_ != open && receive_end_ != 0 && receive_end_ != ENOMEM;
}

int descriptor::broken_pipe() noexcept {
    if (error_is_untold()) return std::exchange(receive_end_, open);
    if (receive_.home == nullptr || receive_end_ != open) return EPIPE;
    // Of a connection that is over the receive is too, and its end lets whoever waits try again.
    pollfd p{fd_, 0, 0};
    return ::poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0 ? EAGAIN : EPIPE;
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
        start_over(side::read, wakes);
        start_over(side::write, wakes);
    }
    wakes.wake_in_turn();
    unref();
}

void descriptor::close() noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (closed_) return;
        closed_ = true;
        serve(side::read, wakes);
        serve(side::write, wakes);
        if (simulated_socket* const s = simulated()) {
            s->close();
        } else if (poll_.home == nullptr && receive_.home == nullptr) {
            ::close(fd_);
            number_closed_ = true;
        } else {
            // The peer learns of it now; on what is no socket this does nothing.
            if (!resets_at_close(fd_)) ::shutdown(fd_, SHUT_RDWR);
            if (poll_.home != nullptr) poll_.home->stop(poll_);
            stop_receive();
        }
    }
    wakes.wake_in_turn();
}

}  // namespace sluice::io::detail
