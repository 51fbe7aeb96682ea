#pragma once

// One connection as a task.
//
// What it costs while it is idle: this object and the frame that waits, no buffer. A workspace is
// borrowed when there are bytes to read and given back when they are handled, unless a long request
// is only half there; a short half request is kept as a string of its own size. The frames that
// read, answer and wait for others live only while they do so.
//
// Back-pressure: replies are written before more requests are read. So a client that writes without
// ever reading waits in the end, and the session with it.

#include <memory>
#include <string>

#include <sluice/channels/chan.hpp>
#include <sluice/io/tcp.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/task.hpp>

#include "client.hpp"
#include "workspace.hpp"

namespace kv {

/// What all sessions share. Outlives them.
struct service {
    server_state state;
    sluice::context stop;  ///< ends when no new requests are to be taken
    sluice::context cut;   ///< ends when even replies are not waited for any more
};

/// Serves a connection until its end or the service's. When the service stops, requests that have
/// arrived are answered and messages that were posted delivered.
sluice::task<> serve_connection(service* of, sluice::io::tcp_stream connection);

/// Rouses a session's task: a channel with room for one ring, so that ringing never waits.
class task_bell : public waker {
public:
    explicit task_bell(const sluice::context& parent);

    void wake() override { static_cast<void>(rings_.try_send()); }
    void cut() override { cancel_(); }

    sluice::chan<>& rings() { return rings_; }
    /// Ends when the connection is cut.
    const sluice::context& alive() const { return alive_; }

private:
    explicit task_bell(std::pair<sluice::context, sluice::cancel_function> life);

    sluice::chan<> rings_ = sluice::make_chan<>(1);
    sluice::context alive_;
    sluice::cancel_function cancel_;
};

class session : public client {
public:
    session(service& of, sluice::io::tcp_stream connection)
        : client(of.state), service_(of), connection_(std::move(connection)) {}
    ~session() override;

    sluice::io::tcp_stream& connection() { return connection_; }

    // All of these but drain() answer whether the connection goes on.

    /// Reads what there is, without waiting.
    sluice::task<bool> read_requests();
    /// Executes the requests that have been read, up to one that blocks, and sends the messages
    /// that have come and the replies.
    sluice::task<bool> answer();
    /// Waits until the blocked client is served or out of time, and writes its answer. When the
    /// service stops, one that is not served is let go without a word, as Redis does.
    sluice::task<bool> wait_for_element();
    /// Waits for requests and messages at once; reads the former.
    sluice::task<bool> listen();

    /// Answers and delivers all that has come by the time the service stops, and says goodbye.
    sluice::task<> drain();

private:
    std::shared_ptr<waker> make_bell() override;
    const sluice::context& alive() const { return bell_ ? bell_->alive() : service_.cut; }
    void take_workspace();
    /// Gives the workspace back unless it holds much of a request.
    void tidy_up();

    service& service_;
    sluice::io::tcp_stream connection_;
    std::shared_ptr<task_bell> bell_;  // the same as bell()
    workspace_lease space_;            // null while there is nothing to handle
    std::string kept_;                 // the start of a short request, while space_ is null
};

}  // namespace kv
