#include <sluice/runtime/context.hpp>

#include <algorithm>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice {

using detail::canceller;
using detail::context_node;

namespace {

std::int64_t deadline_of(const context& c) noexcept {
    return c.node() == nullptr ? context_node::no_deadline : c.node()->deadline();
}

template <class CancelFunction>
std::pair<context, CancelFunction> cancellable(const context& parent) {
    auto* const node =
        detail::below(parent, detail::make_pooled<canceller>(parent.node(), deadline_of(parent)));
    node->attach();
    return std::pair<context, CancelFunction>(node, node);
}

std::pair<context, cancel_function> expiring(const context& parent, std::int64_t at,
                                             std::int64_t now, failure cause) {
    at = std::min(at, context_node::no_deadline - 1);
    if (deadline_of(parent) < at) return cancellable<cancel_function>(parent);
    detail::worker& here = detail::require_worker("a context with a deadline");
    auto* const node = detail::below(parent, detail::make_pooled<detail::deadline_canceller>(
                                                 parent.node(), at, std::move(cause)));
    std::pair<context, cancel_function> made(node, node);
    const bool expired = at <= now;
    // The timer comes first: it must be in place before the parent can end this context.
    if (!expired) node->start_timer(here.timers());
    node->attach();
    if (expired) node->expire();
    return made;
}

}  // namespace

void detail::cancel_handle::end(const failure& cause) const noexcept {
    canceller* const c = canceller_;
    if (c == nullptr || c->ended()) return;
    c->ref();  // whoever learns of the end may let go of this handle
    c->cancel(errc::canceled, cause);
    c->unref();
}

void detail::cancel_handle::let_go() noexcept {
    canceller_->cancel(errc::canceled, {});
    canceller_->unref();
}

std::error_code context::err() const noexcept {
    const canceller* const c = nearest();
    return c == nullptr ? std::error_code() : c->error();
}

failure context::cause() const {
    const canceller* const c = nearest();
    return c != nullptr && c->ended() ? c->cause() : failure();
}

std::optional<context::clock::time_point> context::deadline() const noexcept {
    const std::int64_t at = deadline_of(*this);
    if (at == context_node::no_deadline) return std::nullopt;
    return detail::to_time_point(at);
}

const void* context::find(const void* key) const noexcept {
    for (const context_node* n = node_; n != nullptr; n = n->parent()) {
        if (n->has(key)) return n->own_value();
    }
    return nullptr;
}

std::pair<context, cancel_function> with_cancel(const context& parent) {
    return cancellable<cancel_function>(parent);
}

std::pair<context, cancel_cause_function> with_cancel_cause(const context& parent) {
    return cancellable<cancel_cause_function>(parent);
}

std::pair<context, cancel_function> with_deadline(const context& parent,
                                                  context::clock::time_point at) {
    return with_deadline_cause(parent, at, {});
}

std::pair<context, cancel_function> with_deadline_cause(const context& parent,
                                                        context::clock::time_point at,
                                                        failure cause) {
    return expiring(parent, detail::to_nanoseconds(at), detail::now(), std::move(cause));
}

std::pair<context, cancel_function> detail::expiring_after(const context& parent,
                                                           std::int64_t nanoseconds,
                                                           failure cause) {
    const std::int64_t now = detail::now();
    std::int64_t at = 0;
    if (__builtin_add_overflow(now, nanoseconds, &at)) at = context_node::no_deadline;
    return expiring(parent, at, now, std::move(cause));
}

context without_cancel(const context& parent) {
    return context(detail::below(parent, detail::make_pooled<detail::plain_node>(parent.node())));
}

stop_function detail::register_after(canceller* of, scheduler& here, task<> body) {
    auto* const registration = make_pooled<after_registration>(std::move(body), here.id());
    registration->attach(of);
    return stop_function(registration);
}

}  // namespace sluice
