// Which driver a runtime gets, when the kernel denies or limits it, and what SLUICE_DRIVER asks.
#include <sluice/runtime/driver.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/io/tcp.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/runtime.hpp>
#include <sluice/runtime/spawn.hpp>

#include "catch.hpp"
#include "loopback.hpp"
#include "seccomp.hpp"

using namespace loopback;
using sluice::driver_kind;
using sluice::options;
using sluice::task;

namespace {

options with(unsigned workers, driver_kind driver) {
    options o;
    o.workers = workers;
    o.driver = driver;
    return o;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// Sockets, timers and wakes between threads work.
task<> do_everything() {
    const pair both = co_await connected();
    std::array<char, 8> buffer;
    for (int i = 0; i != 20; ++i) {
        const auto none = co_await sluice::within(100us, both.server.read(buffer));
        EXPECT(failed_with(none, sluice::errc::deadline_exceeded));
        auto reader = sluice::spawn(
            [](const tcp_stream* s) -> task<> {
                char byte = 0;
                const auto n = co_await s->read(std::span(&byte, 1));
                EXPECT(n == 1u);
            },
            &both.server);
        co_await sluice::yield();
        const auto wrote = co_await both.client.write("x");
        EXPECT(wrote == 1u);
        co_await reader.join();
    }
}

bool works(const options& o, std::string_view driver, std::string_view reason) {
    sluice::runtime rt(o);
    rt.block_on(do_everything);
    const sluice::runtime_stats s = rt.stats();
    const bool as_expected =
        s.workers == o.workers && s.driver == driver && contains(s.driver_reason, reason);
    if (!as_expected) {
        std::fprintf(stderr, "%u workers on %s: %s\n", s.workers, s.driver.c_str(),
                     s.driver_reason.c_str());
    }
    return as_expected;
}

std::error_code error_of_start(const options& o) {
    try {
        sluice::runtime rt(o);
    } catch (const std::system_error& e) {
        return e.code();
    }
    return {};
}

// A thread that is no worker answers each byte a little later, so that one worker is asleep until
// then; the other one is kept busy for about as long, and goes to sleep at that moment.
task<> read_beside_short_tasks(int count) {
    auto listener = sluice::io::listen_tcp("127.0.0.1:0").value();
    const sluice::io::endpoint address = listener.local_address().value();
    const std::jthread peer([&address] {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool good = ::connect(fd, address.data(), address.size()) == 0;
        for (char byte = 0; good && ::recv(fd, &byte, 1, 0) == 1;) {
            std::this_thread::sleep_for(50us);
            good = ::send(fd, &byte, 1, MSG_NOSIGNAL) == 1;
        }
        ::close(fd);
    });
    const auto conn = std::move((co_await listener.accept()).value());
    std::array<std::byte, 1> byte{};
    for (int i = 0; i != count; ++i) {
        sluice::go(
            [](std::chrono::steady_clock::time_point until) {
                while (std::chrono::steady_clock::now() < until) continue;
            },
            std::chrono::steady_clock::now() + std::chrono::microseconds(100 + i % 200));
        const auto wrote = co_await conn.write_all(byte);
        const auto read = co_await conn.read(byte);
        if (!EXPECT(wrote.has_value() && read.has_value())) co_return;
    }
}

void fall_back_when_denied(long call, int error) {
    in_child([call, error] {
        if (!EXPECT(deny_call(call, error))) return;
        for (const unsigned workers : {1u, 2u}) {
            const std::string why =
                "io_uring is refused: " + std::error_code(error, std::generic_category()).message();
            EXPECT(works(with(workers, driver_kind::automatic), "epoll", why));
            EXPECT(works(with(workers, driver_kind::epoll), "epoll", "as asked for"));
            EXPECT(error_of_start(with(workers, driver_kind::uring)).value() == error);
        }
    });
}

}  // namespace

TEST_CASE("driver: where io_uring is not permitted epoll takes its place and says why") {
    fall_back_when_denied(SYS_io_uring_setup, EPERM);
}

TEST_CASE("driver: where io_uring does not exist epoll takes its place and says why") {
    fall_back_when_denied(SYS_io_uring_setup, ENOSYS);
}

TEST_CASE("driver: where io_uring takes no requests epoll takes its place and says why") {
    fall_back_when_denied(SYS_io_uring_enter, EPERM);
}

TEST_CASE("driver: while the kernel takes no requests tasks and timers go on") {
    in_child([] {
        sluice::run(with(1, driver_kind::automatic), []() -> task<> {
            const tcp_listener l = listener();
            if (!EXPECT(deny_call(SYS_io_uring_enter, EAGAIN))) co_return;
            for (int i = 0; i != 3; ++i) {
                const auto none = co_await sluice::within(1ms, l.accept());
                EXPECT(failed_with(none, sluice::errc::deadline_exceeded));
            }
        });
    });
}

TEST_CASE("driver: epoll needs no call that kernels before 5.11 lack") {
    in_child([] {
        if (!EXPECT(deny_call(SYS_epoll_pwait2, ENOSYS))) return;
        for (const unsigned workers : {1u, 2u}) {
            EXPECT(works(with(workers, driver_kind::epoll), "epoll", "as asked for"));
        }
    });
}

TEST_CASE("driver: what comes in while the last other worker goes to sleep is no deadlock") {
    for_each_setup(
        [](const options& o) { sluice::run(o, read_beside_short_tasks, rounds(2'000)); });
}

TEST_CASE("driver: it is the one that is named and the stats tell") {
    in_child([] {
        for (const unsigned workers : {1u, 2u}) {
            EXPECT(works(with(workers, driver_kind::epoll), "epoll", "as asked for"));
            if (!uring_is_allowed()) continue;
            EXPECT(works(with(workers, driver_kind::uring), "io_uring", "as asked for"));
            EXPECT(works(with(workers, driver_kind::automatic), "io_uring", "available"));
        }
    });
}

TEST_CASE("driver: SLUICE_DRIVER=epoll overrides the program") {
    in_child(
        [] {
            for (const driver_kind k : {driver_kind::automatic, driver_kind::uring}) {
                EXPECT(works(with(1, k), "epoll", "as asked for"));
                EXPECT(works(with(2, k), "epoll", "as asked for"));
            }
        },
        {"SLUICE_DRIVER=epoll"});
}

TEST_CASE("driver: SLUICE_DRIVER=uring overrides the program") {
    if (!uring_is_allowed()) {
        WARN("skipped: needs io_uring");
        return;
    }
    in_child(
        [] {
            for (const driver_kind k : {driver_kind::automatic, driver_kind::epoll}) {
                EXPECT(works(with(1, k), "io_uring", "as asked for"));
                EXPECT(works(with(2, k), "io_uring", "as asked for"));
            }
        },
        {"SLUICE_DRIVER=uring"});
}

TEST_CASE("driver: SLUICE_DRIVER=uring is no wish but an order") {
    in_child(
        [] {
            if (!EXPECT(deny_call(SYS_io_uring_setup, EPERM))) return;
            EXPECT(error_of_start(with(1, driver_kind::automatic)).value() == EPERM);
        },
        {"SLUICE_DRIVER=uring"});
}

TEST_CASE("driver: a SLUICE_DRIVER that is none is refused and an empty one is no wish") {
    in_child(
        [] {
            bool refused = false;
            try {
                sluice::runtime rt(with(1, driver_kind::automatic));
            } catch (const std::invalid_argument& e) {
                refused = contains(e.what(), "kqueue");
            }
            EXPECT(refused);
            ::setenv("SLUICE_DRIVER", "", 1);
            EXPECT(works(with(1, driver_kind::epoll), "epoll", "as asked for"));
        },
        {"SLUICE_DRIVER=kqueue"});
}

TEST_CASE("driver: eight workers start where little memory may be locked") {
    if (::geteuid() != 0) {
        WARN("skipped: needs root");
        return;
    }
    in_child([] {
        constexpr rlim_t little = 64 << 10;
        constexpr uid_t nobody = 65534;
        const rlimit limit{little, little};
        if (!EXPECT(::setrlimit(RLIMIT_MEMLOCK, &limit) == 0)) return;
        if (!EXPECT(::setgid(nobody) == 0 && ::setuid(nobody) == 0)) return;
        ::prctl(PR_SET_DUMPABLE, 1);  // sanitizers read /proc/self
        for (int i = 0; i != 3; ++i) {
            sluice::runtime rt(with(8, driver_kind::automatic));
            rt.block_on(do_everything);
            const sluice::runtime_stats s = rt.stats();
            EXPECT(s.workers == 8);
            // Rings that do not fit are no reason to fail; kernels differ in what they count.
            EXPECT(s.driver == "io_uring" || contains(s.driver_reason, "io_uring is refused"));
        }
    });
}

TEST_CASE("driver: a runtime that cannot have its descriptors throws and leaves none open") {
    if (sanitized) {
        // UBSan reads each object's vptr through a pipe, and calls it invalid where it gets none.
        WARN("skipped: needs a build without sanitizers");
        return;
    }
    for (const driver_kind driver : drivers()) {
        for (const unsigned workers : {1u, 2u}) {
            const auto before = open_descriptors();
            int failures = 0;
            // One more may be opened each time, until it starts.
            for (int spare = 0; spare != 64; ++spare) {
                std::exception_ptr thrown;  // looked at later: sanitizers need descriptors for that
                {
                    famine none_left;
                    for (int i = 0; i != spare; ++i) none_left.spare_one();
                    try {
                        sluice::runtime rt(with(workers, driver));
                    } catch (...) {
                        thrown = std::current_exception();
                    }
                }
                if (thrown == nullptr) break;
                const std::error_code e = sluice::failure(thrown).code();
                CHECK(is(e, std::errc::too_many_files_open));
                ++failures;
            }
            CHECK(failures > 0);
            CHECK(failures < 64);
            CHECK(open_descriptors() == before);
        }
    }
}

TEST_CASE("listen_tcp: where there is no IPv6 every address means IPv4") {
    in_child([] {
        if (!EXPECT(deny_family(AF_INET6, EAFNOSUPPORT))) return;
        for (const unsigned workers : {1u, 2u}) {
            sluice::runtime rt(with(workers, driver_kind::automatic));
            rt.block_on([]() -> task<> {
                for (const char* text : {":0", "*:0", "[::]:0"}) {
                    const tcp_listener l = listener(text);
                    const auto at = l.local_address().value();
                    EXPECT(at.family() == AF_INET);
                    const std::string to = "127.0.0.1:" + std::to_string(at.port());
                    const auto conn = co_await sluice::io::connect_tcp(to);
                    EXPECT(conn.has_value());
                }
                EXPECT(failed_with(sluice::io::listen_tcp("[::1]:0"),
                                   std::errc::address_family_not_supported));
                const auto conn = co_await sluice::io::connect_tcp("[::1]:80");
                EXPECT(failed_with(conn, std::errc::address_family_not_supported));
            });
        }
    });
}
