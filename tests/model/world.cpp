#include "world.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

namespace sluice::model {

namespace {

constexpr std::size_t stack_size = 128 * 1024;
world* running = nullptr;
std::uint64_t schedules_of_all_worlds = 0;

}  // namespace

world::world() {
    for (std::size_t i = 0; i != max_threads; ++i) {
        threads_.push_back(std::make_unique<thread>(stack_size));
    }
}

world& world::current() {
    if (running == nullptr) {
        std::fputs("an atomic of the explorer was used outside of explore()\n", stderr);
        std::abort();
    }
    return *running;
}

std::optional<std::string> world::run(const std::function<void()>& program, chooser& choices,
                                      unsigned max_steps, bool tracing) {
    memory_.reset();
    trace_.start(tracing);
    choices_ = &choices;
    failure_.reset();
    started_ = 1;
    changes_ = steps_ = 0;
    max_steps_ = max_steps;
    schedule_number_ = ++schedules_of_all_worlds;
    for (auto& t : threads_) {
        t->now = state::unused;
        t->refreshed_at = ~0u;
        t->token = false;
        t->token_view = view{};
    }
    start_thread(0, program);
    running = this;
    self_ = 0;
    fiber::switch_between(host_, threads_[0]->stack);
    running = nullptr;
    return std::exchange(failure_, std::nullopt);
}

void world::start_thread(std::size_t id, std::function<void()> body) {
    threads_[id]->now = state::ready;
    threads_[id]->identity = static_cast<std::uint32_t>(id) + 1;
    threads_[id]->stack.prepare([this, id, body = std::move(body)] {
        try {
            body();
        } catch (const std::exception& e) {
            fail(std::string("an exception left a thread: ") + e.what());
        }
        threads_[id]->now = state::finished;
        note("ends");
        if (id == 0) leave();
        schedule();
    });
}

void world::fail(const std::string& what) {
    note("FAILS: " + what);
    failure_ = what;
    leave();
}

void world::leave() {
    fiber::switch_between(threads_[self_]->stack, host_, true);
    std::abort();
}

std::size_t world::spawn(std::function<void()> body) {
    if (started_ == max_threads) fail("too many threads for the explorer");
    const std::size_t id = started_++;
    start_thread(id, std::move(body));
    memory_.synchronize(self_, id);
    note("starts thread " + std::to_string(id));
    return id;
}

void world::join(std::size_t id) {
    thread& me = *threads_[self_];
    me.joins = id;
    me.now = state::joining;
    schedule();
    memory_.synchronize(id, self_);
}

void world::park() {
    step();
    thread& me = *threads_[self_];
    if (!me.token) {
        note("parks");
        me.now = state::parked;
        schedule();
    }
    me.token = false;
    memory_.raise_view(self_, me.token_view);
    note("is unparked");
}

void world::unpark(std::size_t id) {
    step();
    thread& other = *threads_[id];
    note("unparks thread " + std::to_string(id));
    other.token = true;
    other.token_view.join(memory_.view_of(self_));
    memory_.tick(self_);
    if (other.now == state::parked) other.now = state::ready;
}

void world::spin() {
    thread& me = *threads_[self_];
    me.changes_seen = changes_;
    me.now = state::spinning;
    note("spins");
    step();
}

void world::step() {
    if (++steps_ > max_steps_) fail("no end in " + std::to_string(max_steps_) + " steps");
    schedule();
}

void world::schedule() {
    std::array<index, max_threads> ready;
    std::size_t n = 0;
    const bool may_stay = can_run(*threads_[self_]);
    if (may_stay) ready[n++] = static_cast<index>(self_);
    for (std::size_t i = 0; i != started_; ++i) {
        if (i != self_ && can_run(*threads_[i])) ready[n++] = static_cast<index>(i);
    }
    if (n == 0) n = refresh_spinners(ready);
    if (n == 0) fail_stuck();
    switch_to(n == 1 ? ready[0] : ready[choices_->next_thread({ready.data(), n}, may_stay)]);
}

bool world::can_run(const thread& t) const {
    switch (t.now) {
        case state::ready:
            return true;
        case state::spinning:
            return t.changes_seen != changes_;
        case state::joining:
            return threads_[t.joins]->now == state::finished;
        default:
            return false;
    }
}

std::size_t world::refresh_spinners(std::array<index, max_threads>& ready) {
    std::size_t n = 0;
    for (std::size_t i = 0; i != started_; ++i) {
        thread& t = *threads_[i];
        if (t.now != state::spinning || t.refreshed_at == changes_) continue;
        t.refreshed_at = changes_;
        t.now = state::ready;
        memory_.refresh(i);
        ready[n++] = static_cast<index>(i);
    }
    return n;
}

void world::switch_to(std::size_t next) {
    threads_[next]->now = state::ready;
    if (next == self_) return;
    thread& from = *threads_[self_];
    self_ = next;
    fiber::switch_between(from.stack, threads_[next]->stack, from.now == state::finished);
}

void world::fail_stuck() {
    std::string what;
    bool parked = false;
    for (std::size_t i = 0; i != started_; ++i) {
        const thread& t = *threads_[i];
        if (t.now == state::finished) continue;
        what += "; thread " + std::to_string(i);
        if (t.now == state::parked) what += " is parked";
        if (t.now == state::spinning) what += " spins";
        if (t.now == state::joining) what += " joins thread " + std::to_string(t.joins);
        parked = parked || t.now == state::parked;
    }
    fail((parked ? "lost wakeup" : "deadlock") + what);
}

void world::check_access(const void* owner, index location) {
    if (const char* fault = memory_.access_fault(self_, location, owner)) fail(fault);
}

index world::create_atomic(const void* owner, word value, bool static_storage) {
    const index location = memory_.create(self_, owner, value, static_storage);
    if (trace_.enabled()) {
        note("a" + std::to_string(location) + " begins as " + trace_.name(value));
    }
    return location;
}

void world::destroy_atomic(const void* owner, index location) {
    check_access(owner, location);
    if (const char* fault = memory_.destroy(self_, location)) fail(fault);
}

word world::load(const void* owner, index location, order o) {
    step();
    check_access(owner, location);
    const auto seen = memory_.load(self_, location, o, *choices_);
    if (trace_.enabled()) {
        note("a" + std::to_string(location) + " " + name_of(o) +
             " load: " + trace_.name(seen.value) + (seen.stale ? " (overwritten already)" : ""));
    }
    return seen.value;
}

void world::store(const void* owner, index location, word value, order o) {
    step();
    check_access(owner, location);
    if (memory_.newest(location) != value) ++changes_;
    memory_.store(self_, location, value, o);
    if (trace_.enabled()) {
        note("a" + std::to_string(location) + " " + name_of(o) + " store: " + trace_.name(value));
    }
}

word world::begin_update(const void* owner, index location, order o) {
    step();
    check_access(owner, location);
    return memory_.read_newest(self_, location, o);
}

void world::end_update(index location, word old, word value, order o) {
    if (old != value) ++changes_;
    memory_.write_newest(self_, location, value, o);
    if (trace_.enabled()) {
        note("a" + std::to_string(location) + " " + name_of(o) + " update: " + trace_.name(old) +
             " -> " + trace_.name(value));
    }
}

bool world::compare_exchange(const void* owner, index location, word& expected, word desired,
                             order success, order failure, bool weak) {
    step();
    check_access(owner, location);
    const word newest = memory_.newest(location);
    const bool equal = newest == expected && !(weak && choices_->weakness(2) == 1);
    if (equal) {
        memory_.read_newest(self_, location, success);
        end_update(location, newest, desired, success);
        return true;
    }
    memory_.read_newest(self_, location, failure);
    if (trace_.enabled()) {
        note("a" + std::to_string(location) + " compare-exchange of " + trace_.name(expected) +
             " fails: " + trace_.name(newest));
    }
    expected = newest;
    return false;
}

void world::run_fence(fence kind) {
    step();
    switch (kind) {
        case fence::light:
            memory_.light_fence(self_);
            break;
        case fence::heavy:
            memory_.heavy_fence(self_);
            break;
        case fence::full:
            memory_.full_fence(self_);
            break;
    }
    constexpr const char* names[] = {"light fence", "heavy fence", "full fence"};
    if (trace_.enabled()) note(names[static_cast<int>(kind)]);
}

void world::read_plain(footprint& reads, const footprint& writes) {
    if (!memory_.ordered_after(self_, writes)) fail("data race: a read beside a write");
    memory_.leave_footprint(self_, reads);
}

void world::write_plain(const footprint& reads, footprint& writes) {
    if (!memory_.ordered_after(self_, writes)) fail("data race: two writes");
    if (!memory_.ordered_after(self_, reads)) fail("data race: a write beside a read");
    memory_.leave_footprint(self_, writes);
}

}  // namespace sluice::model
