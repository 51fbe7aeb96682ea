#include <sluice/runtime/spawn.hpp>

#include <cstdio>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/misuse.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/result.hpp>

namespace sluice {

std::size_t num_tasks() {
    return static_cast<std::size_t>(detail::require_worker("num_tasks()").owner().num_tasks());
}

namespace detail {

namespace {

constinit thread_local bool cutting = false;  // a cut_scope lives

std::string message_of(const std::exception_ptr& e) {
    try {
        std::rethrow_exception(e);
    } catch (const std::exception& known) {
        return known.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

}  // namespace

[[gnu::noinline]] bool start_detached(scheduler& in, task<>&& t) noexcept {
    if (!in.submit(runnable::from_frame(t.frame()))) return false;
    static_cast<void>(t.release());
    return true;
}

[[gnu::noinline]] void start_here(const char* what, task<> t) {
    worker* const here = this_threads_worker;
    if (here == nullptr) [[unlikely]]
        require_worker(what);
    here->owner().start(runnable::from_frame(t.release()), *here);
}

[[gnu::noinline]] scheduler& scheduler_here(const char* what) {
    return require_worker(what).owner();
}

void die_of_detached_exception(const promise_base& promise) noexcept {
    const std::exception_ptr e = std::current_exception();
    std::fprintf(stderr, "sluice: an exception left the detached task %s (%s:%u): %s\n",
                 promise.origin.function_name(), promise.origin.file_name(),
                 static_cast<unsigned>(promise.origin.line()),
                 (message_of(e) + how_to_repeat()).c_str());
    std::terminate();
}

void unjoined_exception(const std::exception_ptr& e, std::source_location origin) noexcept {
    std::fprintf(stderr, "sluice: an exception left the spawned task %s (%s:%u), which %s: %s\n",
                 origin.function_name(), origin.file_name(), static_cast<unsigned>(origin.line()),
                 cutting ? "was not joined before its runtime ended" : "nobody joined",
                 (message_of(e) + how_to_repeat()).c_str());
    if (!cutting) std::terminate();
}

cut_scope::cut_scope() noexcept : outer_(std::exchange(cutting, true)) {}

cut_scope::~cut_scope() {
    cutting = outer_;
}

std::exception_ptr cut_exception() noexcept {
    return std::make_exception_ptr(std::system_error(
        make_error_code(errc::canceled), "the runtime shut down before the task ended"));
}

void join_core::complete() noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        done_.store(1, release);
        claim_all(waiters_, wakes, [](leaf&) {});
    }
    done_.notify_all();
    wakes.wake_all();
}

void join_core::wait_from_outside() const {
    if (done()) return;
    if (current_worker() != nullptr) {
        throw std::logic_error(
            "sluice: join_handle::get() would block a worker; use co_await handle.join()");
    }
    while (!done()) done_.wait(0, acquire);
}

}  // namespace detail
}  // namespace sluice
