// TCP in memory, for simulations.
//
// Concepts
//   In a simulation a descriptor stands before a socket of this file: a listener, or a stream,
//   which is one end of a connection. Its calls give what the kernel's would (a count, or -errno)
//   and never wait. What one end does the other learns by a segment. The segments on their way to a
//   stream are its path; each arrives by a timer, in virtual time, and then takes its turn among
//   the tasks that are ready. A segment that is lost is one that comes later, as it would be sent
//   again, and those behind it wait for it. Delays, losses, resets and partial transfers are drawn
//   from the choices of the simulation. The bytes of a stream are handed over when they are
//   written; a data segment says up to where they have arrived.
//
// Invariants
//   A call is made under the gate of its own descriptor, and touches no other one: it changes the
//   memory of its connection and starts timers. Only arrivals, which hold no gate, report edges.
//   The segments of a path arrive in the order in which they were sent. While there are any, the
//   path's timer runs, or it has fired and arrive() is about to run or running.
//   acknowledged <= taken <= arrived <= sent, counted in bytes from the start of a direction, and
//   sent - acknowledged <= the buffer's size.
//   A connection lives while one of its ends is open or a segment of it is under way.
//   All of it belongs to the thread of the simulation. Out of memory it ends the process.
//
// Rejected: the kernel's sockets with a clock of our own (their order would not be the seed's), a
// segment for every 1,460 bytes (a partial write makes two, which is all that a reader can tell).
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include <sys/types.h>

#include <sluice/io/address.hpp>
#include <sluice/runtime/detail/runnable.hpp>
#include <sluice/runtime/detail/simulated_driver.hpp>
#include <sluice/runtime/detail/timer_queue.hpp>
#include <sluice/runtime/result.hpp>

namespace sluice::detail {
class worker;
}

namespace sluice::io::detail {

class descriptor;
class simulated_listener;
class simulated_tcp;
struct simulated_connection;

/// First in, first out, in one piece of memory.
template <class T>
class simulated_queue {
public:
    bool empty() const noexcept { return first_ == items_.size(); }
    std::size_t size() const noexcept { return items_.size() - first_; }
    const T& front() const noexcept { return items_[first_]; }
    const T* data() const noexcept { return items_.data() + first_; }

    void push(std::span<const T> more) {
        if (first_ >= size()) {  // so an item moves at most once for each that has left
            items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
            first_ = 0;
        }
        items_.insert(items_.end(), more.begin(), more.end());
    }
    void pop(std::size_t n = 1) noexcept { first_ += n; }
    void clear() noexcept { first_ = items_.size(); }

private:
    std::vector<T> items_;
    std::size_t first_ = 0;
};

/// What is under way to a stream.
struct simulated_segment {
    enum kind : std::uint8_t {
        syn,      // to a server: a client wants to connect
        syn_ack,  // to a client: it may
        ack,      // to a server: the client knows
        data,     // value: where in the stream its bytes end
        fin,      // no more bytes come
        window,   // value: where in the stream the reader has come to
        reset,    // value: errno for whoever uses the stream; never lost
        cut,      // the network ends the connection: both ends are to be reset
        lost,     // nothing arrives any more; the sender gives up
    };
    kind what;
    std::uint64_t value = 0;
    std::int64_t arrives = 0;  // or later, when the one ahead of it does
};

/// What stands behind a descriptor.
class simulated_socket {
public:
    simulated_socket(const simulated_socket&) = delete;
    simulated_socket& operator=(const simulated_socket&) = delete;

    /// Its descriptor lets it go; it may be gone afterwards. Once.
    virtual void close() noexcept = 0;
    virtual result<endpoint> remote_address() const;
    result<endpoint> local_address() const { return local_; }

    descriptor* watcher = nullptr;  // set by the descriptor, and reset by close()

protected:
    simulated_socket(simulated_tcp& net, const endpoint& local) noexcept
        : net_(net), local_(local) {}
    ~simulated_socket() = default;

    simulated_tcp& net_;
    const endpoint local_;
};

class simulated_stream final : public simulated_socket,
                               private sluice::detail::timer_node,
                               private sluice::detail::runnable {
public:
    simulated_stream(simulated_connection& c, simulated_stream& peer, simulated_tcp& net,
                     const endpoint& local, const endpoint& remote) noexcept;

    // Calls of the descriptor's owner: 0 or a count, else -errno.

    /// The first call begins, the others ask for the outcome; -EAGAIN until there is one.
    int connect() noexcept;
    ssize_t receive(std::span<std::byte> into) noexcept;
    /// Whether receive() would give anything but -EAGAIN.
    bool readable() const noexcept;
    ssize_t send(std::span<const std::byte> bytes) noexcept;
    int shutdown() noexcept;
    void close() noexcept override;
    result<endpoint> remote_address() const override;

private:
    friend class simulated_listener;
    friend class simulated_tcp;

    static runnable* fired(timer_node& node, sluice::detail::wake_list&) noexcept;
    static void run_arrive(void* self) noexcept;

    void arrive() noexcept;
    void take(const simulated_segment& s) noexcept;
    void take_syn(const simulated_segment& s) noexcept;
    void take_ack() noexcept;
    void take_lost() noexcept;
    void answer(simulated_segment::kind what, std::uint64_t value = 0) noexcept;
    void refuse(int error) noexcept;
    void die(int error) noexcept;
    void turn_away() noexcept;
    void leave_listener() noexcept;
    void tell(bool read, bool write, bool hang_up) noexcept;
    bool alive() const noexcept { return connected_ && !dead_; }
    std::uint64_t room() const noexcept;
    void ask_for_room() noexcept;

    simulated_connection& connection_;
    simulated_stream& peer_;
    const endpoint remote_;
    simulated_listener* listener_ = nullptr;  // of a server that is not in the backlog yet
    bool open_ = false;   // has a descriptor, or will have: of a server from its syn on
    bool begun_ = false;  // connect() was called
    bool connected_ = false;
    bool dead_ = false;   // reset or given up
    bool ended_ = false;  // all bytes have arrived
    bool fin_sent_ = false;
    bool starved_ = false;        // no room was left, and the peer owes a window
    bool window_coming_ = false;  // it is under way, or a reset
    bool arriving_ = false;
    int error_ = 0;     // told once
    int connects_ = 0;  // a server's: syns that met a full backlog
    // Bytes to here.
    std::uint64_t arrived_ = 0;
    std::uint64_t taken_ = 0;
    std::int64_t taken_at_ = 0;  // when the latest were
    // Bytes from here.
    std::uint64_t sent_ = 0;
    std::uint64_t acknowledged_ = 0;
    simulated_queue<std::byte> bytes_;  // from taken_ on
    simulated_queue<simulated_segment> path_;
};

/// Two streams, and where they stand in the list of all.
struct simulated_connection {
    simulated_connection(simulated_tcp& net, const endpoint& from, const endpoint& to) noexcept
        : client(*this, server, net, from, to), server(*this, client, net, to, from) {}

    simulated_stream client;
    simulated_stream server;
    std::list<simulated_connection>::iterator self;
};

class simulated_listener final : public simulated_socket {
public:
    simulated_listener(simulated_tcp& net, const endpoint& at, int backlog,
                       bool reuse_port) noexcept
        : simulated_socket(net, at), most_(backlog), shared_(reuse_port) {}

    /// Null: nobody has come.
    simulated_stream* accept() noexcept;
    void close() noexcept override;

private:
    friend class simulated_stream;
    friend class simulated_tcp;

    const int most_;
    const bool shared_;
    simulated_queue<simulated_stream*> backlog_;
    int on_their_way_ = 0;  // to the backlog
};

/// The network of one simulation. Any address is at home in it; port 0 gives a free one.
class simulated_tcp final : public sluice::detail::simulated_driver::network {
public:
    /// That of the simulation which the calling thread runs; null: it runs none. Throws
    /// std::bad_alloc.
    static simulated_tcp* here();

    simulated_tcp(sluice::detail::worker& w, sluice::detail::simulated_driver& d) noexcept
        : options(d.options), choices(d.choices), worker_(w) {}
    /// Closes all descriptors that are left.
    ~simulated_tcp() override;

    /// Throws std::bad_alloc, as does stream().
    result<simulated_listener*> listen(const endpoint& at, int backlog, bool reuse_port);
    /// A stream that is to connect().
    simulated_stream& stream(const endpoint& to);

    // For the sockets.

    /// Sends it on its way to the stream.
    void carry(simulated_stream& to, simulated_segment s) noexcept;
    /// The same, to arrive then, or when what is ahead of it does.
    void deliver(simulated_stream& to, simulated_segment s, std::int64_t when) noexcept;
    void start_timer(simulated_stream& path) noexcept;
    /// One of those that listen there, or null.
    simulated_listener* listener_at(const endpoint& at) noexcept;
    void remove(simulated_listener& l) noexcept;
    /// Ends the connection's life if nothing keeps it.
    void reap(simulated_connection& c) noexcept;

    const simulated_network& options;
    sluice::detail::simulation_choices& choices;

private:
    std::uint16_t free_port() noexcept;

    sluice::detail::worker& worker_;
    bool ending_ = false;  // nothing is sent any more, and nothing taken from the lists
    std::uint16_t next_port_ = 32768;
    std::list<simulated_connection> connections_;
    std::list<simulated_listener> listeners_;
};

}  // namespace sluice::io::detail
