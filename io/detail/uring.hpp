// The reactor on io_uring: one ring per worker.
//
// Who may touch what
//   The submission queue belongs to the worker. The completion queue is read under cq_lock_, which
//   is only ever tried: usually by the worker, by others when the worker is stuck in a computation.
//   The buffers of the receives belong to the kernel, from a completion on to whoever reads it,
//   under the same lock. The ring defers its task work to the worker's own calls (DEFER_TASKRUN),
//   which makes a small request a sixth cheaper than COOP_TASKRUN, since completions are then
//   posted in batches and not one by one on the way out of other calls. A worker that computes
//   makes no calls. So the monitor sends its thread a signal (SIGURG, whose default is to do
//   nothing), and the handler, unless it interrupts the worker's own use of the submission queue,
//   hands in the requests that wait there, and makes the one call that posts what is there; another
//   worker then reads it. A poll is a multishot poll, a receive a multishot receive. Their
//   user_data is the registration's address, which the reference that it holds keeps valid up to
//   the terminal completion (the one without IORING_CQE_F_MORE). Other threads that stop a
//   registration leave it in the inbox and wake the worker, which cancels it.
#pragma once

#include <memory>

#include <liburing.h>

#include <sluice/io/detail/reactor.hpp>

namespace sluice::io::detail {

/// The buffers that the kernel receives into: shared by all receives of a ring, each for the moment
/// of one completion.
class receive_buffers {
public:
    static constexpr unsigned count = 128;  // a power of two
    static constexpr std::size_t size = 4096;
    static constexpr int group = 0;

    /// False: the kernel has no such rings.
    bool set_up(io_uring& ring) noexcept;
    ~receive_buffers();

    const std::byte* at(unsigned id) const noexcept { return bytes_.get() + id * size; }
    void give_back(unsigned id) noexcept;

private:
    io_uring_buf_ring* ring_ = nullptr;
    std::unique_ptr<std::byte[]> bytes_;
};

class uring_reactor final : public reactor {
public:
    /// Throws std::system_error.
    uring_reactor();
    ~uring_reactor() override;

    void begin() noexcept override;
    void finish() noexcept override;
    void nudge() noexcept override;
    bool poll(unsigned most) noexcept override;
    void submit() noexcept override;
    void park(std::int64_t deadline) noexcept override;
    void wake() noexcept override;
    int start(registration& r) noexcept override;
    void stop(registration& r) noexcept override;

    /// Whether the kernel lets this process use rings with all that is needed. Returns errno.
    static int probe() noexcept;

private:
    static int open_ring(io_uring& ring) noexcept;
    static int open_ring(io_uring& ring, unsigned flags) noexcept;

    io_uring_sqe* next_sqe() noexcept;
    bool cancel(registration& r) noexcept;
    void look_into_inbox() noexcept;
    int submit_once() noexcept;
    void flush() noexcept;
    bool completions_wait() const noexcept;
    bool reap(unsigned most = all) noexcept;
    void complete(const io_uring_cqe& cqe) noexcept;
    void complete_poll(registration& r, int events) noexcept;
    void complete_receive(registration& r, const io_uring_cqe& cqe) noexcept;
    void watch_wake_fd() noexcept;

    io_uring ring_;
    int wake_fd_;
    sluice::detail::atomic<int> thread_{0};  // the worker's, once it has begun
    io_uring* outer_ring_ = nullptr;         // of a worker that has the thread again afterwards
    bool nudges_were_blocked_ = false;       // before begin()
    spin_lock cq_lock_{sluice::detail::lock_rank::completions};
    receive_buffers buffers_;                          // under cq_lock_, once set up
    sluice::detail::atomic<bool> can_receive_{false};  // cleared when the kernel refuses
    // The last reap() has left completions. Written under cq_lock_.
    sluice::detail::atomic<bool> reap_again_{false};
    sluice::detail::atomic<bool> wake_watch_ended_{false};
    sluice::detail::atomic<bool> started_{false};  // a request, some time: see reap()
    stop_inbox stopped_;
};

}  // namespace sluice::io::detail
