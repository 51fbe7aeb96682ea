#include <sluice/runtime/detail/timer_queue.hpp>

#include <algorithm>
#include <mutex>
#include <utility>

namespace sluice::detail {

namespace {
constinit spin_lock all_queues_lock{lock_rank::all_timer_queues};
constinit timer_queue* all_queues = nullptr;
}  // namespace

timer_queue& timer_queue::lease() {
    {
        const std::lock_guard guard(all_queues_lock);
        for (timer_queue* q = all_queues; q != nullptr; q = q->next_) {
            if (!std::exchange(q->leased_, true)) return *q;
        }
    }
    auto* const fresh = new timer_queue;
    const std::lock_guard guard(all_queues_lock);
    fresh->next_ = std::exchange(all_queues, fresh);
    return *fresh;
}

void timer_queue::forget_all() noexcept {
    const std::lock_guard guard(gate_);
    for (const entry& e : heap_) e.node->position = timer_node::out;
    heap_.clear();
    publish_earliest();
}

void timer_queue::give_back() noexcept {
    forget_all();
    const std::lock_guard guard(all_queues_lock);
    leased_ = false;
}

void timer_queue::place(std::uint32_t i, entry e) noexcept {
    heap_[i] = e;
    e.node->position = i;
}

void timer_queue::sift_up(std::uint32_t i, entry e) noexcept {
    while (i != 0) {
        const std::uint32_t parent = (i - 1) / arity;
        if (heap_[parent].when <= e.when) break;
        place(i, heap_[parent]);
        i = parent;
    }
    place(i, e);
}

void timer_queue::sift_down(std::uint32_t i, entry e) noexcept {
    const auto size = static_cast<std::uint32_t>(heap_.size());
    for (;;) {
        const std::uint32_t first = i * arity + 1;
        if (first >= size) break;
        const std::uint32_t end = std::min(first + arity, size);
        std::uint32_t least = first;
        for (std::uint32_t c = first + 1; c < end; ++c) {
            if (heap_[c].when < heap_[least].when) least = c;
        }
        if (heap_[least].when >= e.when) break;
        place(i, heap_[least]);
        i = least;
    }
    place(i, e);
}

void timer_queue::publish_earliest() noexcept {
    earliest_.store(heap_.empty() ? never : heap_.front().when, relaxed);
}

void timer_queue::add(timer_node& node) {
    heap_.push_back({node.when, &node});
    if (node.queue != this)
        node.queue = this;  // a ticker re-adds itself while others may read this
    sift_up(static_cast<std::uint32_t>(heap_.size() - 1), heap_.back());
    publish_earliest();
}

void timer_queue::remove(timer_node& node) noexcept {
    const std::uint32_t hole = node.position;
    const entry moved = heap_.back();
    heap_.pop_back();
    if (hole != heap_.size()) {
        if (hole != 0 && moved.when < heap_[(hole - 1) / arity].when) {
            sift_up(hole, moved);
        } else {
            sift_down(hole, moved);
        }
    }
    node.position = timer_node::out;
}

// Gate held.
runnable* timer_queue::run_one(timer_node& node, wake_list& wakes) noexcept {
    remove(node);
    runnable* const r = node.expired(node, wakes);
    publish_earliest();
    return r;
}

void timer_queue::run_if_due(timer_node& node, std::int64_t time) noexcept {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (node.position == timer_node::out || node.when > time) return;
        run_one(node, wakes);
    }
    wakes.wake_all();
}

bool timer_queue::attended() noexcept {
    const std::lock_guard guard(gate_);
    return std::any_of(heap_.begin(), heap_.end(),
                       [](const entry& e) { return !e.node->unattended.load(relaxed); });
}

bool timer_queue::cancel(timer_node& node) noexcept {
    const std::lock_guard guard(gate_);
    if (node.position == timer_node::out) return false;
    remove(node);
    publish_earliest();
    return true;
}

}  // namespace sluice::detail
