#pragma once

// A stack to run a function on, and the switch between stacks. All fibers are on one OS thread.

#include <cstddef>
#include <functional>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace sluice::model {

class fiber {
public:
    /// The caller's own stack.
    fiber();
    explicit fiber(std::size_t stack_size);
    fiber(const fiber&) = delete;
    ~fiber();

    /// The next switch to this fiber calls `body`, which must not return. What ran on this stack
    /// before is abandoned where it stands.
    void prepare(std::function<void()> body);

    /// `for_good`: nothing will switch back to `from` before its next prepare().
    static void switch_between(fiber& from, fiber& to, bool for_good = false);

private:
    static void enter();

    std::unique_ptr<std::byte[]> memory_;  // none: the caller's own stack
    void* bottom_ = nullptr;               // needed by switches and by ASan
    std::size_t size_ = 0;
    std::function<void()> body_;
    [[maybe_unused]] void* sanitizer_ = nullptr;  // ASan: its second stack; TSan: its fiber
#if defined(__x86_64__)
    void* stack_pointer_ = nullptr;
#else
    ucontext_t context_{};
#endif
};

}  // namespace sluice::model
