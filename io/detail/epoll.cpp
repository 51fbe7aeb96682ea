#include <sluice/io/detail/epoll.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <system_error>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <sluice/io/detail/descriptor.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::io::detail {

namespace {
constexpr int most_events = 256;
}  // namespace

epoll_reactor::epoll_reactor()
    : epoll_fd_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    epoll_event event{};
    // Every write is an edge of its own: the counter is never read.
    event.events = EPOLLIN | EPOLLET;
    if (epoll_fd_ >= 0 && wake_fd_ >= 0 &&
        ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0)
        return;
    const int error = errno;
    if (epoll_fd_ >= 0) ::close(epoll_fd_);
    if (wake_fd_ >= 0) ::close(wake_fd_);
    throw std::system_error(error, std::generic_category(), "sluice: epoll");
}

epoll_reactor::~epoll_reactor() {
    end_stopped();
    end_all();
    stopped_.drain([](registration&) {});  // by a foreign close(), in between
    ::close(epoll_fd_);  // last: a foreign close() may have been about to use them
    ::close(wake_fd_);
}

int epoll_reactor::start(registration& r) noexcept {
    if (r.kind != registration_kind::poll) return ENOTSUP;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &r;
    if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, r.of.fd(), &event) != 0) return errno;
    add_to_list(r);
    return 0;
}

void epoll_reactor::stop(registration& r) noexcept {
    ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, r.of.fd(), nullptr);
    stopped_.push(r);
    if (!of_this_thread()) wake();
}

void epoll_reactor::end_stopped() noexcept {
    stopped_.drain([this](registration& r) { end(r); });
}

bool epoll_reactor::poll(unsigned) noexcept {
    if (!harvest_lock_.try_lock()) return false;
    std::array<epoll_event, most_events> events;
    const int n = ::epoll_wait(epoll_fd_, events.data(), most_events, 0);
    for (int i = 0; i < n; ++i) {
        const epoll_event& e = events[static_cast<std::size_t>(i)];
        if (e.data.ptr == nullptr) {
            if (!of_this_thread()) wake();  // its worker has not seen it
            continue;
        }
        static_cast<registration*>(e.data.ptr)
            ->of.edge({(e.events & EPOLLIN) != 0, (e.events & EPOLLOUT) != 0,
                       (e.events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP | EPOLLPRI)) != 0});
    }
    end_stopped();
    harvest_lock_.unlock();
    return n > 0;
}

// The set itself becomes readable when there is something to harvest.
void epoll_reactor::park(std::int64_t deadline) noexcept {
    // Holding the lock over the sleep keeps others from harvesting the wake that is to end it.
    std::unique_lock harvest(harvest_lock_, std::try_to_lock);
    if (!harvest) return;
    // The worker's own, which poll() could not end while another one harvested.
    if (!stopped_.empty()) return;
    const std::int64_t left = std::max<std::int64_t>(deadline - sluice::detail::now(), 0);
    const timespec time{left / 1'000'000'000, left % 1'000'000'000};
    pollfd set{epoll_fd_, POLLIN, 0};
    ::ppoll(&set, 1, deadline == no_deadline ? nullptr : &time, nullptr);
}

void epoll_reactor::wake() noexcept {
    const std::uint64_t one = 1;
    while (::write(wake_fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

}  // namespace sluice::io::detail
