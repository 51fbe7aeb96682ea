#include <sluice/runtime/detail/scheduler.hpp>

#include <pthread.h>
#include <algorithm>
#include <stdexcept>
#include <system_error>

#include <sluice/runtime/detail/environment.hpp>
#include <sluice/runtime/detail/join_state.hpp>

namespace sluice::detail {

namespace {

// All schedulers of the process, for those who hold on to an id (after_func) rather than to the
// scheduler.
constinit spin_lock registry_lock{lock_rank::registry};
std::vector<scheduler*>& registry() {
    static auto* const all = new std::vector<scheduler*>;  // never freed: late users find it empty
    return *all;
}
constinit atomic<std::uint32_t> last_id{0};

// One for each worker. Where the choice was ours and the rings do not all fit (locked memory), all
// become epoll.
std::vector<std::unique_ptr<driver>> make_drivers(driver_choice& choice, unsigned count,
                                                  bool may_change) {
    std::vector<std::unique_ptr<driver>> drivers;
    try {
        for (unsigned i = 0; i != count; ++i) drivers.push_back(make_driver(choice.kind));
    } catch (const std::system_error& e) {
        if (!may_change || choice.kind == driver_kind::epoll) throw;
        drivers.clear();
        choice = {driver_kind::epoll, "io_uring is refused: " + e.code().message()};
        while (drivers.size() != count) drivers.push_back(make_driver(choice.kind));
    }
    return drivers;
}

}  // namespace

void action_mark(void*) {}

scheduler::scheduler(options o, ending e)
    : id_(last_id.fetch_add(1, relaxed) + 1),
      ending_(e),
      driver_(choose_driver(driver_from_environment(o.driver))),
      sleepers_(workers_from_environment(o.workers)) {
    if (const worker* const here = current_worker(); here != nullptr && here->owner().simulated())
        throw std::logic_error("sluice: a task of a simulation cannot start a runtime");
    const unsigned count = workers_from_environment(o.workers);
    stalled_ = std::make_unique<atomic<bool>[]>(count);
    auto drivers =
        make_drivers(driver_, count, driver_from_environment(o.driver) == driver_kind::automatic);
    workers_.reserve(count);
    for (unsigned i = 0; i != count; ++i) {
        workers_.push_back(
            std::make_unique<worker>(*this, static_cast<int>(i), std::move(drivers[i])));
    }
    const std::lock_guard guard(registry_lock);
    registry().push_back(this);
}

scheduler::scheduler(std::unique_ptr<driver> simulated)
    : id_(last_id.fetch_add(1, relaxed) + 1),
      ending_(ending::simulated),
      driver_{driver_kind::automatic, "simulated"},
      sleepers_(1),
      stalled_(std::make_unique<atomic<bool>[]>(1)) {
    workers_.push_back(std::make_unique<worker>(*this, 0, std::move(simulated)));
    const std::lock_guard guard(registry_lock);
    registry().push_back(this);
}

void scheduler::begin_again() noexcept {
    orders_.store(0, relaxed);
    main_ended_.store(false, relaxed);
}

scheduler::~scheduler() {
    {
        const std::lock_guard guard(registry_lock);
        std::erase(registry(), this);
    }
    close();
    stop();
    join();
    cut();
    wait_until_unpinned();
}

scheduler* scheduler::find_and_pin(std::uint32_t id) noexcept {
    const std::lock_guard guard(registry_lock);
    for (scheduler* const s : registry()) {
        if (s->id_ != id) continue;
        s->pin();
        return s;
    }
    return nullptr;
}

void scheduler::start_threads(unsigned first) {
    for (auto i = static_cast<std::size_t>(first); i < workers_.size(); ++i) {
        threads_.emplace_back([this, i] {
            const std::string name = "sluice-" + std::to_string(i);
            ::pthread_setname_np(::pthread_self(), name.c_str());
            workers_[i]->run();
        });
    }
    if (workers_.size() > 1) monitor_ = std::thread([this] { monitor(); });
}

void scheduler::run_here() {
    workers_.front()->run();
}

void scheduler::close() noexcept {
    global_.close();
}

void scheduler::stop() noexcept {
    orders_.fetch_or(order_stop, seq_cst);
    for (const auto& w : workers_) w->wake();
    {
        const std::lock_guard guard(monitor_mutex_);
    }
    monitor_wakes_.notify_all();
    {
        const std::lock_guard guard(halt_mutex_);
    }
    halt_changes_.notify_all();
}

void scheduler::join() {
    for (std::thread& t : threads_) t.join();
    threads_.clear();
    if (monitor_.joinable()) monitor_.join();
}

bool scheduler::submit_from_outside(runnable* frame) noexcept {
    const bool accepted = global_.push(frame, [this, frame] {
        mark_started(frame, start_stamp());
        outside_started_.fetch_add(1, release);
    });
    if (accepted) wake_worker(sleepers_.pick_from_outside());
    return accepted;
}

void scheduler::inject(runnable* r) noexcept {
    if (global_.push(r, [] {})) wake_worker(sleepers_.pick_from_outside());
}

void scheduler::wait_until_unpinned() const noexcept {
    spin_wait wait;
    // acquire: pairs with unpin().
    while (pins_.load(acquire) != 0) wait.pause();
}

void scheduler::release_outside() noexcept {
    outside_.fetch_sub(1, release);
    // Whoever waited for it may be the last one: let a worker look.
    if (ending_ == ending::when_quiescent) wake_worker(sleepers_.take_idle_now());
}

void scheduler::count_io(std::int64_t n) noexcept {
    worker* const w = current_worker();
    if (w != nullptr && &w->owner() == this) {
        w->io_waits.add(n);
    } else {
        // release: pairs with the acquire in nothing_pending().
        outside_io_waits_.fetch_add(n, release);
    }
}

void scheduler::main_ended(bool failed) noexcept {
    main_ended_.store(true, release);
    if (failed) stop();
}

std::int64_t scheduler::num_tasks() const noexcept {
    // What has ended first: a task that ends and one that it has started are then never both
    // missed.
    std::int64_t finished = 0;
    for (const auto& w : workers_) finished += w->finished.get();
    std::int64_t started = outside_started_.load(acquire);
    for (const auto& w : workers_) started += w->started.get();
    return started - finished - cut_.load(relaxed);
}

// Whoever ends a wait from outside pins, counts the wait down, injects and unpins: looked for here
// in the opposite order.
bool scheduler::nothing_pending() const noexcept {
    std::int64_t io = outside_io_waits_.load(acquire);
    for (const auto& w : workers_) {
        timer_queue& timers = w->timers();
        if (timers.earliest() != timer_queue::never && timers.attended()) return false;
        io += w->io_waits.get();
    }
    if (io != 0 || outside_.load(acquire) != 0) return false;
    wait_until_unpinned();  // who unpins last wakes nobody for it
    return global_.empty();
}

void scheduler::all_idle() noexcept {
    if (ending_ != ending::when_quiescent || stopping()) return;
    const std::uint32_t awakenings = sleepers_.awakenings();
    if (sleepers_.idle_count() != size()) return;
    const bool over = finished();
    const bool stuck = !over && nothing_pending();
    if ((!over && !stuck) || sleepers_.awakenings() != awakenings) return;
    if (stuck) deadlocked_.store(true, release);
    stop();
}

// Lets go of what the queues hold. Frames are destroyed by cut(), from the list of tasks.
void scheduler::drop_queued() {
    take_queued([](runnable* r) {
        if (r->destroy == &action_mark) r->run();
    });
}

// The youngest first. While nobody starts or resumes a task.
std::vector<void*> scheduler::live_frames() {
    std::vector<void*> frames;
    frame_pool::for_each_block([this, &frames](block_header& h) {
        if (h.runtime_id.load(relaxed) == id_) frames.push_back(h.memory());
    });
    std::sort(frames.begin(), frames.end(), [](void* a, void* b) {
        return promise_base::of(a).awaiter > promise_base::of(b).awaiter;
    });
    return frames;
}

void scheduler::halt_here() {
    std::unique_lock lock(halt_mutex_);
    ++halted_;
    halt_changes_.notify_all();
    halt_changes_.wait(lock, [this] { return !halting_; });
    --halted_;
}

void scheduler::left_run() {
    const std::lock_guard guard(halt_mutex_);
    ++halted_;
    halt_changes_.notify_all();
}

std::vector<task_info> scheduler::list_tasks() {
    std::unique_lock lock(halt_mutex_);
    while (halting_) {  // somebody else has called for a halt, this worker too
        lock.unlock();
        halt_here();
        lock.lock();
    }
    halting_ = true;
    const struct halt_scope {
        scheduler& of;
        ~halt_scope() {
            of.halting_ = false;
            of.orders_.fetch_and(~order_halt, seq_cst);
            of.halt_changes_.notify_all();
        }
    } let_all_go{*this};
    orders_.fetch_or(order_halt, seq_cst);
    for (const auto& w : workers_) w->wake();
    const auto all_halted = [this] { return halted_ == size() - 1; };
    halt_changes_.wait(lock, [&] { return all_halted() || stopping(); });
    if (!all_halted()) return {};  // perhaps a thread could not be started, and never will be
    std::vector<task_info> all;
    global_.exclude_others([&] {  // threads outside, who would start or ready a task
        const std::vector<void*> frames = live_frames();
        all.reserve(frames.size());
        for (auto f = frames.rbegin(); f != frames.rend(); ++f) all.push_back(inspect_task(*f));
    });
    return all;
}

std::vector<task_info> scheduler::cut() {
    drop_queued();
    wait_until_unpinned();
    if (num_tasks() == 0) return {};
    // Youngest first: a task may use what a task before it owns (its wait_group, its mutex), seldom
    // the reverse.
    const std::vector<void*> frames = live_frames();
    std::vector<task_info> left;
    left.reserve(frames.size());
    for (void* const f : frames) left.push_back(inspect_task(f));
    // All leave their queues before the first one goes, and with it, perhaps, a source in its
    // frame.
    for (void* const f : frames) abandon_wait(f);
    wait_until_unpinned();
    drop_queued();  // one that left may have let another go on that goes now too
    const cut_scope cutting;
    for (void* const f : frames) std::coroutine_handle<>::from_address(f).destroy();
    cut_.fetch_add(static_cast<std::int64_t>(frames.size()), relaxed);
    return left;
}

runtime_stats scheduler::stats() const {
    runtime_stats s;
    s.workers = static_cast<unsigned>(workers_.size());
    s.driver = simulated() ? "none" : driver_.kind == driver_kind::uring ? "io_uring" : "epoll";
    s.driver_reason = driver_.reason;
    s.tasks = num_tasks();
    s.started = outside_started_.load(relaxed);
    for (const auto& w : workers_) {
        s.started += w->started.get();
        s.switches += w->switches.get();
        s.steals += w->steals.get();
        s.parks += w->parks.get();
    }
    s.stalls = stalls_.load(relaxed);
    return s;
}

}  // namespace sluice::detail
