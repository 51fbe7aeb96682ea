// The reactor on epoll, for where io_uring is not allowed: one epoll set per worker, edge-triggered.
//
// Events are harvested and delivered under harvest_lock_, which is only ever tried. A descriptor that is no longer
// watched is released under the same lock, by whoever harvests next, so that no event in hand refers to it.
#pragma once

#include <sluice/io/detail/descriptor.hpp>

namespace sluice::io::detail {

class epoll_reactor final : public reactor {
public:
    /// Throws std::system_error.
    epoll_reactor();
    ~epoll_reactor() override;

    bool poll() noexcept override;
    void submit() noexcept override {}
    void park(std::int64_t deadline) noexcept override;
    void wake() noexcept override;
    int pollable_fd() const noexcept override { return epoll_fd_; }
    int watch(descriptor& d) noexcept override;
    void unwatch(descriptor& d) noexcept override;

private:
    bool harvest(std::int64_t wait_ns) noexcept;
    void release_unwatched() noexcept;

    int epoll_fd_;
    int wake_fd_;
    spin_lock harvest_lock_;
    spin_lock inbox_lock_;
    descriptor* inbox_ = nullptr;  // under inbox_lock_
    sluice::detail::atomic<bool> inbox_full_{false};
};

}  // namespace sluice::io::detail
