// What a worker sleeps in. The runtime parks through this interface and knows nothing of the
// kernel's; io/ implements it (io_uring, epoll) and defines make_driver().
#pragma once

#include <climits>
#include <cstdint>
#include <memory>
#include <string>

namespace sluice {

/// Which kernel interface the workers wait in.
enum class driver_kind : std::uint8_t {
    automatic,  // io_uring where it is allowed, else epoll
    uring,
    epoll,
};

namespace detail {

/// One per worker. wake() may be called by any thread, poll() by any worker of the runtime, the
/// rest by its worker only.
class driver {
public:
    static constexpr std::int64_t no_deadline = INT64_MAX;
    static constexpr unsigned all = UINT_MAX;

    driver() = default;
    driver(const driver&) = delete;
    driver& operator=(const driver&) = delete;
    virtual ~driver() = default;

    /// The calling thread is the worker's from now on. Called once, before anything else but
    /// wake().
    virtual void begin() noexcept = 0;

    /// The worker is about to leave its thread, which becomes what it was before begin().
    virtual void finish() noexcept = 0;

    /// The worker has been in one task for long: makes sure that other workers' poll() finds its
    /// I/O. The monitor's thread.
    virtual void nudge() noexcept = 0;

    /// Readies the tasks whose I/O is there, on the calling worker; about `most` of them, if the
    /// rest can be had later without another call to the kernel. Does not wait. True: something
    /// was readied.
    virtual bool poll(unsigned most = all) noexcept = 0;

    /// Hands collected requests to the kernel. Cheap when there are none.
    virtual void submit() noexcept = 0;

    /// Sleeps until I/O is there, wake() is called, or now() reaches `deadline`. Readies nothing:
    /// poll() does, when the worker is no longer counted as idle.
    virtual void park(std::int64_t deadline) noexcept = 0;

    /// Ends the present or else the next park().
    virtual void wake() noexcept = 0;
};

struct driver_choice {
    driver_kind kind;
    std::string reason;  // why this one: the first refusal, or what was asked for
};

/// Probes the kernel. Throws std::system_error when `wanted` was named explicitly and is refused.
driver_choice choose_driver(driver_kind wanted);

/// Throws std::system_error, for example for want of descriptors or locked memory.
std::unique_ptr<driver> make_driver(driver_kind kind);

}  // namespace detail
}  // namespace sluice
