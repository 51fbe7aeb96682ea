#include <sluice/runtime/detail/environment.hpp>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <sched.h>

namespace sluice::detail {

namespace {

constexpr unsigned most_workers = 1024;

unsigned allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0)
        return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
    return std::max(1u, std::thread::hardware_concurrency());  // more CPUs than cpu_set_t holds
}

// The quota of cgroup v2, "max 100000" or "150000 100000" (microseconds each period), rounded up;
// 0: none.
unsigned cgroup_cpus() {
    std::ifstream file("/sys/fs/cgroup/cpu.max");
    std::string quota;
    long period = 0;
    if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
    long microseconds = 0;
    std::from_chars(quota.data(), quota.data() + quota.size(), microseconds);
    return microseconds <= 0 ? 0 : static_cast<unsigned>((microseconds + period - 1) / period);
}

}  // namespace

unsigned workers_from_environment(unsigned asked) {
    asked = number_from_environment("SLUICE_WORKERS", 1u).value_or(asked);
    if (asked > most_workers)
        throw std::invalid_argument("sluice: more than 1024 workers were asked for");
    if (asked != 0) return asked;
    const unsigned allowed = allowed_cpus();
    const unsigned quota = cgroup_cpus();
    return quota == 0 ? allowed : std::min(allowed, quota);
}

driver_kind driver_from_environment(driver_kind asked) {
    const auto text = text_from_environment("SLUICE_DRIVER");
    if (!text) return asked;
    const std::string_view s = *text;
    if (s == "uring") return driver_kind::uring;
    if (s == "epoll") return driver_kind::epoll;
    throw std::invalid_argument("sluice: SLUICE_DRIVER is \"" + std::string(s) +
                                "\", neither uring nor epoll");
}

}  // namespace sluice::detail
