// The reactor on io_uring: one ring per worker.
//
// Who may touch what
//   The submission queue belongs to the worker. The completion queue is read under cq_lock_, which is only ever tried:
//   usually by the worker, by others when the worker is stuck in a computation (completions appear without its help,
//   since the ring runs its task work cooperatively, not deferred).
//   A descriptor's registration is one multishot poll. Its user_data is the descriptor's address, which the reference
//   held by the registration keeps valid up to the terminal completion (the one without IORING_CQE_F_MORE).
//   Other threads that close a descriptor leave it in the inbox and wake the worker, which cancels the poll.
#pragma once

#include <liburing.h>

#include <sluice/io/detail/descriptor.hpp>

namespace sluice::io::detail {

class uring_reactor final : public reactor {
public:
    /// Throws std::system_error.
    uring_reactor();
    ~uring_reactor() override;

    bool poll() noexcept override;
    void submit() noexcept override;
    void park(std::int64_t deadline) noexcept override;
    void wake() noexcept override;
    int pollable_fd() const noexcept override { return ring_.ring_fd; }
    int watch(descriptor& d) noexcept override;
    void unwatch(descriptor& d) noexcept override;

    /// Whether the kernel lets this process use rings with all that is needed. Returns errno.
    static int probe() noexcept;

private:
    static int open_ring(io_uring& ring) noexcept;

    io_uring_sqe* next_sqe() noexcept;
    bool cancel(descriptor& d) noexcept;
    descriptor* take_inbox() noexcept;
    void empty_inbox() noexcept;
    void release_inbox() noexcept;
    bool reap() noexcept;
    void complete(const io_uring_cqe& cqe) noexcept;
    void watch_wake_fd() noexcept;

    io_uring ring_;
    int wake_fd_;
    spin_lock cq_lock_;
    sluice::detail::atomic<bool> wake_watch_ended_{false};
    spin_lock inbox_lock_;
    descriptor* inbox_ = nullptr;  // under inbox_lock_
    sluice::detail::atomic<bool> inbox_full_{false};
};

}  // namespace sluice::io::detail
