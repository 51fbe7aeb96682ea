#pragma once

// Tests of what ends the process run in a process of their own: run_child(body) starts this very
// program on the present test case, where the same call runs `body` and exits with status 0.

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"

#if __has_include(<catch2/interfaces/catch_interfaces_capture.hpp>)
#include <catch2/interfaces/catch_interfaces_capture.hpp>
#endif

struct child_end {
    bool in_time = true;  // false: it hung, and was killed
    int status = 0;       // of waitpid()
    std::string errors;   // what it wrote to stderr

    bool exited() const noexcept {
        return in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    bool aborted() const noexcept {
        return in_time && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    }
};

/// Checks both.
inline bool aborts_saying(const child_end& end, const std::string& text) {
    INFO(end.errors);
    CHECK(end.aborted());
    CHECK(end.errors.find(text) != std::string::npos);
    return end.aborted();
}

inline constexpr const char* child_variable = "SLUICE_TEST_CHILD";

[[noreturn]] inline void be_the_child(const std::function<void()>& body) {
    ::unsetenv(child_variable);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::signal(SIGABRT, SIG_DFL);
    body();
    std::_Exit(0);
}

inline std::string read_until_closed(int fd, std::chrono::seconds most, bool& in_time) {
    const auto end = std::chrono::steady_clock::now() + most;
    std::string text;
    for (char buffer[4096];;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        pollfd waiting{fd, POLLIN, 0};
        const int ready =
            left.count() <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left.count()));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) {
            in_time = false;
            return text;
        }
        const ssize_t n = ::read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return text;
        text.append(buffer, static_cast<std::size_t>(n));
    }
}

/// In Catch2's test specifications a comma means "or", even in quotes.
inline std::string escaped_commas(const std::string& name) {
    std::string text;
    for (const char c : name) {
        if (c == ',') text += '\\';
        text += c;
    }
    return text;
}

/// `settings` are environment variables as NAME=value. Once in a test case, and before its
/// sections.
inline child_end run_child(const std::function<void()>& body,
                           const std::vector<std::string>& settings = {}) {
    if (std::getenv(child_variable) != nullptr) be_the_child(body);

    std::vector<std::string> variables;
    for (char** v = environ; *v != nullptr; ++v) {
        if (std::string(*v).rfind("SLUICE_", 0) != 0) variables.emplace_back(*v);
    }
    variables.insert(variables.end(), settings.begin(), settings.end());
    variables.push_back(std::string(child_variable) + "=1");
    std::vector<std::string> words{
        "/proc/self/exe",
        '"' + escaped_commas(Catch::getResultCapture().getCurrentTestName()) + '"'};
    std::vector<char*> env;
    std::vector<char*> arguments;
    for (std::string& v : variables) env.push_back(v.data());
    for (std::string& w : words) arguments.push_back(w.data());
    env.push_back(nullptr);
    arguments.push_back(nullptr);

    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    pid_t pid = 0;
    const int refused =
        ::posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, arguments.data(), env.data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    REQUIRE(refused == 0);

    child_end end;
    end.errors = read_until_closed(ends[0], std::chrono::seconds(60), end.in_time);
    if (!end.in_time) ::kill(pid, SIGKILL);
    while (::waitpid(pid, &end.status, 0) < 0 && errno == EINTR) {
    }
    ::close(ends[0]);
    return end;
}
