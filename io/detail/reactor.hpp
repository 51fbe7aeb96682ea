// What descriptors need of a driver, and what a driver tells them.
//
// A registration is one standing request to the kernel on behalf of a descriptor. There are two
// kinds. A poll reports the edges of both sides, for as long as it stands: a multishot poll, or an
// epoll entry. A receive delivers what arrives on a stream, without a call for each read: a
// multishot receive into buffers that the reactor shares among all its connections. Only the
// io_uring reactor knows it.
// A registration belongs to the reactor of the worker that started it, its home, until the kernel's
// last report on it. It stands in its home's list, and holds a reference to its descriptor.
#pragma once

#include <cstdint>

#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/driver.hpp>

namespace sluice::io::detail {

using sluice::detail::list_node;
using sluice::detail::spin_lock;
using sluice::detail::wait_queue;

class descriptor;
class reactor;

enum class registration_kind : std::uint8_t { poll, receive };

struct registration : list_node {
    registration(descriptor& d, registration_kind k) noexcept : of(d), kind(k) {}

    descriptor& of;
    reactor* home = nullptr;  // under the descriptor's gate; null: not started, or ended
    // The home's, while a stop() from another thread is under way.
    registration* inbox_next = nullptr;
    sluice::detail::atomic<bool> in_inbox{false};
    const registration_kind kind;
};

/// A driver that watches descriptors.
class reactor : public sluice::detail::driver {
public:
    ~reactor() override;

    /// Starts r, on the calling worker's own reactor. The descriptor's gate is held. Returns errno;
    /// ENOTSUP: not here.
    virtual int start(registration& r) noexcept = 0;

    /// Asks for r's end, which descriptor::ended() reports when nothing more can come. Any thread;
    /// gate held.
    virtual void stop(registration& r) noexcept = 0;

protected:
    /// Whether the caller is the worker that sleeps in this one.
    bool of_this_thread() const noexcept;
    void add_to_list(registration& r) noexcept;
    /// r has ended: takes it from the list and tells its descriptor.
    void end(registration& r) noexcept;
    /// For the end of the reactor, when the kernel has let go of everything: ends all that are
    /// left.
    void end_all() noexcept;

private:
    spin_lock list_lock_{sluice::detail::lock_rank::registrations};
    list_node list_;  // under list_lock_
};

/// Registrations that other threads want stopped.
class stop_inbox {
public:
    /// Any thread; the descriptor's gate is held. Nothing if r stands in an inbox already: it does
    /// not start anew before it has left it.
    void push(registration& r) noexcept;

    /// The home. Calls handle(registration) for each one, and then lets its reference go.
    template <class Handle>
    void drain(Handle handle) noexcept;
    bool empty() const noexcept { return !full_.load(sluice::detail::acquire); }

private:
    registration* take() noexcept;
    static void release(registration& r) noexcept;

    spin_lock lock_{sluice::detail::lock_rank::stop_inbox};
    registration* first_ = nullptr;  // under lock_
    sluice::detail::atomic<bool> full_{false};
};

template <class Handle>
void stop_inbox::drain(Handle handle) noexcept {
    if (empty()) return;
    registration* r = take();
    while (r != nullptr) {
        registration* const next = r->inbox_next;
        // release: pairs with the acquire in watch_stream(); inbox_next may be written again.
        r->in_inbox.store(false, sluice::detail::release);
        handle(*r);
        release(*r);
        r = next;
    }
}

}  // namespace sluice::io::detail
