#include <sluice/io/detail/io_operation.hpp>

#include <utility>

namespace sluice::io::detail {

using sluice::detail::runnable;
using sluice::detail::sole_start;

bool io_leaf::try_now() noexcept {
    const int error = descriptor_->closed() ? EBADF : attempt();
    if (error == EAGAIN) {
        descriptor_->would_block(side_);
        return false;
    }
    error_ = error;
    complete_ = true;
    return true;
}

bool io_leaf::ready() noexcept {
    if (descriptor_->closed() || descriptor_->ready(side_)) return true;
    const int error = watch();
    if (error == 0) return false;
    error_ = error;
    complete_ = true;
    return true;
}

bool io_leaf::commit(sluice::detail::wake_list&) noexcept {
    if (complete_) return true;
    return descriptor_->worth_trying(side_) && try_now();
}

// Gate held. False: there is an outcome.
bool io_leaf::must_wait() noexcept {
    if (descriptor_->worth_trying(side_) && try_now()) return false;
    return !ready();
}

sole_start io_leaf::begin() noexcept {
    descriptor_->gate().lock();
    if (must_wait()) return sole_start::held;
    descriptor_->gate().unlock();
    return sluice::detail::spend_budget() ? sole_start::done : sole_start::spent;
}

void io_leaf::start_over() noexcept {
    restart_.resume = &begin_again;
    restart_.of = this;
    restart_.frame = std::exchange(owner, &restart_);
}

void io_leaf::begin_again(void* self) {
    auto& again = *static_cast<restart*>(static_cast<runnable*>(self));
    io_leaf& l = *again.of;
    l.owner = again.frame;
    sluice::detail::spin_lock& gate = l.descriptor_->gate();
    gate.lock();
    const bool waits = l.must_wait();
    if (waits) l.enlist();
    gate.unlock();
    if (!waits) again.frame->run();
}

void io_leaf::retract() noexcept {
    if (descriptor_ == nullptr) return;
    const std::lock_guard guard(descriptor_->gate());
    if (!linked()) return;
    unlink();
    descriptor_->stepped_out(*this);
}

bool io_leaf::finish() noexcept {
    if (complete_) return true;
    const std::lock_guard guard(descriptor_->gate());
    return try_now();
}

}  // namespace sluice::io::detail
