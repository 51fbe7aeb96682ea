#include <sluice/runtime/options.hpp>

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include <sched.h>

#include <sluice/runtime/run.hpp>
#include <sluice/runtime/runtime.hpp>

#include "child.hpp"
#include "support.hpp"

using sluice::task;

namespace {

/// What a runtime with these options says about itself, on stderr.
void print_stats(sluice::options o) {
    try {
        sluice::run(o, []() -> task<> {
            const sluice::runtime_stats s = sluice::stats();
            std::fprintf(stderr, "workers=%u driver=%s reason=%s\n", s.workers, s.driver.c_str(),
                         s.driver_reason.c_str());
            co_return;
        });
    } catch (const std::exception& e) {
        std::fprintf(stderr, "refused: %s\n", e.what());
    }
}

bool says(const child_end& end, const std::string& text) {
    INFO(end.errors);
    CHECK(end.exited());
    return end.errors.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("options: a runtime has as many workers as were asked for") {
    for (const unsigned n : {1u, 2u, 3u, 8u}) {
        const sluice::runtime rt(with_workers(n));
        CHECK(rt.stats().workers == n);
    }
}

TEST_CASE("options: without a number there are no more workers than CPUs in the affinity mask") {
    const child_end end = run_child([] {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(::sched_getcpu(), &one);
        ::sched_setaffinity(0, sizeof one, &one);
        print_stats({});
    });
    CHECK(says(end, "workers=1 "));
}

TEST_CASE("options: more than 1024 workers are refused") {
    CHECK_THROWS_WITH(sluice::runtime(with_workers(1025)),
                      Catch::Matchers::ContainsSubstring("more than 1024 workers"));
}

TEST_CASE("options: the epoll driver can be named") {
    sluice::options o = with_workers(1);
    o.driver = sluice::driver_kind::epoll;
    const child_end end = run_child([o] { print_stats(o); });
    CHECK(says(end, "driver=epoll reason=as asked for"));
}

TEST_CASE("environment: SLUICE_WORKERS overrides the options") {
    const child_end end = run_child([] { print_stats(with_workers(1)); }, {"SLUICE_WORKERS=3"});
    CHECK(says(end, "workers=3 "));
}

TEST_CASE("environment: SLUICE_WORKERS that is not a number is a clear error") {
    const child_end end = run_child([] { print_stats({}); }, {"SLUICE_WORKERS=two"});
    CHECK(says(end, "refused: sluice: SLUICE_WORKERS is \"two\", not a number from 1 up"));
}

TEST_CASE("environment: SLUICE_WORKERS of zero is a clear error") {
    const child_end end = run_child([] { print_stats({}); }, {"SLUICE_WORKERS=0"});
    CHECK(says(end, "refused: sluice: SLUICE_WORKERS is \"0\""));
}

TEST_CASE("environment: SLUICE_WORKERS with a sign, a fraction or a unit is a clear error") {
    const child_end end = run_child([] {
        for (const char* text : {"-1", "1.5", "2x", "99999999999999999999", " 2"}) {
            ::setenv("SLUICE_WORKERS", text, 1);
            print_stats({});
        }
    });
    CHECK(says(end, "SLUICE_WORKERS is \"-1\""));
    CHECK(says(end, "SLUICE_WORKERS is \"1.5\""));
    CHECK(says(end, "SLUICE_WORKERS is \"2x\""));
    CHECK(says(end, "SLUICE_WORKERS is \"99999999999999999999\""));
    CHECK(says(end, "SLUICE_WORKERS is \" 2\""));
    CHECK_FALSE(says(end, "workers="));
}

TEST_CASE("environment: SLUICE_WORKERS beyond the most that is allowed is a clear error") {
    const child_end end = run_child([] { print_stats({}); }, {"SLUICE_WORKERS=4000"});
    CHECK(says(end, "refused: sluice: more than 1024 workers"));
}

TEST_CASE("environment: empty variables count as unset") {
    const child_end end =
        run_child([] { print_stats(with_workers(2)); }, {"SLUICE_WORKERS=", "SLUICE_DRIVER="});
    CHECK(says(end, "workers=2 "));
}

TEST_CASE("environment: SLUICE_DRIVER overrides the options") {
    sluice::options o = with_workers(1);
    o.driver = sluice::driver_kind::uring;
    const child_end end = run_child([o] { print_stats(o); }, {"SLUICE_DRIVER=epoll"});
    CHECK(says(end, "driver=epoll "));
}

TEST_CASE("environment: an unknown SLUICE_DRIVER is a clear error") {
    const child_end end = run_child([] { print_stats({}); }, {"SLUICE_DRIVER=kqueue"});
    CHECK(says(end, "refused: sluice: SLUICE_DRIVER is \"kqueue\", neither uring nor epoll"));
}
