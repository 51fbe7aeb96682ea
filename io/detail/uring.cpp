#include <sluice/io/detail/uring.hpp>

#include <cerrno>
#include <mutex>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sluice/runtime/detail/worker.hpp>

namespace sluice::io::detail {

namespace {

constexpr unsigned entries = 256;
constexpr unsigned least_entries = 64;
constexpr unsigned completions_per_entry = 16;
constexpr unsigned watched_events = POLLIN | POLLOUT | POLLRDHUP;

// user_data that are no descriptors' addresses.
constexpr std::uint64_t wake_tag = 1;
constexpr std::uint64_t cancel_tag = 2;

}  // namespace

int uring_reactor::open_ring(io_uring& ring) noexcept {
    int error = 0;
    for (unsigned n = entries; n >= least_entries; n /= 2) {
        io_uring_params params{};
        params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
        params.cq_entries = n * completions_per_entry;
        error = -::io_uring_queue_init_params(n, &ring, &params);
        if (error == 0 && (params.features & (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)) !=
                              (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)) {
            ::io_uring_queue_exit(&ring);
            return ENOSYS;
        }
        if (error != ENOMEM) break;  // rings are charged to the locked-memory limit: a smaller one may fit
    }
    return error;
}

int uring_reactor::probe() noexcept {
    io_uring ring{};
    if (const int error = open_ring(ring)) return error;
    io_uring_probe* const operations = ::io_uring_get_probe_ring(&ring);
    const bool complete = operations != nullptr && ::io_uring_opcode_supported(operations, IORING_OP_POLL_ADD) &&
                          ::io_uring_opcode_supported(operations, IORING_OP_ASYNC_CANCEL);
    ::io_uring_free_probe(operations);
    ::io_uring_queue_exit(&ring);
    return complete ? 0 : ENOSYS;
}

uring_reactor::uring_reactor() : ring_{}, wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "sluice: eventfd");
    if (const int error = open_ring(ring_)) {
        ::close(wake_fd_);
        throw std::system_error(error, std::generic_category(), "sluice: io_uring_setup");
    }
    ::io_uring_ring_dontfork(&ring_);
    watch_wake_fd();
}

uring_reactor::~uring_reactor() {
    ::io_uring_queue_exit(&ring_);
    forget_all();
    release_inbox();
    ::close(wake_fd_);  // last: a foreign close() may have been about to write to it
}

// Null when the kernel takes no more requests now. Completions are not reaped here: a descriptor's gate may be held.
io_uring_sqe* uring_reactor::next_sqe() noexcept {
    if (io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_)) return sqe;
    while (::io_uring_submit(&ring_) == -EINTR) {
    }
    return ::io_uring_get_sqe(&ring_);
}

// The counter is never read: every write to it is an edge of its own.
void uring_reactor::watch_wake_fd() noexcept {
    io_uring_sqe* sqe = next_sqe();
    while (sqe == nullptr) sqe = next_sqe();
    ::io_uring_prep_poll_multishot(sqe, wake_fd_, POLLIN);
    ::io_uring_sqe_set_data64(sqe, wake_tag);
}

int uring_reactor::watch(descriptor& d) noexcept {
    io_uring_sqe* const sqe = next_sqe();
    if (sqe == nullptr) return EBUSY;
    add_to_list(d);
    ::io_uring_prep_poll_multishot(sqe, d.fd(), watched_events);
    ::io_uring_sqe_set_data(sqe, &d);
    return 0;
}

void uring_reactor::unwatch(descriptor& d) noexcept {
    sluice::detail::worker* const here = sluice::detail::current_worker();
    if (here != nullptr && &here->io() == this && cancel(d)) return;
    {
        const std::lock_guard guard(inbox_lock_);
        d.ref();
        d.inbox_next = inbox_;
        inbox_ = &d;
        inbox_full_.store(true, sluice::detail::release);
    }
    wake();
}

bool uring_reactor::cancel(descriptor& d) noexcept {
    io_uring_sqe* const sqe = next_sqe();
    if (sqe == nullptr) return false;
    ::io_uring_prep_cancel(sqe, &d, 0);
    ::io_uring_sqe_set_data64(sqe, cancel_tag);
    return true;
}

descriptor* uring_reactor::take_inbox() noexcept {
    if (!inbox_full_.load(sluice::detail::acquire)) return nullptr;
    const std::lock_guard guard(inbox_lock_);
    inbox_full_.store(false, sluice::detail::relaxed);
    return std::exchange(inbox_, nullptr);
}

void uring_reactor::empty_inbox() noexcept {
    if (wake_watch_ended_.load(sluice::detail::relaxed)) {
        wake_watch_ended_.store(false, sluice::detail::relaxed);
        watch_wake_fd();
    }
    descriptor* d = take_inbox();
    while (d != nullptr) {
        descriptor* const next = d->inbox_next;
        if (!cancel(*d)) unwatch(*d);  // back to the inbox
        d->unref();
        d = next;
    }
}

void uring_reactor::release_inbox() noexcept {
    descriptor* d = take_inbox();
    while (d != nullptr) std::exchange(d, d->inbox_next)->unref();
}

void uring_reactor::submit() noexcept {
    while (::io_uring_sq_ready(&ring_) != 0) {
        const int n = ::io_uring_submit(&ring_);
        if (n == -EBUSY || n == -EAGAIN) {
            reap();  // the completion queue is full, or the kernel short of memory
            continue;
        }
        if (n != -EINTR) return;
    }
}

bool uring_reactor::poll() noexcept {
    sluice::detail::worker* const here = sluice::detail::current_worker();
    if (&here->io() == this) {
        empty_inbox();
        submit();
        if ((IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
            ::io_uring_get_events(&ring_);
        }
    }
    return reap();
}

void uring_reactor::park(std::int64_t deadline) noexcept {
    empty_inbox();
    if (deadline == no_deadline) {
        ::io_uring_submit_and_wait(&ring_, 1);
    } else {
        const std::int64_t left = deadline - sluice::detail::now();
        constexpr std::int64_t second = 1'000'000'000;
        __kernel_timespec time{left <= 0 ? 0 : left / second, left <= 0 ? 0 : left % second};
        io_uring_cqe* unused = nullptr;
        ::io_uring_submit_and_wait_timeout(&ring_, &unused, 1, &time, nullptr);
    }
    empty_inbox();
    reap();
}

void uring_reactor::wake() noexcept {
    const std::uint64_t one = 1;
    while (::write(wake_fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

bool uring_reactor::reap() noexcept {
    if (!cq_lock_.try_lock()) return false;
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
        complete(*cqe);
        ++seen;
    }
    ::io_uring_cq_advance(&ring_, seen);
    cq_lock_.unlock();
    return seen != 0;
}

void uring_reactor::complete(const io_uring_cqe& cqe) noexcept {
    const bool last = (cqe.flags & IORING_CQE_F_MORE) == 0;
    if (cqe.user_data == cancel_tag) return;
    if (cqe.user_data == wake_tag) {
        if (last) wake_watch_ended_.store(true, sluice::detail::relaxed);  // the queue is the worker's own
        return;
    }
    auto& d = *reinterpret_cast<descriptor*>(static_cast<std::uintptr_t>(cqe.user_data));
    const auto events = cqe.res < 0 ? 0u : static_cast<unsigned>(cqe.res);
    d.edge({(events & POLLIN) != 0, (events & POLLOUT) != 0, (events & (POLLHUP | POLLERR | POLLRDHUP)) != 0});
    if (!last) return;
    remove_from_list(d);
    d.unwatched();
}

}  // namespace sluice::io::detail
