// Compares servers that speak the Redis protocol: requests a second and the 99th percentile of the
// latency, at 50 and at 1,000 connections, as a table with bars.
//
//     kv_compare SERVER...        each a program, started with --port 0, or the port of a running
//     one kv_compare --quick SERVER...    shorter, to see that all works
//
// Ends by itself, within a minute; the exit status is 1 when a server did not do its work.

#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kv_load.hpp"

extern char** environ;

namespace {

using namespace std::chrono_literals;
using kv_load::figures;

struct plan {
    std::array<unsigned, 2> connections = {50, 1000};
    int rounds = 3;  // the servers take turns; of the rounds the median counts
    std::chrono::milliseconds warm_up = 300ms;
    std::chrono::milliseconds duration = 1200ms;
};

// A server: a child process, ended with this object, or one that runs already.
class server {
public:
    explicit server(const std::string& program_or_port) : name_(program_or_port) {
        const bool is_port = std::ranges::all_of(
            program_or_port, [](unsigned char c) { return std::isdigit(c) != 0; });
        if (is_port) {
            port_ = static_cast<std::uint16_t>(std::stoul(program_or_port));
            name_.insert(0, "port ");
            return;
        }
        name_ = program_or_port.substr(program_or_port.rfind('/') + 1);
        start(program_or_port);
    }
    ~server() {
        if (child_ > 0) stop();
    }
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    const std::string& name() const { return name_; }
    std::uint16_t port() const { return port_; }

    // Asks it to end; false when it did not do so well and soon.
    bool stop() {
        if (child_ <= 0) return true;
        ::kill(child_, SIGTERM);
        int status = 0;
        for (int i = 0; i < 1000; ++i) {
            if (::waitpid(child_, &status, WNOHANG) == child_) {
                child_ = -1;
                return WIFEXITED(status) && WEXITSTATUS(status) == 0;
            }
            std::this_thread::sleep_for(10ms);
        }
        ::kill(child_, SIGKILL);
        ::waitpid(child_, &status, 0);
        child_ = -1;
        return false;
    }

private:
    void start(const std::string& program) {
        int out[2];
        if (::pipe(out) != 0) throw std::runtime_error("pipe");
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
        posix_spawn_file_actions_addclose(&actions, out[0]);
        posix_spawn_file_actions_addclose(&actions, out[1]);
        std::string path = program;
        std::string option = "--port";
        std::string any = "0";
        char* const arguments[] = {path.data(), option.data(), any.data(), nullptr};
        const int error =
            ::posix_spawnp(&child_, path.c_str(), &actions, nullptr, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
        ::close(out[1]);
        if (error != 0) throw std::runtime_error(program + ": " + std::strerror(error));
        port_ = read_port(out[0]);
        ::close(out[0]);
    }

    // It says "listening on 127.0.0.1:PORT" when it is ready.
    std::uint16_t read_port(int from) const {
        std::string line;
        pollfd readable{from, POLLIN, 0};
        constexpr std::chrono::milliseconds patience = 10s;
        while (line.find('\n') == std::string::npos) {
            char buffer[256];
            if (::poll(&readable, 1, static_cast<int>(patience.count())) <= 0) break;
            const ssize_t got = ::read(from, buffer, sizeof buffer);
            if (got <= 0) break;
            line.append(buffer, static_cast<std::size_t>(got));
        }
        const std::size_t colon = line.rfind(':');
        if (colon == std::string::npos) throw std::runtime_error(name_ + " did not start");
        return static_cast<std::uint16_t>(std::atoi(line.c_str() + colon + 1));
    }

    std::string name_;
    std::uint16_t port_ = 0;
    pid_t child_ = -1;
};

figures median(const std::vector<figures>& rounds) {
    const auto middle = [&](auto project) {
        auto sorted = rounds;
        std::ranges::sort(sorted, {}, project);
        return std::invoke(project, sorted[sorted.size() / 2]);
    };
    return {middle(&figures::requests_per_second), middle(&figures::p99)};
}

std::string bar(double value, double longest) {
    static constexpr const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    constexpr int width = 20;
    const int steps = longest > 0 ? static_cast<int>(8 * width * value / longest + 0.5) : 0;
    std::string drawn;
    for (int i = 0; i < steps / 8; ++i) drawn += "█";
    drawn += eighths[steps % 8];
    // Padded here: printf would count bytes.
    return drawn + std::string(static_cast<std::size_t>(width - (steps + 7) / 8), ' ');
}

std::string with_commas(double number) {
    std::string digits = std::to_string(static_cast<long long>(number + 0.5));
    for (auto at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
        digits.insert(static_cast<std::size_t>(at), ",");
    }
    return digits;
}

void print_table(unsigned connections, const std::deque<server>& servers,
                 const std::vector<figures>& results) {
    double most = 0;
    double slowest = 0;
    for (const figures& each : results) {
        most = std::max(most, each.requests_per_second);
        slowest = std::max(slowest, each.p99.count());
    }
    std::printf("\n%s connections\n", with_commas(connections).c_str());
    for (std::size_t i = 0; i < servers.size(); ++i) {
        std::printf("  %-12s %9s requests/s %s  p99 %7.2f ms %s\n", servers[i].name().c_str(),
                    with_commas(results[i].requests_per_second).c_str(),
                    bar(results[i].requests_per_second, most).c_str(), results[i].p99.count(),
                    bar(results[i].p99.count(), slowest).c_str());
    }
    std::fflush(stdout);
}

void compare(const plan& how, const std::deque<server>& servers) {
    std::printf("GET and SET in turn, 64-byte values, one request in flight on each connection\n");
    std::fflush(stdout);
    for (const unsigned connections : how.connections) {
        std::vector<std::vector<figures>> rounds(servers.size());
        for (int round = 0; round < how.rounds; ++round) {
            for (std::size_t i = 0; i < servers.size(); ++i) {
                rounds[i].push_back(
                    kv_load::measure(servers[i].port(), connections, how.warm_up, how.duration));
            }
        }
        std::vector<figures> medians;
        for (const auto& each : rounds) medians.push_back(median(each));
        print_table(connections, servers, medians);
    }
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) try {
    raise_descriptor_limit();
    plan how;
    std::deque<server> servers;
    for (int i = 1; i < argc; ++i) {
        if (std::string_view(argv[i]) == "--quick")
            how = {{5, 50}, 1, 20ms, 100ms};
        else
            servers.emplace_back(argv[i]);
    }
    if (servers.empty()) throw std::runtime_error("usage: kv_compare [--quick] SERVER...");
    compare(how, servers);
    bool well = true;
    for (server& each : servers) {
        const bool ended = each.stop();
        if (!ended) std::fprintf(stderr, "kv_compare: %s did not end well\n", each.name().c_str());
        well = well && ended;
    }
    return well ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "kv_compare: %s\n", error.what());
    return 1;
}
