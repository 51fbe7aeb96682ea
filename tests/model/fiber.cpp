#include "fiber.hpp"

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "sanitizers.hpp"

#if defined(MODEL_ASAN)
#include <pthread.h>
#endif

#if defined(__x86_64__)
// swapcontext() would save the signal mask by a system call each time.
extern "C" void sluice_model_switch(void** from, void* to);
asm(R"(
.text
.globl sluice_model_switch
.type sluice_model_switch, @function
sluice_model_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size sluice_model_switch, .-sluice_model_switch
)");
#endif

namespace sluice::model {

namespace {

fiber* entering = nullptr;  // the fiber that is switched to

}  // namespace

fiber::fiber() {
#if defined(MODEL_ASAN)
    pthread_attr_t attributes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &bottom_, &size_);
    pthread_attr_destroy(&attributes);
#elif defined(MODEL_TSAN)
    sanitizer_ = __tsan_get_current_fiber();
#endif
}

fiber::fiber(std::size_t stack_size)
    : memory_(new std::byte[stack_size]), bottom_(memory_.get()), size_(stack_size) {
#if defined(MODEL_TSAN)
    sanitizer_ = __tsan_create_fiber(0);
#endif
}

fiber::~fiber() {
#if defined(MODEL_TSAN)
    if (memory_) __tsan_destroy_fiber(sanitizer_);
#endif
}

void fiber::prepare(std::function<void()> body) {
    body_ = std::move(body);
#if defined(MODEL_ASAN)
    __asan_unpoison_memory_region(bottom_, size_);
    sanitizer_ = nullptr;
#elif defined(MODEL_TSAN)
    __tsan_destroy_fiber(sanitizer_);
    sanitizer_ = __tsan_create_fiber(0);
#endif
#if defined(__x86_64__)
    // Six registers, the address to return to, and a null return address for enter(), whose stack
    // pointer is then 8 below a multiple of 16, as after a call.
    auto top = reinterpret_cast<std::uintptr_t>(memory_.get() + size_) & ~std::uintptr_t{15};
    auto* slots = reinterpret_cast<void**>(top) - 10;
    for (int i = 0; i != 10; ++i) slots[i] = nullptr;
    slots[6] = reinterpret_cast<void*>(&fiber::enter);
    stack_pointer_ = slots;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = bottom_;
    context_.uc_stack.ss_size = size_;
    context_.uc_link = nullptr;
    makecontext(&context_, &fiber::enter, 0);
#endif
}

void fiber::enter() {
#if defined(MODEL_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    entering->body_();
    std::abort();
}

void fiber::switch_between(fiber& from, fiber& to, bool for_good) {
    static_cast<void>(for_good);
    entering = &to;
#if defined(MODEL_ASAN)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from.sanitizer_, to.bottom_, to.size_);
#elif defined(MODEL_TSAN)
    __tsan_switch_to_fiber(to.sanitizer_, 0);
#endif
#if defined(__x86_64__)
    sluice_model_switch(&from.stack_pointer_, to.stack_pointer_);
#else
    swapcontext(&from.context_, &to.context_);
#endif
#if defined(MODEL_ASAN)
    __sanitizer_finish_switch_fiber(from.sanitizer_, nullptr, nullptr);
#endif
}

}  // namespace sluice::model
