/* TCP echo straight on io_uring: the limit that the library is measured against.
 *
 *     raw_uring_echo PORT
 *
 * One thread, one ring. A multishot accept puts connections into the ring's own file table; for
 * each, a multishot receive fills buffers from a pool the kernel draws on; a buffer is sent as it
 * is and goes back to the pool when its send has completed. What a batch of completions causes is
 * submitted by the call that waits for the next.
 *
 * A connection has at most one send in flight, since two could change places when the socket is
 * full; the buffers behind it wait in a list. A receive that found the pool empty is armed again
 * when a buffer has come back. */
#include "listen.h"

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <sys/mman.h>

enum {
    submissions = 4096,
    completions = 16384,
    max_connections = 16384,
    buffer_count = 2048, /* a power of two */
    buffer_size = 2048,
    pool = 0,
    none = -1,
};

enum operation { op_accept, op_receive, op_send, op_close };

struct connection {
    int first, last;  /* buffers to send; the first is in flight */
    int next_starved; /* in the list of those whose receive found the pool empty */
    bool ended;       /* nothing more will be received */
};

static struct io_uring ring;
static int listener;
static struct connection connections[max_connections];
static int first_starved = none;
static struct io_uring_buf_ring* free_buffers;
static unsigned char buffers[buffer_count][buffer_size];
static struct {
    int length, next;
} filled[buffer_count];

static struct io_uring_sqe* new_request(void) {
    struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    if (!sqe) die("submission queue");
    return sqe;
}

static void tag(struct io_uring_sqe* sqe, enum operation op, int slot) {
    io_uring_sqe_set_data64(sqe, (unsigned)slot << 2 | op);
}

static void accept_connections(void) {
    struct io_uring_sqe* sqe = new_request();
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    tag(sqe, op_accept, 0);
}

static void receive(int slot) {
    struct io_uring_sqe* sqe = new_request();
    io_uring_prep_recv_multishot(sqe, slot, NULL, 0, 0);
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = pool;
    tag(sqe, op_receive, slot);
}

static void send_first(int slot) {
    struct io_uring_sqe* sqe = new_request();
    const int id = connections[slot].first;
    io_uring_prep_send(sqe, slot, buffers[id], filled[id].length, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags = IOSQE_FIXED_FILE;
    tag(sqe, op_send, slot);
}

static void close_when_done(int slot) {
    struct io_uring_sqe* sqe;
    if (!connections[slot].ended || connections[slot].first != none) return;
    sqe = new_request();
    io_uring_prep_close_direct(sqe, slot);
    tag(sqe, op_close, slot);
}

static void give_back(int id) {
    const int starved = first_starved;
    io_uring_buf_ring_add(free_buffers, buffers[id], buffer_size, id, buffer_count - 1, 0);
    io_uring_buf_ring_advance(free_buffers, 1);
    if (starved != none) {
        first_starved = connections[starved].next_starved;
        receive(starved);
    }
}

static void on_accept(const struct io_uring_cqe* cqe) {
    if (cqe->res >= 0) {
        connections[cqe->res] = (struct connection){.first = none};
        receive(cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) accept_connections();
}

static void on_receive(const struct io_uring_cqe* cqe, int slot) {
    struct connection* connection = &connections[slot];
    if (cqe->res > 0) {
        const int id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        filled[id].length = cqe->res;
        filled[id].next = none;
        if (connection->first == none) {
            connection->first = id;
            send_first(slot);
        } else {
            filled[connection->last].next = id;
        }
        connection->last = id;
    }
    if (cqe->flags & IORING_CQE_F_MORE) return;
    if (cqe->res > 0) {
        receive(slot);
    } else if (cqe->res == -ENOBUFS) {
        connection->next_starved = first_starved;
        first_starved = slot;
    } else {
        connection->ended = true;
        close_when_done(slot);
    }
}

static void on_send(const struct io_uring_cqe* cqe, int slot) {
    struct connection* connection = &connections[slot];
    const int id = connection->first;
    const bool broken = cqe->res < filled[id].length;
    connection->first = filled[id].next;
    give_back(id);
    while (broken && connection->first != none) {
        const int dropped = connection->first;
        connection->first = filled[dropped].next;
        give_back(dropped);
    }
    if (connection->first != none) {
        send_first(slot);
    } else {
        close_when_done(slot);
    }
}

static void complete(const struct io_uring_cqe* cqe) {
    const unsigned long long data = io_uring_cqe_get_data64(cqe);
    const int slot = (int)(data >> 2);
    switch ((enum operation)(data & 3)) {
        case op_accept:
            on_accept(cqe);
            break;
        case op_receive:
            on_receive(cqe, slot);
            break;
        case op_send:
            on_send(cqe, slot);
            break;
        case op_close:
            break;
    }
}

static void make_pool(void) {
    struct io_uring_buf_reg registration = {.ring_entries = buffer_count, .bgid = pool};
    free_buffers = mmap(NULL, buffer_count * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                        MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (free_buffers == MAP_FAILED) die("mmap");
    registration.ring_addr = (unsigned long)free_buffers;
    if (io_uring_register_buf_ring(&ring, &registration, 0) < 0) die("buffer ring");
    io_uring_buf_ring_init(free_buffers);
    for (int id = 0; id < buffer_count; ++id) give_back(id);
}

int main(int argc, char** argv) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = completions,
    };
    if (argc != 2) return fprintf(stderr, "usage: %s PORT\n", argv[0]), 2;
    listener = listen_on(argv[1]);
    errno = -io_uring_queue_init_params(submissions, &ring, &params);
    if (errno) die("io_uring");
    if (io_uring_register_files_sparse(&ring, max_connections) < 0) die("file table");
    io_uring_register_ring_fd(&ring);
    make_pool();
    accept_connections();
    for (;;) {
        struct io_uring_cqe* cqe;
        unsigned head, seen = 0;
        const int result = io_uring_submit_and_wait(&ring, 1);
        if (result < 0 && result != -EINTR) die("io_uring");
        io_uring_for_each_cqe(&ring, head, cqe) {
            complete(cqe);
            ++seen;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
