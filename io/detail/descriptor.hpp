// A file descriptor that tasks can wait for, and the reactor that tells when it is ready.
//
// Concepts
//   A descriptor has two sources, its reading and its writing side. An operation tries its system call without blocking;
//   only when that would block it waits for an edge: the reactor reports that the side has become ready, and the
//   operation tries again. The kernel never holds a task's buffer, so cancelling a wait is stepping out of a list, a
//   race loses nothing, and an idle connection needs no buffer.
//   The first wait registers the descriptor with the reactor of the worker it runs on, its home, where it stays until it
//   is closed: one persistent, edge-triggered registration (a multishot poll of io_uring, or an epoll entry).
//
// Invariants (under gate_)
//   ready_[side] false means: the last attempt would have blocked and no edge has come since, so waiting is safe.
//   It is set by edges and cleared only by an attempt made under the gate. A short read also clears it, to spare the
//   call that would find the socket empty, unless the peer has hung up: the edge that told so will not come again.
//   The registration holds a reference. The number is closed when the kernel has let go of it (the registration's
//   last event), never before, so that it cannot be reused while the kernel may still report on it.
//
// Rejected: receiving straight into the task's buffer by io_uring (a lost race could have taken bytes already, and each
// cancellation needs the kernel's answer before the task may go on), one registration per wait (a third of the cost of a
// small request).
#pragma once

#include <cstdint>
#include <utility>

#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/driver.hpp>

namespace sluice::io::detail {

using sluice::detail::list_node;
using sluice::detail::spin_lock;
using sluice::detail::wait_queue;

class descriptor;

/// A driver that watches descriptors.
class reactor : public sluice::detail::driver {
public:
    /// Starts to report edges of `d` by d.edge(). The calling worker's own reactor only; d's gate held. Returns errno.
    virtual int watch(descriptor& d) noexcept = 0;

    /// Stops that; calls d.unwatched() when no report can come any more. Any thread; d's gate held.
    virtual void unwatch(descriptor& d) noexcept = 0;

    ~reactor() override;

protected:
    /// For the end of the reactor: descriptors that are still watched are told so.
    void forget_all() noexcept;

    void add_to_list(descriptor& d) noexcept;
    void remove_from_list(descriptor& d) noexcept;

private:
    spin_lock list_lock_;
    list_node watched_;  // under list_lock_
};

enum class side : std::uint8_t { read, write };

class descriptor : public list_node {
public:
    /// Owns fd from now on. Closes it on failure. Throws std::bad_alloc.
    static descriptor* make(int fd);

    void ref() noexcept { refs_.fetch_add(1, sluice::detail::relaxed); }
    void unref() noexcept;

    spin_lock& gate() noexcept { return gate_; }
    int fd() const noexcept { return fd_; }

    // Gate held.

    bool closed() const noexcept { return closed_; }
    bool watched() const noexcept { return home_ != nullptr; }
    bool ready(side s) const noexcept { return ready_[index(s)]; }
    /// An attempt at that side would have blocked.
    void would_block(side s) noexcept { ready_[index(s)] = false; }
    /// A read took all there was.
    void drained() noexcept { ready_[index(side::read)] = hung_up_; }
    void enlist(side s, sluice::detail::leaf& l) noexcept;
    void stepped_out(sluice::detail::leaf& l) noexcept;
    /// Registers with the calling worker's reactor unless that has been done. Returns errno.
    int watch() noexcept;

    // The reactor.

    struct edges {
        bool read;
        bool write;
        bool hang_up;
    };
    /// Something has happened; takes the gate, and readies those who wait.
    void edge(edges e) noexcept;
    /// The registration has ended and its reference goes back.
    void unwatched() noexcept;
    /// The kernel has ended the registration by itself: the next wait registers anew.
    void lost() noexcept;

    /// Fails all waits, now and later; tells the peer; gives the number back as soon as the kernel allows. Idempotent.
    void close() noexcept;

    descriptor* inbox_next = nullptr;  // the reactor's, which holds a reference while this is in its inbox

private:
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    ~descriptor() = default;

    static std::size_t index(side s) noexcept { return static_cast<std::size_t>(s); }
    void wake_all(side s, sluice::detail::wake_list& wakes) noexcept;

    int const fd_;
    sluice::detail::atomic<std::uint32_t> refs_{1};
    spin_lock gate_;
    // Under gate_.
    bool ready_[2] = {true, true};  // nothing is known yet: try first
    bool hung_up_ = false;
    bool closed_ = false;
    bool number_closed_ = false;
    reactor* home_ = nullptr;  // null: not registered
    wait_queue waiters_[2];
};

/// A descriptor's owner.
class descriptor_handle {
public:
    descriptor_handle() noexcept = default;
    explicit descriptor_handle(int fd) : descriptor_(descriptor::make(fd)) {}
    descriptor_handle(descriptor_handle&& other) noexcept : descriptor_(other.descriptor_) {
        other.descriptor_ = nullptr;
    }
    descriptor_handle& operator=(descriptor_handle&& other) noexcept {
        descriptor_handle old(std::move(other));
        std::swap(descriptor_, old.descriptor_);
        return *this;
    }
    ~descriptor_handle() {
        if (descriptor_ == nullptr) return;
        descriptor_->close();
        descriptor_->unref();
    }

    descriptor* get() const noexcept { return descriptor_; }
    void close() noexcept {
        if (descriptor_ != nullptr) descriptor_->close();
    }

private:
    descriptor* descriptor_ = nullptr;
};

}  // namespace sluice::io::detail
