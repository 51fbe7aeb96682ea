// The reactor on epoll, for where io_uring is not allowed: one epoll set per worker,
// edge-triggered.
//
// Events are harvested and delivered under harvest_lock_, which is only ever tried. A registration
// that was stopped ends under the same lock, by whoever harvests next, so that no event in hand
// refers to it.
#pragma once

#include <sluice/io/detail/reactor.hpp>

namespace sluice::io::detail {

class epoll_reactor final : public reactor {
public:
    /// Throws std::system_error.
    epoll_reactor();
    ~epoll_reactor() override;

    void begin() noexcept override {}
    void finish() noexcept override {}
    void nudge() noexcept override {}  // the kernel's reports need no help of the worker
    bool poll(unsigned most) noexcept override;
    void submit() noexcept override {}
    void park(std::int64_t deadline) noexcept override;
    void wake() noexcept override;
    int start(registration& r) noexcept override;
    void stop(registration& r) noexcept override;

private:
    void end_stopped() noexcept;

    int epoll_fd_;
    int wake_fd_;
    spin_lock harvest_lock_{sluice::detail::lock_rank::completions};
    stop_inbox stopped_;
};

}  // namespace sluice::io::detail
