#include <sluice/runtime/detail/context_core.hpp>

#include <mutex>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/spawn.hpp>

namespace sluice::detail {

const void* context_node::own_value() const noexcept {
    return nullptr;
}

bool context_node::try_ref() noexcept {
    std::uint32_t n = refs_.load(relaxed);
    while (n != 0) {
        if (refs_.compare_exchange_weak(n, n + 1, relaxed, relaxed)) return true;
    }
    return false;
}

void context_node::unref() noexcept {
    context_node* node = this;
    // acq_rel: all uses of a node come before its end. A loop, for chains of any length.
    while (node != nullptr && node->refs_.fetch_sub(1, acq_rel) == 1) {
        context_node* const parent = node->parent_;
        node->~context_node();
        frame_pool::deallocate(node);  // context_node is the first base of every node
        node = parent;
    }
}

[[gnu::noinline]] bool done_leaf::try_commit() noexcept {
    if (of_ == nullptr || !of_->ended()) return false;
    this_threads_worker->spend();
    return true;
}

canceller::~canceller() {
    if (!ended()) leave_parent();
}

void canceller::attach() noexcept {
    canceller* const above = parent_ == nullptr ? nullptr : parent_->nearest();
    if (above == nullptr) return;
    if (above->adopt(*this)) {
        // Its time may have come already, on another worker, which then found nothing to leave. The
        // parent's gate orders the two.
        if (ended()) leave_parent();
        return;
    }
    dependents none;
    end(static_cast<errc>(above->error_.load(acquire)), above->cause_, none);
}

bool canceller::adopt(dependent& d) noexcept {
    const std::lock_guard guard(gate_);
    if (error_.load(relaxed) != 0) return false;
    d.insert_before(dependents_);
    return true;
}

void canceller::disown(dependent& d) noexcept {
    const std::lock_guard guard(gate_);
    if (d.linked()) d.unlink();
}

void canceller::leave_parent() noexcept {
    canceller* const above = parent_ == nullptr ? nullptr : parent_->nearest();
    if (above != nullptr) above->disown(*this);
}

std::error_code canceller::error() const noexcept {
    const auto e = static_cast<errc>(error_.load(acquire));
    return e == errc{} ? std::error_code() : make_error_code(e);
}

void canceller::cancel(errc error, const failure& cause) noexcept {
    if (ended()) return;
    const failure known = cause ? cause : failure(error);
    dependents pending;
    end(error, known, pending);
    while (dependent* const d = pending.pop()) d->parent_done(error, known, pending);
    leave_parent();
}

void canceller::parent_done(errc error, const failure& cause, dependents& pending) noexcept {
    end(error, cause, pending);
    unref();
}

void canceller::end(errc error, const failure& cause, dependents& pending) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (error_.load(relaxed) != 0) return;
        cause_ = cause;
        error_.store(static_cast<std::uint8_t>(error), release);
        claim_all(waiters_, wakes, [](leaf&) {});
        while (dependents_.linked()) {
            auto& d = static_cast<dependent&>(*dependents_.next);
            d.unlink();
            if (d.hold()) pending.push(d);
        }
    }
    wakes.wake_all();
    stop_timer();
}

deadline_canceller::deadline_canceller(context_node* parent, std::int64_t deadline,
                                       failure cause) noexcept
    : canceller(parent, deadline), timer_(this), deadline_cause_(std::move(cause)) {
    expiry_.resume = &run_expiry;
    expiry_.destroy = &action_mark;
    expiry_.self = this;
}

void deadline_canceller::start_timer(timer_queue& queue) {
    queue.start(timer_, deadline_);
}

void deadline_canceller::stop_timer() noexcept {
    timer_.leave_queue();
}

void deadline_canceller::expire() noexcept {
    cancel(errc::deadline_exceeded, deadline_cause_);
}

runnable* deadline_canceller::expired(timer_node& node, wake_list&) noexcept {
    deadline_canceller* const self = static_cast<timer&>(node).self;
    return self->try_ref() ? &self->expiry_ : nullptr;
}

void deadline_canceller::run_expiry(void* action) {
    deadline_canceller* const self = static_cast<expiry*>(static_cast<runnable*>(action))->self;
    self->expire();
    self->unref();
}

after_registration::after_registration(task<> body, std::uint32_t runtime_id) noexcept
    : runtime_id_(runtime_id), body_(std::move(body)) {}

void after_registration::attach(canceller* to) noexcept {
    if (to == nullptr) return;  // a context that never ends
    to->ref();
    parent_ = to;
    ref();
    if (to->adopt(*this)) return;
    start();
    unref();
}

bool after_registration::leave_waiting(state to) noexcept {
    state expected = state::waiting;
    return state_.compare_exchange_strong(expected, to, acq_rel, acquire);
}

void after_registration::start() noexcept {
    if (!leave_waiting(state::started)) return;
    scheduler* const home = scheduler::find_and_pin(runtime_id_);
    task<> body = std::move(body_);
    if (home == nullptr) return;  // its runtime has ended: nothing can run there
    start_detached(*home, std::move(body));
    home->unpin();  // before a body that was refused ends: it may hold that runtime's last share
}

void after_registration::parent_done(errc, const failure&, dependents&) noexcept {
    start();
    unref();
}

bool after_registration::stop() noexcept {
    if (!leave_waiting(state::stopped)) return false;
    task<> body = std::move(body_);
    auto* const above = parent_ == nullptr ? nullptr : parent_->nearest();
    bool was_listed = false;
    if (above != nullptr) {
        const std::lock_guard guard(above->gate());
        was_listed = linked();
        if (was_listed) unlink();
    }
    if (was_listed) unref();
    return true;
}

void after_registration::unref() noexcept {
    if (refs_.fetch_sub(1, acq_rel) != 1) return;
    if (parent_ != nullptr) parent_->unref();
    destroy_pooled(this);
}

}  // namespace sluice::detail
