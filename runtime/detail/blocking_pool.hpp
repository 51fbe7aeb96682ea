// The threads behind blocking(): one pool for the process, grown on demand, shrunk after ten idle
// seconds.
#pragma once

#include <cstdint>
#include <memory>

namespace sluice::detail {

class scheduler;

/// A call, from its submission to its end. It holds its runtime open against a false deadlock.
class blocking_job {
public:
    explicit blocking_job(scheduler& from) noexcept;
    blocking_job(const blocking_job&) = delete;
    blocking_job& operator=(const blocking_job&) = delete;
    virtual ~blocking_job();
    virtual void run() noexcept = 0;

private:
    const std::uint32_t runtime_id_;
};

/// Hands the job to an idle thread, or to a new one; throws std::system_error when there is
/// neither. In a simulation it runs at once.
void submit_blocking(std::unique_ptr<blocking_job> job);

}  // namespace sluice::detail
