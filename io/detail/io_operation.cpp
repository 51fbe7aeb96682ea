#include <sluice/io/detail/io_operation.hpp>

namespace sluice::io::detail {

// Gate held. True: there is an outcome.
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

void io_leaf::retract() noexcept {
    if (descriptor_ == nullptr) return;
    const std::lock_guard guard(descriptor_->gate());
    if (!linked()) return;
    unlink();
    descriptor_->stepped_out(*this);
}

bool io_leaf::try_at_once() noexcept {
    const std::lock_guard guard(descriptor_->gate());
    return descriptor_->worth_trying(side_) && try_now();
}

bool io_leaf::finish() noexcept {
    if (complete_) return true;
    const std::lock_guard guard(descriptor_->gate());
    return try_now();
}

}  // namespace sluice::io::detail
