/* TCP echo straight on epoll, in one thread: raw_epoll_echo PORT */
#include "listen.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Echoes what has arrived, waiting when the socket is full; tells whether the connection lives. */
static bool echo(int fd) {
    static char buffer[4096];
    ssize_t left = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    const char* from = buffer;
    if (left < 0) return errno == EAGAIN || errno == EINTR;
    if (left == 0) return false;
    while (left > 0) {
        const ssize_t sent = send(fd, from, left, MSG_NOSIGNAL);
        if (sent < 0) return false;
        from += sent;
        left -= sent;
    }
    return true;
}

int main(int argc, char** argv) {
    enum { batch = 512 };
    struct epoll_event events[batch], interest = {.events = EPOLLIN};
    int listener, poll;
    if (argc != 2) return fprintf(stderr, "usage: %s PORT\n", argv[0]), 2;
    listener = listen_on(argv[1]);
    poll = epoll_create1(EPOLL_CLOEXEC);
    interest.data.fd = listener;
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &interest) < 0) die("epoll");
    for (;;) {
        const int count = epoll_wait(poll, events, batch, -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[i].data.fd;
            if (fd != listener) {
                if (!echo(fd)) close(fd);
                continue;
            }
            while ((interest.data.fd = accept(listener, NULL, NULL)) >= 0)
                epoll_ctl(poll, EPOLL_CTL_ADD, interest.data.fd, &interest);
        }
    }
}
