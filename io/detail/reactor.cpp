#include <sluice/io/detail/reactor.hpp>

#include <mutex>
#include <utility>

#include <sluice/io/detail/descriptor.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::io::detail {

reactor::~reactor() = default;

bool reactor::of_this_thread() const noexcept {
    sluice::detail::worker* const here = sluice::detail::current_worker();
    return here != nullptr && &here->io() == this;
}

void reactor::add_to_list(registration& r) noexcept {
    const std::lock_guard guard(list_lock_);
    r.insert_before(list_);
}

void reactor::end(registration& r) noexcept {
    {
        const std::lock_guard guard(list_lock_);
        r.unlink();
    }
    r.of.ended(r);
}

void reactor::end_all() noexcept {
    for (;;) {
        registration* r = nullptr;
        {
            const std::lock_guard guard(list_lock_);
            if (!list_.linked()) return;
            r = static_cast<registration*>(list_.next);
            r->unlink();
        }
        r->of.ended(*r);
    }
}

void stop_inbox::push(registration& r) noexcept {
    if (r.in_inbox.exchange(true, sluice::detail::acq_rel)) return;
    r.of.ref();
    const std::lock_guard guard(lock_);
    r.inbox_next = std::exchange(first_, &r);
    full_.store(true, sluice::detail::release);
}

registration* stop_inbox::take() noexcept {
    const std::lock_guard guard(lock_);
    full_.store(false, sluice::detail::relaxed);
    return std::exchange(first_, nullptr);
}

void stop_inbox::release(registration& r) noexcept {
    r.of.unref();
}

}  // namespace sluice::io::detail
