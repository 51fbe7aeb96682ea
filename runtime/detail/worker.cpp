#include <sluice/runtime/detail/worker.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include <sluice/runtime/detail/scheduler.hpp>

namespace sluice::detail {

constinit thread_local worker* this_threads_worker = nullptr;

[[gnu::noinline]] worker* current_worker() noexcept {
    return this_threads_worker;
}

[[gnu::noinline]] worker& require_worker(const char* what) {
    worker* const w = this_threads_worker;
    if (w == nullptr) [[unlikely]]
        throw std::logic_error(std::string("sluice: ") + what + " must be called from a task");
    return *w;
}

namespace {

lock_ticket take_lock_ticket() {
    const std::uint32_t identity = take_lock_identity();
    return {identity, &lock_seat(identity)};
}

}  // namespace

worker_scope::worker_scope(worker& w) noexcept : outer_(this_threads_worker) {
    this_threads_worker = &w;
    set_lock_identity(w.ticket().identity);
}

worker_scope::~worker_scope() {
    this_threads_worker = outer_;
    set_lock_identity(outer_ == nullptr ? 0 : outer_->ticket().identity);
}

worker::worker(scheduler& owner, int id, std::unique_ptr<driver> d)
    : owner_(owner),
      id_(id),
      ticket_(take_lock_ticket()),
      driver_(std::move(d)),
      timers_(timer_queue::lease()),
      random_(static_cast<std::uint64_t>(now()) +
              static_cast<std::uint64_t>(id) * 0x9e3779b97f4a7c15u) {}

worker::~worker() {
    timers_.give_back();
    give_back_lock_identity(ticket_.identity);
}

[[gnu::always_inline]] inline runnable* worker::take_local() noexcept {
    if (runnable* const r = next_.take()) {
        if (--budget_ > 0) [[likely]]
            return r;
        make_last(r);  // the slice is used up: the others first
    }
    runnable* const r = queue_.pop();
    begin_slice(r == nullptr ? 0 : 1);
    return r;
}

[[gnu::always_inline]] inline runnable* worker::look_around() {
    tick_.store(tick_.load(relaxed) + 1, relaxed);
    if (--until_clock_check_ == 0) [[unlikely]] {
        until_clock_check_ = clock_checks;
        run_timers();
    }
    if (--until_fair_ == 0) [[unlikely]] {
        until_fair_ = fairness;
        if (runnable* const r = take_fair()) return r;
    }
    if (runnable* const r = take_local()) [[likely]]
        return r;
    return look_further();
}

[[gnu::noinline]] runnable* worker::look_further() {
    if (runnable* const r = take_shared()) return r;
    return search();
}

[[gnu::always_inline]] inline runnable* worker::find() {
    runnable* const r = look_around();
    if (searching_ && r != nullptr) [[unlikely]] {
        searching_ = false;
        if (owner_.idle().stop_searching()) owner_.notify();
    }
    return r;
}

inline void worker::execute(runnable* r) {
    switches.add(1);
    step(r);
}

void worker::run() {
    const worker_scope scope(*this);
    driver_->begin();
    for (;;) {
        if (owner_.called()) [[unlikely]] {
            if (owner_.stopping()) break;
            owner_.halt_here();
        } else if (runnable* const r = find()) {
            execute(r);
        } else {
            park();
        }
    }
    driver_->finish();
    owner_.left_run();
}

runnable* worker::take_fair() noexcept {
    driver_->poll();
    if (owner_.help_wanted()) {
        for (std::size_t i = 0; i != owner_.size(); ++i) {
            worker& other = owner_.at(i);
            if (&other == this || !owner_.stalled(i)) continue;
            other.driver_->poll();
            other.run_timers();
        }
    }
    return owner_.shared().pop(1, owner_.size(), [](runnable*) {});
}

runnable* worker::take_shared() noexcept {
    begin_slice();
    runnable* r = owner_.shared().pop(deque::capacity / 2, owner_.size(),
                                      [this](runnable* more) { queue_.push(more); });
    if (r != nullptr) return r;
    // What nobody else wants is handled in small groups: so a task still finds in the caches what
    // its completion brought there.
    const bool unwanted = owner_.idle().all_busy() || !owner_.thefts_pay();
    driver_->poll(unwanted ? io_group : driver::all);
    run_timers();
    return take_local();
}

runnable* worker::search() noexcept {
    if (owner_.size() == 1) return wait_awake();
    if (!searching_) {
        if (!owner_.idle().start_searching()) return nullptr;
        searching_ = true;
    }
    if (!owner_.thefts_pay()) {
        runnable* const r = rest();
        if (r != nullptr || owner_.called()) return r;
    }
    const std::int64_t begin = now();
    std::array<std::uint32_t, most_watched> seen;
    const std::size_t watched = std::min(seen.size(), owner_.size());
    for (std::size_t i = 0; i != watched; ++i) seen[i] = owner_.at(i).ticks();
    std::int64_t elapsed = 0;
    do {
        // First of all: what another worker has just begun to push is soon worth the trip.
        for (int i = 0; i != pauses_; ++i) cpu_relax();
        runnable* r = steal_once();
        if (r == nullptr) pauses_ = least_pauses;
        if (r == nullptr && elapsed > aged_after) {
            for (std::size_t i = 0; i != watched && r == nullptr; ++i) {
                worker& victim = owner_.at(i);
                if (&victim != this && victim.ticks() == seen[i]) r = steal_from(victim, true);
            }
        }
        if (r == nullptr) r = take_shared();
        if (r != nullptr) return r;
        elapsed = now() - begin;
    } while (elapsed < search_time && !owner_.called());
    return nullptr;
}

// What a worker does in place of a search while thefts do not pay. It stays counted as searching,
// so that nobody wakes anybody. Its naps bound how long what comes from outside may lie, and its
// looks at the others how long what is queued behind one long step does; the rest is its owner's.
runnable* worker::rest() noexcept {
    while (!owner_.thefts_pay() && !owner_.called()) {
        tick_.store(tick_.load(relaxed) + 1, relaxed);  // this worker is not stuck
        driver_->submit();
        const std::int64_t length =
            nap * std::max<std::int64_t>(owner_.idle().searching_count(), 1);
        sleep_until(std::min(timers_.earliest(), now() + length));
        if (runnable* const r = take_shared()) return r;
        const std::int64_t time = now();
        const bool looks = time - seen_at_ >= stuck_after;
        if (looks) seen_at_ = time;
        bool all_sleep = true;
        for (std::size_t i = 0; i != owner_.size(); ++i) {
            worker& other = owner_.at(i);
            if (&other == this || other.asleep()) continue;
            all_sleep = false;
            bool stuck = owner_.stalled(i);
            if (looks && i < most_watched) {
                const std::uint32_t ticks = other.ticks();
                stuck |= std::exchange(seen_[i], ticks) == ticks;
            }
            if (!stuck) continue;
            for (const bool next_slot : {false, true})
                if (runnable* const r = steal_from(other, next_slot)) return r;
        }
        if (all_sleep) owner_.let_steal(true);
    }
    return nullptr;
}

// What a runtime with one worker does in place of a search. A request that comes within these
// microseconds costs neither side a wake. Where that does not happen, because requests are rare or
// their sender needs this very CPU, it is tried less and less.
runnable* worker::wait_awake() noexcept {
    if (wakeful_ == 0 && ++skipped_waits_ % try_again_every != 0) return nullptr;
    const std::int64_t end = now() + search_time;
    do {
        for (int i = 0; i != least_pauses; ++i) cpu_relax();
        if (runnable* const r = take_shared()) {
            wakeful_ = std::min(wakeful_ + 4, most_wakeful);
            return r;
        }
    } while (now() < end && !owner_.called());
    wakeful_ = std::max(wakeful_ - 1, 0);
    return nullptr;
}

runnable* worker::steal_once() noexcept {
    const auto count = static_cast<std::uint32_t>(owner_.size());
    const std::uint32_t start = random_.below(count);
    for (std::uint32_t i = 0; i != count; ++i) {
        worker& victim = owner_.at((start + i) % count);
        if (&victim == this) continue;
        if (runnable* const r = steal_from(victim, false)) return r;
    }
    return nullptr;
}

runnable* worker::steal_from(worker& victim, bool next_slots) noexcept {
    runnable* const r = next_slots ? victim.next_.steal() : victim.queue_.steal_into(queue_);
    if (r != nullptr) {
        adapt_pauses(victim);
        steals.add(1);
        return r;
    }
    if (owner_.stalled(static_cast<std::size_t>(victim.id_))) {
        victim.driver_->poll();
        victim.run_timers();
        return take_local();
    }
    return nullptr;
}

// Each theft costs the victim the cache lines of its queue. While one task there goes on and on
// starting others, a thief that is faster than it would take them by twos and threes, and slow both
// of them down; it waits longer from theft to theft, some microseconds in the end, and takes more.
// A look that finds nothing ends that.
void worker::adapt_pauses(const worker& victim) noexcept {
    const std::uint32_t tick = victim.ticks();
    const bool same_task = robbed_ == &victim && robbed_tick_ == tick;
    pauses_ = same_task ? std::min(pauses_ * 2, most_pauses) : least_pauses;
    robbed_ = &victim;
    robbed_tick_ = tick;
}

void worker::park() noexcept {
    driver_->submit();
    const std::uint32_t idle = owner_.idle().announce(id_, searching_);
    searching_ = false;
    if (owner_.size() > 1) {
        heavy_fence();  // pairs with the light fence in pick(): the pusher sees us idle, or we see
                        // its work
    } else {
        full_fence();
    }
    const bool stays = work_visible();
    if (!stays) {
        if (idle == owner_.size()) owner_.all_idle();
        sleep_until(timers_.earliest());
    }
    searching_ = owner_.idle().withdraw(id_, stays);
    if (!stays) driver_->poll();  // what ended the sleep, before other work
    owner_.left_idle();
}

void worker::sleep_until(std::int64_t deadline) noexcept {
    sleep_state expected = sleep_state::awake;
    if (!owner_.called() &&
        sleep_.compare_exchange_strong(expected, sleep_state::parked, acq_rel, acquire)) {
        parks.add(1);
        driver_->park(deadline);
    }
    // acquire: pairs with the release in wake(); what the waker queued is visible.
    sleep_.exchange(sleep_state::awake, acq_rel);
}

void worker::wake() noexcept {
    // release: pairs with the exchange in sleep_until().
    if (sleep_.exchange(sleep_state::notified, acq_rel) == sleep_state::parked) driver_->wake();
}

bool worker::work_visible() noexcept {
    if (owner_.called() || !owner_.shared().empty() || !next_.empty()) return true;
    for (std::size_t i = 0; i != owner_.size(); ++i) {
        if (!owner_.at(i).queue_.empty()) return true;
    }
    return false;
}

bool worker::run_timers() noexcept {
    const std::int64_t earliest = timers_.earliest();
    if (earliest == timer_queue::never) return false;
    const std::int64_t time = now();
    if (earliest > time) return false;
    worker* const here = current_worker();  // not this worker, if this one is stuck
    return timers_.run_due(time, [here](runnable* r) { here->make_last_and_notify(r); }) != 0;
}

// The queue is full: its older half goes where idle workers look.
void worker::overflow(runnable* r) noexcept {
    do {
        owner_.shared().take_overflow(queue_);
    } while (!queue_.push(r));
}

void worker::make_last_and_notify(runnable* r) noexcept {
    make_last(r);
    if (owner_.size() > 1) owner_.notify();
}

void worker::go_last(runnable* r) noexcept {
    const bool alone = next_.empty() && queue_.empty();
    make_last(r);
    if (budget_ <= 0) budget_ = had_to_let_go;
    if (!alone && owner_.size() > 1) owner_.notify();
}

void leave_transfer(std::coroutine_handle<> frame) noexcept {
    current_worker()->transfer = runnable::from_frame(frame);
}

// noinline: called by coroutines.
[[gnu::noinline]] void count_finished_task() noexcept {
    if (worker* const w = this_threads_worker) w->finished.add(1);
}

}  // namespace sluice::detail
