#include <sluice/runtime/detail/multi_wait.hpp>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::detail {

namespace {

bool rendezvous_at(leaf& l) noexcept {
    return l.rendezvous() && l.gate() != nullptr;
}

// The distinct gates of all rendezvous leaves, locked in address order for the length of its life.
class gate_set {
public:
    gate_set(leaf** leaves, std::uint32_t count, spin_lock** room) noexcept : gates_(room) {
        for (std::uint32_t i = 0; i != count; ++i) {
            if (!leaves[i]->rendezvous()) continue;
            if (spin_lock* const g = leaves[i]->gate()) gates_[size_++] = g;
        }
        if (size_ > 1) {
            std::sort(gates_, gates_ + size_);
            size_ = static_cast<std::uint32_t>(std::unique(gates_, gates_ + size_) - gates_);
        }
        for (std::uint32_t i = 0; i != size_; ++i) gates_[i]->lock();
    }
    gate_set(const gate_set&) = delete;
    gate_set& operator=(const gate_set&) = delete;
    ~gate_set() { unlock(); }

    void unlock() noexcept {
        for (std::uint32_t i = size_; i != 0; --i) gates_[i - 1]->unlock();
        size_ = 0;
    }

private:
    spin_lock** gates_;
    std::uint32_t size_ = 0;
};

}  // namespace

// Into `stack_room`, or for many leaves into the room behind them and the gates.
const std::uint32_t* multi_wait::draw_order(
    std::array<std::uint32_t, on_stack>& stack_room) noexcept {
    auto* const order = count_ <= on_stack
                            ? stack_room.data()
                            : reinterpret_cast<std::uint32_t*>(leaves_ + 2 * std::size_t{count_});
    if (choice_source* const chance = simulated_chance()) [[unlikely]]
        chance->begin_order();
    poll_order sink(order, this_threads_worker->random());
    behaviour_->order(*this, sink);
    return order;
}

template <class Visit>
bool multi_wait::poll(const std::uint32_t* order, Visit visit) noexcept {
    for (std::uint32_t k = 0; k != count_; ++k) {
        if (!visit(*leaves_[order[k]])) continue;
        state_.store(order[k], relaxed);
        return true;
    }
    return false;
}

bool multi_wait::attempt(leaf** leaves, std::uint32_t count, const behaviour& b) noexcept {
    leaves_ = leaves;
    count_ = count;
    behaviour_ = &b;
    // A winner that promised too much was asked once: it does not win again.
    std::array<std::uint32_t, on_stack> room;
    while (poll(draw_order(room), [](leaf& l) { return l.try_commit(); })) {
        if (b.finish(*this)) return true;
    }
    if (choice_source* const chance = simulated_chance()) [[unlikely]]
        chance->drawn_in_vain();
    return false;
}

bool multi_wait::start(runnable* frame, bool has_default) noexcept {
    has_default_ = has_default;
    frame_ = frame;
    active_ = true;
    do {
        if (wait_once()) return true;
    } while (winner() != nothing && !behaviour_->finish(*this));
    active_ = false;
    return false;
}

// Whether the order in which the leaves stand in line can matter.
bool multi_wait::shares_a_gate() const noexcept {
    for (std::uint32_t i = 0; i != count_; ++i) {
        for (std::uint32_t k = 0; k != i; ++k)
            if (leaves_[i]->gate() == leaves_[k]->gate()) return true;
    }
    return false;
}

void multi_wait::own_leaves() noexcept {
    scheduler* const home = &this_threads_worker->owner();
    for (std::uint32_t i = 0; i != count_; ++i) {
        leaves_[i]->owner = this;
        leaves_[i]->home = home;
        leaves_[i]->index = i;
        leaves_[i]->sole = false;
    }
}

// One round of phases 2 and 3. True: suspended.
bool multi_wait::wait_once() noexcept {
    std::array<spin_lock*, on_stack> stack_room;
    // Behind many leaves there is room for the gates, and behind that for the order.
    auto* const room =
        count_ <= on_stack ? stack_room.data() : reinterpret_cast<spin_lock**>(leaves_ + count_);
    std::array<std::uint32_t, on_stack> order_room;
    const std::uint32_t* const order = draw_order(order_room);
    wake_list wakes;
    {
        gate_set gates(leaves_, count_, room);
        const auto commit = [&wakes](leaf& l) {
            return rendezvous_at(l) ? l.commit(wakes) : l.try_commit();
        };
        if (poll(order, commit)) {
            gates.unlock();
            wakes.wake_all();
            return false;
        }
        if (has_default_) {
            state_.store(nothing, relaxed);
            return false;
        }
        regained_ = 0;
        own_leaves();
        state_.store(enlisting, relaxed);  // published by the gates' release
        // In that order too: of cases at one channel its counterpart takes the first in line.
        for (std::uint32_t k = 0; k != count_; ++k) {
            leaf& l = *leaves_[order[k]];
            if (rendezvous_at(l)) l.enlist();
        }
    }
    enlist_one_sided(order, wakes);
    if (choice_source* const chance = simulated_chance(); chance != nullptr && !shares_a_gate())
        [[unlikely]]
        chance->drawn_in_vain();
    give_up();
    std::uint32_t expected = enlisting;
    // release: pairs with the acquire in try_win(); the completer may ready the task from here on.
    if (state_.compare_exchange_strong(expected, parked, acq_rel, acquire)) return true;
    {
        const std::lock_guard settle(
            *leaves_[expected]->gate());  // the winner's completer has delivered
    }
    retire();
    wakes.wake_all();
    return !regain();
}

void multi_wait::enlist_one_sided(const std::uint32_t* order, wake_list& wakes) noexcept {
    for (std::uint32_t k = 0; k != count_; ++k) {
        const std::uint32_t i = order[k];
        leaf& l = *leaves_[i];
        spin_lock* const gate = l.gate();
        if (gate == nullptr || l.rendezvous()) continue;
        const std::lock_guard guard(*gate);
        if (state_.load(relaxed) != enlisting) return;
        if (!l.ready()) {
            l.enlist();
        } else if (try_win(i) == claim_result::early) {
            l.commit(wakes);
            return;
        }
    }
}

void multi_wait::give_up() noexcept {
    for (std::uint32_t i = 0; i != count_; ++i) {
        if (!leaves_[i]->regains) continue;
        if (state_.load(relaxed) != enlisting) return;
        leaves_[i]->give_up();
    }
}

void multi_wait::retire() noexcept {
    const std::uint32_t won = winner();
    for (std::uint32_t i = 0; i != count_; ++i) {
        if (i != won) leaves_[i]->retract();
    }
}

// False: a leaf readies this object later, perhaps already; then it goes on from there.
bool multi_wait::regain() noexcept {
    const std::uint32_t won = winner();
    while (regained_ != count_) {
        const std::uint32_t i = regained_++;
        if (leaves_[i]->regains && !leaves_[i]->regain(i != won)) return false;
    }
    return true;
}

const leaf* multi_wait::regaining() const noexcept {
    if (regained_ != 0) return leaves_[regained_ - 1];
    // acquire: pairs with the release in try_win(); who claims a leaf has unlinked it before.
    const std::uint32_t won = state_.load(acquire);
    return won < count_ && leaves_[won]->linked() ? leaves_[won] : nullptr;
}

// Runs on a worker, which has taken this object from its queue: a leaf has won, or got back what it
// gave up.
void multi_wait::resumed(void* self) {
    auto& wait = *static_cast<multi_wait*>(static_cast<runnable*>(self));
    if (wait.regained_ == 0) wait.retire();
    if (!wait.regain()) return;
    while (wait.winner() != nothing && !wait.behaviour_->finish(wait)) {
        if (wait.wait_once()) return;
    }
    wait.active_ = false;
    wait.frame_->run();
}

void multi_wait::abandon() noexcept {
    if (!std::exchange(active_, false) || count_ == 0) return;
    scheduler* const home = leaves_[0]->home;
    for (std::uint32_t i = 0; i != count_; ++i) leaves_[i]->retract();
    home->wait_until_unpinned();
}

}  // namespace sluice::detail
