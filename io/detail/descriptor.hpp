// A file descriptor that tasks can wait for.
//
// Concepts
//   A descriptor has two sources, its reading and its writing side. An operation tries its system
//   call without blocking; only when that would block it waits for an edge: the reactor reports
//   that the side has become ready, and the call is tried again on the spot, for the one who
//   waits. The kernel never holds a task's buffer, so cancelling a wait is stepping out of a list,
//   a race loses nothing, and an idle connection needs no buffer. The first wait starts a
//   registration (reactor.hpp) with the reactor of the worker it runs on. On io_uring a stream's
//   reads are served by a receive: what arrives goes straight to the reader who waits, and what
//   nobody waits for is queued here in chunks. A stream that fills whole buffers is better off with
//   reads of its own; its receive ends, and edges serve it from then on. In a simulation a socket
//   in memory stands in place of the number; it tells edges without a registration.
//
// Invariants (under gate_)
//   Whoever waits at a side waits because an attempt there would block, or, to write, because one
//   who has written a part is to go on first, in its turn (serve_writers_later()).
//   ready_[side] is `no` only if the last attempt would have blocked, or ended with such a part,
//   and no edge has come since, so that waiting is safe. Edges change it to `edge`, and it becomes
//   `no` only by an attempt made under the gate. A short read also clears it, to spare the call
//   that would find the socket empty, unless the peer has hung up, for the edge that told so will
//   not come again, or has sent urgent data, at which a read ends. While the receive stands, nobody
//   else reads from the socket: the bytes would change their order. The number is closed when no
//   registration is left, never before, so that it cannot be reused while the kernel may still
//   report on it.
//
// Rejected: receiving straight into the task's buffer by io_uring (a lost race could have taken
// bytes already, and each cancellation needs the kernel's answer before the task may go on), one
// registration per wait (a third of the cost of a small request).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include <sys/types.h>

#include <sluice/io/detail/reactor.hpp>
#include <sluice/runtime/detail/frame_pool.hpp>
#include <sluice/runtime/detail/waiter.hpp>

namespace sluice::io::detail {

enum class side : std::uint8_t { read, write };

/// What is known of a side without asking the kernel.
enum class readiness : std::uint8_t {
    unknown,  // nothing: try
    edge,     // it has become ready since an attempt would have blocked
    no,       // an attempt would block
};

class simulated_socket;

class descriptor {
public:
    /// Owns fd from now on. Closes it on failure. Throws std::bad_alloc.
    static descriptor* make(int fd);
    /// Stands before a socket of a simulation (simulated_tcp.hpp). Throws std::bad_alloc.
    static descriptor* make(simulated_socket& socket);
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;

    void ref() noexcept { refs_.fetch_add(1, sluice::detail::relaxed); }
    void unref() noexcept;

    spin_lock& gate() noexcept { return gate_; }
    int fd() const noexcept { return fd_; }
    /// The socket behind it, while it is open; null: it is the kernel's.
    simulated_socket* simulated() const noexcept {
        if (fd_ != in_memory) [[likely]]
            return nullptr;
        return *reinterpret_cast<simulated_socket* const*>(this + 1);
    }

    // Gate held.

    bool closed() const noexcept { return closed_; }
    bool ready(side s) const noexcept { return ready_[index(s)] != readiness::no; }
    /// Without a registration no edge can come: only an attempt tells.
    bool worth_trying(side s) const noexcept { return closed_ || ready(s) || !watched(s); }
    bool had_edge(side s) const noexcept { return ready_[index(s)] == readiness::edge; }
    /// An attempt at that side would have blocked.
    void would_block(side s) noexcept { ready_[index(s)] = readiness::no; }
    /// A read took all there was.
    void drained() noexcept {
        ready_[index(side::read)] = hung_up_ ? readiness::unknown : readiness::no;
    }
    /// A read filled its buffer: there may be more.
    void not_drained() noexcept { ready_[index(side::read)] = readiness::unknown; }
    /// An attempt to write has done its part, and there may be room for more. Whoever waits to
    /// write is served again, as by an edge, when all that is ready on this worker has run. False:
    /// there is no worker here or no memory for that, or what is in memory is soon full.
    bool serve_writers_later() noexcept;
    void enlist(side s, sluice::detail::leaf& l) noexcept;
    void stepped_out(sluice::detail::leaf& l) noexcept;
    /// Makes sure that edges are reported. Returns errno.
    int watch() noexcept;
    /// The same for a stream that is to be read.
    int watch_stream() noexcept;

    /// The receive stands, or has left something to take: reads must not go to the socket.
    bool receives() const noexcept { return receive_.home != nullptr || has_received(); }
    bool has_received() const noexcept {
        return first_ != nullptr || !arriving_.empty() || receive_end_ != open;
    }
    /// What a read of the socket would give: a count, 0 at the end, or -errno.
    ssize_t take_received(std::span<std::byte> into) noexcept;
    /// What a write gives that found the pipe broken: the error of the connection, if the receive
    /// has taken it from the socket and nobody knows of it yet. EAGAIN: it may be about to.
    int broken_pipe() noexcept;

    // The reactor.

    /// Brings what a report on r will touch into the caches: first the descriptor, and once that is
    /// there, what belongs to who reads.
    static void fetch(const registration& r) noexcept {
        sluice::detail::fetch_lines(reinterpret_cast<std::uintptr_t>(&r) - 128, 3);
    }
    static void fetch_reader(const registration& r) noexcept {
        const last_reader& reader = r.of.last_reader_;
        sluice::detail::fetch_lines(reader.leaf.load(sluice::detail::relaxed), 3);
        sluice::detail::fetch_lines(reader.task.load(sluice::detail::relaxed), 2);
        sluice::detail::fetch_lines(reader.buffer.load(sluice::detail::relaxed), 1);
        sluice::detail::fetch_lines(reader.behind.load(sluice::detail::relaxed), 1);
    }

    struct edges {
        bool read;
        bool write;
        bool hang_up;  // or urgent data: from now on a short read proves nothing
    };
    /// Something has happened; takes the gate, and serves those who wait.
    void edge(edges e) noexcept;
    /// Bytes of the receive. `whole`: they filled the buffer.
    void received(std::span<const std::byte> bytes, bool whole) noexcept;
    /// The receive has come to the end of the stream (0), or to an error.
    void receive_failed(int error) noexcept;
    /// A registration has ended; its reference goes back.
    void ended(registration& r) noexcept;

    /// Fails all waits, now and later; tells the peer; gives the number back as soon as the kernel
    /// allows. Idempotent.
    void close() noexcept;

private:
    struct chunk {
        chunk* next;
        std::uint32_t taken;
        std::uint32_t size;
        std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
    };
    struct writers_turn : sluice::detail::runnable {
        descriptor* of = nullptr;  // with a reference
    };
    // Addresses that are only fetched: nothing need stand there any more. Written under gate_.
    struct last_reader {
        sluice::detail::atomic<std::uintptr_t> leaf{0};
        sluice::detail::atomic<std::uintptr_t> task{0};
        sluice::detail::atomic<std::uintptr_t> buffer{0};
        // The end of the buffer: compilers put a frame's small members behind its large ones.
        sluice::detail::atomic<std::uintptr_t> behind{0};
    };
    // fd_ of one before a socket in memory, whose address stands behind the descriptor.
    static constexpr int in_memory = std::numeric_limits<int>::min();
    static constexpr int open = -1;  // receive_end_ of a stream that goes on
    static constexpr std::size_t most_queued = 64 * 1024;

    explicit descriptor(int fd) noexcept : fd_(fd) {}
    ~descriptor();

    bool watched(side s) const noexcept {
        return (s == side::read && receive_.home != nullptr) || poll_.home != nullptr ||
               fd_ == in_memory;
    }
    static std::size_t index(side s) noexcept { return static_cast<std::size_t>(s); }
    void serve(side s, sluice::detail::wake_list& wakes) noexcept;
    void start_over(side s, sluice::detail::wake_list& wakes) noexcept;
    static void take_turn(void* self) noexcept;
    int start(registration& r) noexcept;
    void stop_receive() noexcept;
    bool error_is_untold() const noexcept;
    std::size_t take_chunks(std::span<std::byte> into) noexcept;
    bool queue(std::span<const std::byte> bytes) noexcept;

    const int fd_;
    sluice::detail::atomic<std::uint32_t> refs_{1};
    spin_lock gate_{sluice::detail::lock_rank::descriptor};
    // Under gate_.
    readiness ready_[2] = {readiness::unknown, readiness::unknown};
    bool hung_up_ = false;
    bool closed_ = false;
    bool number_closed_ = false;
    bool receive_stopped_ = false;         // its end has been asked for
    bool bulk_ = false;                    // this stream is read by calls
    bool writers_later_ = false;           // a writers_turn is in a worker's queue
    int receive_end_ = open;               // else 0 for the end of the stream, or errno
    chunk* first_ = nullptr;               // received and not taken yet
    std::span<const std::byte> arriving_;  // behind them, during received(): the reactor's buffer
    wait_queue waiters_[2];
    last_reader last_reader_;
    registration receive_{*this, registration_kind::receive};
    // Up to here is what a report on the receive touches: three lines, see fetch().
    registration poll_{*this, registration_kind::poll};
    chunk* last_ = nullptr;   // of the chunks
    std::size_t queued_ = 0;  // bytes in the chunks
};

/// A descriptor's owner.
class descriptor_handle {
public:
    descriptor_handle() noexcept = default;
    explicit descriptor_handle(int fd) : descriptor_(descriptor::make(fd)) {}
    explicit descriptor_handle(simulated_socket& s) : descriptor_(descriptor::make(s)) {}
    descriptor_handle(descriptor_handle&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
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
