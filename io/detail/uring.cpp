#include <sluice/io/detail/uring.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sluice/io/detail/descriptor.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::io::detail {

namespace {

constexpr unsigned entries = 256;
constexpr unsigned least_entries = 64;
constexpr unsigned completions_per_entry = 16;
constexpr unsigned watched_events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;

// A call posts 20 completions at most (kernels from 6.12 on). Three make larger batches, and yet no
// more tasks than a worker runs until it polls again (worker::fairness), so that its queue does not
// grow.
constexpr int posts_per_poll = 3;

// user_data that are no descriptors' addresses.
constexpr std::uint64_t wake_tag = 1;
constexpr std::uint64_t cancel_tag = 2;

// Null: the completion is of no descriptor.
registration* registration_of(const io_uring_cqe& cqe) noexcept {
    if (cqe.user_data <= cancel_tag) return nullptr;
    return reinterpret_cast<registration*>(static_cast<std::uintptr_t>(cqe.user_data));
}

// The thread's own, and what its signal handler reads.
[[gnu::tls_model("initial-exec")]] constinit thread_local io_uring* nudged_ring = nullptr;
[[gnu::tls_model("initial-exec")]] constinit thread_local sluice::detail::atomic<bool> submitting{
    false};

// The submission queue is being changed: a nudge leaves it alone meanwhile.
class submission {
public:
    submission() noexcept {
        submitting.store(true, sluice::detail::relaxed);
        sluice::detail::light_fence();  // for this thread's handler
    }
    submission(const submission&) = delete;
    submission& operator=(const submission&) = delete;
    ~submission() {
        sluice::detail::light_fence();
        submitting.store(false, sluice::detail::relaxed);
    }
};

// On a worker's thread, between any two instructions of a task: system calls, and nothing of the
// process is touched but the submission queue, which a task does not touch.
void handle_nudge(int) {
    const int saved = errno;
    if (io_uring* const ring = nudged_ring) {
        if (!submitting.load(sluice::detail::relaxed)) ::io_uring_submit(ring);
        ::syscall(SYS_io_uring_enter, ring->ring_fd, 0, 0, IORING_ENTER_GETEVENTS, nullptr, 0);
    }
    errno = saved;
}

// For the calling thread, as pthread_sigmask() does; gives whether they were blocked.
bool mask_nudges(int how) noexcept {
    sigset_t nudges;
    sigset_t blocked;
    ::sigemptyset(&nudges);
    ::sigaddset(&nudges, SIGURG);
    ::pthread_sigmask(how, &nudges, &blocked);
    return ::sigismember(&blocked, SIGURG) == 1;
}

// False: the program has a use of its own for the signal, and stuck workers' I/O waits for them.
bool nudges_are_handled() noexcept {
    struct sigaction present{};
    ::sigaction(SIGURG, nullptr, &present);
    if (present.sa_handler == &handle_nudge) return true;
    if (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN) return false;
    struct sigaction action{};
    action.sa_handler = &handle_nudge;
    action.sa_flags = SA_RESTART;
    return ::sigaction(SIGURG, &action, nullptr) == 0;
}

// By the system call: liburing 2.3 declares the function and does not export it.
void enable(const io_uring& ring) noexcept {
    if ((ring.flags & IORING_SETUP_R_DISABLED) != 0)
        ::syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
}

}  // namespace

int uring_reactor::open_ring(io_uring& ring) noexcept {
    constexpr unsigned common = IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
    // Disabled until begin(), since with a single issuer the thread that enables a ring is the one
    // that may use it.
    constexpr unsigned deferred =
        common | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED;
    const int error = open_ring(ring, deferred);
    return error == EINVAL ? open_ring(ring, common | IORING_SETUP_COOP_TASKRUN)
                           : error;  // kernels before 6.1
}

int uring_reactor::open_ring(io_uring& ring, unsigned flags) noexcept {
    int error = 0;
    for (unsigned n = entries; n >= least_entries; n /= 2) {
        io_uring_params params{};
        params.flags = flags;
        params.cq_entries = n * completions_per_entry;
        error = -::io_uring_queue_init_params(n, &ring, &params);
        if (error == 0 && (params.features & (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)) !=
                              (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)) {
            ::io_uring_queue_exit(&ring);
            return ENOSYS;
        }
        if (error != ENOMEM)
            break;  // rings are charged to the locked-memory limit: a smaller one may fit
    }
    return error;
}

int uring_reactor::probe() noexcept {
    io_uring ring{};
    if (const int error = open_ring(ring)) return error;
    io_uring_probe* const operations = ::io_uring_get_probe_ring(&ring);
    const bool complete = operations != nullptr &&
                          ::io_uring_opcode_supported(operations, IORING_OP_POLL_ADD) &&
                          ::io_uring_opcode_supported(operations, IORING_OP_ASYNC_CANCEL);
    ::io_uring_free_probe(operations);
    enable(ring);
    ::io_uring_prep_nop(::io_uring_get_sqe(&ring));
    const int submitted = ::io_uring_submit(&ring);  // a policy may refuse just this call
    ::io_uring_queue_exit(&ring);
    if (submitted < 0) return -submitted;
    return complete ? 0 : ENOSYS;
}

uring_reactor::uring_reactor() : ring_{}, wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "sluice: eventfd");
    if (const int error = open_ring(ring_)) {
        ::close(wake_fd_);
        throw std::system_error(error, std::generic_category(), "sluice: io_uring_setup");
    }
    ::io_uring_ring_dontfork(&ring_);
    can_receive_.store(buffers_.set_up(ring_), sluice::detail::relaxed);
    watch_wake_fd();
}

uring_reactor::~uring_reactor() {
    reap();  // what was received belongs to streams that may go on elsewhere
    ::io_uring_queue_exit(&ring_);
    end_all();
    stopped_.drain([](registration&) {});
    ::close(wake_fd_);  // last: a foreign close() may have been about to write to it
}

// Null when the kernel takes no more requests now. Completions are not reaped here: a descriptor's
// gate may be held.
io_uring_sqe* uring_reactor::next_sqe() noexcept {
    if (io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_)) return sqe;
    while (::io_uring_submit(&ring_) == -EINTR) {
    }
    return ::io_uring_get_sqe(&ring_);
}

void uring_reactor::begin() noexcept {
    enable(ring_);
    outer_ring_ = std::exchange(nudged_ring, &ring_);
    // A program that embeds workers may have blocked all signals.
    nudges_were_blocked_ = mask_nudges(SIG_UNBLOCK);
    thread_.store(static_cast<int>(::gettid()), sluice::detail::release);
}

void uring_reactor::finish() noexcept {
    nudged_ring = outer_ring_;
    if (nudges_were_blocked_) mask_nudges(SIG_BLOCK);
}

// The program may take the signal for itself at any time.
void uring_reactor::nudge() noexcept {
    const int thread = thread_.load(sluice::detail::acquire);
    if (thread == 0 || !nudges_are_handled()) return;
    ::syscall(SYS_tgkill, ::getpid(), thread, SIGURG);
}

// The counter is never read: every write to it is an edge of its own.
void uring_reactor::watch_wake_fd() noexcept {
    const submission changing;
    io_uring_sqe* sqe = next_sqe();
    while (sqe == nullptr) sqe = next_sqe();
    ::io_uring_prep_poll_multishot(sqe, wake_fd_, POLLIN);
    ::io_uring_sqe_set_data64(sqe, wake_tag);
}

int uring_reactor::start(registration& r) noexcept {
    const bool receive = r.kind == registration_kind::receive;
    if (receive && !can_receive_.load(sluice::detail::relaxed)) return ENOTSUP;
    const submission changing;
    io_uring_sqe* const sqe = next_sqe();
    if (sqe == nullptr) return EBUSY;
    if (receive) {
        ::io_uring_prep_recv_multishot(sqe, r.of.fd(), nullptr, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = receive_buffers::group;
    } else {
        ::io_uring_prep_poll_multishot(sqe, r.of.fd(), watched_events);
    }
    ::io_uring_sqe_set_data(sqe, &r);
    started_.store(true, sluice::detail::release);
    add_to_list(r);
    return 0;
}

void uring_reactor::stop(registration& r) noexcept {
    const bool own = of_this_thread();
    if (own && cancel(r)) return;
    stopped_.push(r);
    if (!own) wake();
}

bool uring_reactor::cancel(registration& r) noexcept {
    const submission changing;
    io_uring_sqe* const sqe = next_sqe();
    if (sqe == nullptr) return false;
    ::io_uring_prep_cancel(sqe, &r, 0);
    ::io_uring_sqe_set_data64(sqe, cancel_tag);
    return true;
}

void uring_reactor::look_into_inbox() noexcept {
    if (wake_watch_ended_.load(sluice::detail::relaxed)) {
        wake_watch_ended_.store(false, sluice::detail::relaxed);
        watch_wake_fd();
    }
    stopped_.drain([this](registration& r) {
        while (!cancel(r)) flush();
    });
}

void uring_reactor::submit() noexcept {
    do {
        look_into_inbox();
        flush();
    } while (wake_watch_ended_.load(sluice::detail::relaxed) || !stopped_.empty());
}

int uring_reactor::submit_once() noexcept {
    const submission changing;
    return ::io_uring_submit(&ring_);
}

void uring_reactor::flush() noexcept {
    while (::io_uring_sq_ready(&ring_) != 0) {
        const int n = submit_once();
        if (n == -EBUSY || n == -EAGAIN) {
            // The completion queue is full, or the kernel short of memory: then tasks and timers
            // go on, and the requests wait for the next call.
            if (!reap()) return;
            continue;
        }
        if (n != -EINTR) return;
    }
}

bool uring_reactor::completions_wait() const noexcept {
    constexpr unsigned waiting = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    return (IO_URING_READ_ONCE(*ring_.sq.kflags) & waiting) != 0;
}

bool uring_reactor::poll(unsigned most) noexcept {
    if (of_this_thread() && !reap_again_.load(sluice::detail::relaxed)) {
        submit();
        for (int i = 0; i != posts_per_poll && completions_wait(); ++i)
            ::io_uring_get_events(&ring_);
    }
    return reap(most);
}

void uring_reactor::park(std::int64_t deadline) noexcept {
    const submission changing;
    if (deadline == no_deadline) {
        ::io_uring_submit_and_wait(&ring_, 1);
    } else {
        constexpr std::int64_t second = 1'000'000'000;
        constexpr std::int64_t day = 86'400 * second;  // the kernel's own sum must not overflow
        const std::int64_t left =
            std::clamp<std::int64_t>(deadline - sluice::detail::now(), 0, day);
        __kernel_timespec time{left / second, left % second};
        io_uring_cqe* unused = nullptr;
        ::io_uring_submit_and_wait_timeout(&ring_, &unused, 1, &time, nullptr);
    }
}

void uring_reactor::wake() noexcept {
    const std::uint64_t one = 1;
    while (::write(wake_fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

bool uring_reactor::reap(unsigned most) noexcept {
    if (!cq_lock_.try_lock()) return false;
    const unsigned first = *ring_.cq.khead;
    const unsigned ready = ::io_uring_cq_ready(&ring_);
    // acquire: pairs with the release in start(). Whoever finds a completion sees all that was done
    // before the request, by way of the kernel; this tells ThreadSanitizer.
    static_cast<void>(started_.load(sluice::detail::acquire));
    const unsigned count = std::min(ready, most);
    const auto at = [this, first](unsigned i) -> const io_uring_cqe& {
        return ring_.cq.cqes[(first + i) & *ring_.cq.kring_mask];
    };
    const auto later = [&at, ready](unsigned i) -> const registration* {
        return i < ready ? registration_of(at(i)) : nullptr;
    };
    for (unsigned i = 0; i != count; ++i) {
        // Of many connections, little is in the caches when something comes: what the next few
        // completions touch is fetched while this one is handled.
        if (const registration* const r = later(i + 4)) descriptor::fetch(*r);
        if (const registration* const r = later(i + 2)) descriptor::fetch_reader(*r);
        complete(at(i));
    }
    ::io_uring_cq_advance(&ring_, count);
    reap_again_.store(count != ready, sluice::detail::relaxed);
    cq_lock_.unlock();
    return count != 0;
}

void uring_reactor::complete(const io_uring_cqe& cqe) noexcept {
    const bool last = (cqe.flags & IORING_CQE_F_MORE) == 0;
    if (cqe.user_data == wake_tag) {
        if (last) wake_watch_ended_.store(true, sluice::detail::relaxed);
        if (!of_this_thread()) wake();  // its worker has not seen it
    }
    registration* const of = registration_of(cqe);
    if (of == nullptr) return;
    registration& r = *of;
    if (r.kind == registration_kind::poll) {
        complete_poll(r, cqe.res);
    } else {
        complete_receive(r, cqe);
    }
    if (last) end(r);
}

void uring_reactor::complete_poll(registration& r, int events) noexcept {
    if (events < 0) return;
    r.of.edge({(events & POLLIN) != 0, (events & POLLOUT) != 0,
               (events & (POLLHUP | POLLERR | POLLRDHUP | POLLPRI)) != 0});
}

void uring_reactor::complete_receive(registration& r, const io_uring_cqe& cqe) noexcept {
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
        const unsigned id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe.res > 0) {
            const auto n = static_cast<std::size_t>(cqe.res);
            r.of.received({buffers_.at(id), n}, n == receive_buffers::size);
        }
        buffers_.give_back(id);
    }
    if (cqe.res == 0) {
        r.of.receive_failed(0);
    } else if (cqe.res == -EINVAL || cqe.res == -EOPNOTSUPP) {
        // A kernel before 6.0: polls from now on.
        can_receive_.store(false, sluice::detail::relaxed);
    } else if (cqe.res < 0 && cqe.res != -ECANCELED && cqe.res != -ENOBUFS && cqe.res != -EINTR) {
        r.of.receive_failed(-cqe.res);
    }
}

bool receive_buffers::set_up(io_uring& ring) noexcept {
    void* const memory = ::mmap(nullptr, count * sizeof(io_uring_buf), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    ring_ = static_cast<io_uring_buf_ring*>(memory);
    bytes_.reset(new (std::nothrow) std::byte[count * size]);
    io_uring_buf_reg request{};
    request.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
    request.ring_entries = count;
    request.bgid = group;
    if (bytes_ == nullptr || ::io_uring_register_buf_ring(&ring, &request, 0) != 0) return false;
    ::io_uring_buf_ring_init(ring_);
    for (unsigned id = 0; id != count; ++id) give_back(id);
    return true;
}

receive_buffers::~receive_buffers() {
    if (ring_ != nullptr) ::munmap(ring_, count * sizeof(io_uring_buf));
}

void receive_buffers::give_back(unsigned id) noexcept {
    ::io_uring_buf_ring_add(ring_, bytes_.get() + id * size, size, static_cast<unsigned short>(id),
                            count - 1, 0);
    ::io_uring_buf_ring_advance(ring_, 1);
}

}  // namespace sluice::io::detail
