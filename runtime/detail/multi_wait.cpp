#include <sluice/runtime/detail/multi_wait.hpp>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include <sluice/runtime/detail/scheduler.hpp>
#include <sluice/runtime/detail/worker.hpp>

namespace sluice::detail {

namespace {

leaf* with_index(leaf* const* leaves, std::uint32_t i) noexcept {
    while ((*leaves)->index != i) ++leaves;
    return *leaves;
}

// The distinct gates of all rendezvous leaves, locked in address order for the length of its life.
class gate_set {
public:
    gate_set(leaf** leaves, std::uint32_t count, spin_lock** room) noexcept : gates_(room) {
        for (std::uint32_t i = 0; i != count; ++i) {
            if (!leaves[i]->rendezvous) continue;
            if (spin_lock* const gate = leaves[i]->gate()) gates_[size_++] = gate;
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

[[gnu::noinline]] std::uint64_t order_fraction(std::uint32_t n) noexcept {
    return random_fraction(this_threads_worker->random(), n);
}

bool some_share_a_gate(leaf* const* leaves, std::uint32_t count) noexcept {
    for (std::uint32_t i = 1; i < count; ++i) {
        const spin_lock* gate = nullptr;
        for (std::uint32_t k = 0; k != i; ++k) {
            // One gate is of one kind of source.
            if (leaves[i]->rendezvous != leaves[k]->rendezvous) continue;
            if (gate == nullptr) gate = leaves[i]->gate();
            if (gate == nullptr) break;
            if (gate == leaves[k]->gate()) return true;
        }
    }
    return false;
}

bool multi_wait::start(runnable* frame, leaf** leaves, std::uint32_t count, finisher finish,
                       bool has_default) noexcept {
    leaves_ = leaves;
    count_ = count;
    finish_ = finish;
    has_default_ = has_default;
    frame_ = frame;
    active_ = true;
    do {
        if (wait_once()) return true;
    } while (winner() != nothing && !finish_(*this));
    active_ = false;
    return false;
}

void multi_wait::own_leaves() noexcept {
    scheduler* const home = &this_threads_worker->owner();
    some_regain_ = false;
    for (std::uint32_t k = 0; k != count_; ++k) {
        leaf& l = *leaves_[k];
        l.own(this, home, false);
        some_regain_ |= l.regains;
    }
}

// One round of phases 2 and 3. True: suspended.
bool multi_wait::wait_once() noexcept {
    std::array<spin_lock*, on_stack> stack_room;
    // Behind many leaves there is room for the gates.
    auto* const room =
        count_ <= on_stack ? stack_room.data() : reinterpret_cast<spin_lock**>(leaves_ + count_);
    wake_list wakes;
    {
        gate_set gates(leaves_, count_, room);
        if (poll_together(wakes)) {
            gates.unlock();
            wakes.wake_all();
            return false;
        }
        if (has_default_) {
            order_was_in_vain();
            state_.store(nothing, relaxed);
            return false;
        }
        regained_ = 0;
        own_leaves();
        state_.store(enlisting, relaxed);  // published by the gates' release
        // In that order too: of cases at one channel its counterpart takes the first in line.
        for (std::uint32_t k = 0; k != count_; ++k) {
            if (leaves_[k]->rendezvous) leaves_[k]->enlist();
        }
    }
    enlist_one_sided(wakes);
    if (simulated_chance() != nullptr && state_.load(relaxed) == enlisting &&
        !some_share_a_gate(leaves_, count_)) [[unlikely]]
        order_was_in_vain();
    give_up();
    std::uint32_t expected = enlisting;
    // release: pairs with the acquire in try_win(); the completer may ready the task from here on.
    if (state_.compare_exchange_strong(expected, parked, acq_rel, acquire)) return true;
    {
        const std::lock_guard settle(
            *with_index(leaves_, expected)->gate());  // the winner's completer has delivered
    }
    retire();
    wakes.wake_all();
    return !regain();
}

// Under the gates of all rendezvous leaves. True: one has won.
bool multi_wait::poll_together(wake_list& wakes) noexcept {
    for (std::uint32_t k = 0; k != count_; ++k) {
        leaf& l = *leaves_[k];
        if (l.rendezvous ? !l.commit(wakes) : !l.try_commit()) continue;
        state_.store(l.index, relaxed);
        return true;
    }
    return false;
}

void multi_wait::enlist_one_sided(wake_list& wakes) noexcept {
    for (std::uint32_t k = 0; k != count_; ++k) {
        leaf& l = *leaves_[k];
        if (l.rendezvous) continue;
        spin_lock* const gate = l.gate();
        if (gate == nullptr) continue;
        const std::lock_guard guard(*gate);
        if (state_.load(relaxed) != enlisting) return;
        if (!l.ready()) {
            l.enlist();
        } else if (try_win(l.index) == claim_result::early) {
            l.commit(wakes);
            return;
        }
    }
}

// What is given up is taken back in the same order by whoever waits for the same.
void multi_wait::give_up() noexcept {
    if (!some_regain_) return;
    std::sort(leaves_, leaves_ + count_,
              [](const leaf* a, const leaf* b) { return a->index < b->index; });
    for (std::uint32_t i = 0; i != count_; ++i) {
        if (!leaves_[i]->regains) continue;
        if (state_.load(relaxed) != enlisting) return;
        leaves_[i]->give_up();
    }
}

void multi_wait::retire() noexcept {
    const std::uint32_t won = winner();
    for (std::uint32_t k = 0; k != count_; ++k) {
        if (leaves_[k]->index != won) leaves_[k]->retract();
    }
}

// False: a leaf readies this object later, perhaps already; then it goes on from there.
bool multi_wait::regain() noexcept {
    if (!some_regain_) return true;
    const std::uint32_t won = winner();
    while (regained_ != count_) {
        const std::uint32_t i = regained_++;
        if (leaves_[i]->regains && !leaves_[i]->regain(i != won)) return false;
    }
    return true;
}

const leaf& multi_wait::at(std::uint32_t i) const noexcept {
    return *with_index(leaves_, i);
}

const leaf* multi_wait::regaining() const noexcept {
    if (regained_ != 0) return leaves_[regained_ - 1];
    // acquire: pairs with the release in try_win(); who claims a leaf has unlinked it before.
    const std::uint32_t won = state_.load(acquire);
    return won < count_ && at(won).linked() ? &at(won) : nullptr;
}

// Runs on a worker, which has taken this object from its queue: a leaf has won, or got back what it
// gave up.
void multi_wait::resumed(void* self) {
    auto& wait = *static_cast<multi_wait*>(static_cast<runnable*>(self));
    if (wait.regained_ == 0) wait.retire();
    if (!wait.regain()) return;
    while (wait.winner() != nothing && !wait.finish_(wait)) {
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
