// A daemon of a server, a consumer, a ticker and a listener for signals, which leaves in order on
// SIGTERM. A request is a line of text; it becomes a job in a queue, and the reply says so.
//
//     daemon --serve 7000     serves until SIGTERM or SIGINT: echo hello | nc 127.0.0.1 7000;
//                             with 0 it takes a free port, and says which
//     daemon                  serves a client of its own, and ends itself
#include <atomic>
#include <sluice/patterns/actor_group.hpp>
#include <sluice/patterns/graceful_shutdown.hpp>
#include <sluice/sluice.hpp>
#include <string_view>
#include <vector>
using namespace std::chrono_literals;
using sluice::context;
using sluice::task;
using jobs_channel = sluice::chan<std::string>;

struct counts {
    std::atomic<int> accepted = 0, answered = 0, done = 0;
};

// Up to the end of a line, which is left away; empty if none comes.
task<std::string> read_line(context ctx, const sluice::io::tcp_stream* conn) {
    std::string line;
    std::array<char, 512> buffer;
    while (line.size() < 4'000) {
        const auto n = co_await within(ctx, conn->read(std::span(buffer)));
        if (!n || *n == 0) break;
        line.append(buffer.data(), *n);
        if (line.back() == '\n') co_return line.substr(0, line.size() - 1);
    }
    co_return "";
}

task<> answer(context ctx, sluice::io::tcp_stream conn, jobs_channel jobs, counts* all) {
    const std::string line = co_await read_line(ctx, &conn);
    if (line.empty()) co_return;
    const auto queued = co_await within(ctx, jobs.send(line));  // waits while the queue is full
    const std::string reply = (queued ? "queued " : "refused ") + line + "\n";
    // By a time: a refusal is written after the end of ctx.
    if (co_await within(1s, conn.write_all(reply))) ++all->answered;
}

// The end of the queue, when nothing more comes, ends its consumer after the last job.
struct closing {
    jobs_channel jobs;
    ~closing() { jobs.close(); }
};

task<sluice::result<>> serve(context stopping, sluice::io::tcp_listener listener, jobs_channel jobs,
                             counts* all) {
    const closing at_the_end{jobs};  // also by an exception
    // It ends after the last accept, so that whatever was accepted is answered.
    auto accepting = sluice::with_cancel(sluice::background());
    sluice::graceful_shutdown requests(accepting.first);
    while (!stopping.err()) {
        auto conn = co_await within(stopping, listener.accept());
        if (conn) {
            ++all->accepted;
            const auto peer = conn->remote_address();
            requests.go(peer ? peer->to_string() : "?", answer, std::move(*conn), jobs, all);
        } else {  // told to stop, or out of descriptors: the connection stays in the backlog
            static_cast<void>(co_await within(stopping, sluice::sleep_for(10ms)));
        }
    }
    listener.close();
    accepting.second();
    const auto outcome = co_await requests.drain(sluice::background(), 5s);
    for (const auto& name : requests.cut()) std::printf("cut: the request of %s\n", name.c_str());
    co_return outcome;
}

task<> consume(jobs_channel jobs, counts* all) {
    while (auto job = co_await jobs.recv()) {
        co_await sluice::sleep_for(1ms);  // the work
        ++all->done;
    }
}

task<> tick(context ctx, const counts* all) {
    const sluice::ticker every(10s);
    while (auto at = co_await within(ctx, every.recv())) {
        std::fprintf(stderr, "%d jobs done\n", all->done.load());
    }
}

// Sends three requests, then SIGTERM, and in between the two halves of a fourth one.
task<std::vector<std::string>> be_the_client(sluice::io::endpoint server) {
    std::vector<std::string> replies;
    const auto slow = co_await sluice::io::connect_tcp(server);
    static_cast<void>(co_await slow.value().write_all("fo"));
    for (const char* const line : {"one\n", "two\n", "three\n"}) {
        const auto conn = co_await sluice::io::connect_tcp(server);
        static_cast<void>(co_await conn.value().write_all(line));
        replies.push_back(co_await read_line(sluice::background(), &*conn));
    }
    ::raise(SIGTERM);
    co_await sluice::sleep_for(5ms);
    static_cast<void>(co_await slow.value().write_all("ur\n"));
    replies.push_back(co_await read_line(sluice::background(), &*slow));
    co_return replies;
}

task<sluice::result<>> run_actors(sluice::actor signals, sluice::io::tcp_listener listener,
                                  counts* all) {
    const auto jobs = sluice::make_chan<std::string>(64);
    auto serving = sluice::with_cancel_cause(sluice::background());
    auto ticking = sluice::with_cancel_cause(sluice::background());
    sluice::actor_group actors;
    actors.add([ctx = serving.first, l = std::move(listener), jobs,
                all]() mutable { return serve(ctx, std::move(l), jobs, all); },
               std::move(serving.second));
    actors.add([jobs, all] { return consume(jobs, all); },
               [](const sluice::failure&) {});  // ends when the server has closed the queue
    actors.add([ctx = ticking.first, all] { return tick(ctx, all); }, std::move(ticking.second));
    actors.add(std::move(signals));
    return actors.run();
}

task<int> daemon_at(std::string address, bool with_client) {
    // Listens from here on: before anybody can know of the daemon.
    auto signals = sluice::signal_actor(sluice::background(), {SIGINT, SIGTERM});
    auto listener = sluice::io::listen_tcp(address);
    if (!listener) {
        std::fprintf(stderr, "%s: %s\n", address.c_str(), listener.error().message().c_str());
        co_return 1;
    }
    const sluice::io::endpoint self = listener->local_address().value();
    std::vector<std::string> replies;
    sluice::wait_group client;
    if (with_client) {
        client.go(
            [](sluice::io::endpoint daemon, std::vector<std::string>* got) -> task<> {
                *got = co_await be_the_client(daemon);
            },
            self, &replies);
    } else {
        std::fprintf(stderr, "serving %s\n", self.to_string().c_str());
    }
    counts all;
    const auto why = co_await run_actors(std::move(signals), std::move(*listener), &all);
    co_await client.wait();
    for (const std::string& reply : replies) std::printf("client: %s\n", reply.c_str());
    const std::error_code code = why ? std::error_code() : why.error();
    std::printf("%d accepted, %d answered, %d jobs done, ended by %s\n", all.accepted.load(),
                all.answered.load(), all.done.load(), code.message().c_str());
    co_return code.category() == sluice::signal_category() ? 0 : 1;
}

int main(int argc, char** argv) {
    const bool serves = argc == 3 && std::string_view(argv[1]) == "--serve";
    return sluice::run(daemon_at, serves ? std::string("127.0.0.1:") + argv[2] : "127.0.0.1:0",
                       !serves);
}

// Output:
// client: queued one
// client: queued two
// client: queued three
// client: queued four
// 4 accepted, 4 answered, 4 jobs done, ended by SIGTERM (Terminated)
