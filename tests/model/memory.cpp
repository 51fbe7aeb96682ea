#include "memory.hpp"

#include <stdexcept>

namespace sluice::model {

namespace {

bool acquires(order o) {
    return o == order::acquire || o == order::acq_rel || o == order::seq_cst || o == order::consume;
}

bool releases(order o) {
    return o == order::release || o == order::acq_rel || o == order::seq_cst;
}

}  // namespace

void memory::reset() {
    for (auto& t : threads_) {
        t = thread_state{};
        t.now.clock.fill(0);
    }
    for (std::size_t i = 0; i != max_threads; ++i) threads_[i].now.clock[i] = 1;
    for (std::size_t i = 0; i != used_; ++i) {
        places_[i].owner = nullptr;
        places_[i].newest = 0;
    }
    used_ = 0;
    seq_cst_ = light_ = heavy_ = stamps{};
}

index memory::create(std::size_t thread, const void* owner, word value, bool static_storage) {
    std::size_t free = 0;
    while (free != used_ && places_[free].owner != nullptr) ++free;
    if (free == max_locations) throw std::length_error("too many atomics for the explorer");
    used_ = std::max(used_, free + 1);

    place& p = places_[free];
    p.owner = owner;
    p.oldest = ++p.newest;  // stores to an earlier object in this place are out of sight
    p.creator = thread;
    p.created_at = static_storage ? stamp{0} : threads_[thread].now.clock[thread];
    p.users = footprint{};
    p.stores[p.newest % depth] = stored{value, view{}};
    return static_cast<index>(free);
}

const char* memory::access_fault(std::size_t thread, index location, const void* owner) const {
    const place& p = places_[location];
    if (p.owner != owner) return "an atomic was used after its end";
    if (threads_[thread].now.clock[p.creator] < p.created_at) {
        return "an atomic was used by a thread that need not see its construction";
    }
    return nullptr;
}

const char* memory::destroy(std::size_t thread, index location) {
    place& p = places_[location];
    p.owner = nullptr;
    if (ordered_after(thread, p.users)) return nullptr;
    return "an atomic was destroyed while another thread may still use it";
}

memory::seen_value memory::load(std::size_t thread, index location, order o, chooser& choices) {
    thread_state& t = threads_[thread];
    place& p = places_[location];
    note_use(thread, location);

    stamp oldest = std::max(t.now.seen[location], p.oldest);
    if (p.newest - oldest >= static_cast<int>(depth)) {
        oldest = static_cast<stamp>(p.newest - depth + 1);
    }
    if (o == order::seq_cst) oldest = std::max(oldest, seq_cst_[location]);
    const auto visible = static_cast<std::size_t>(p.newest - oldest) + 1;
    const std::size_t back = visible == 1 || t.fresh ? 0 : choices.weakness(visible);

    const auto at = static_cast<stamp>(p.newest - back);
    const stored& s = p.stores[at % depth];
    (acquires(o) ? t.now : t.read).join(s.released);
    t.now.seen[location] = std::max(t.now.seen[location], at);
    tick(thread);
    return {s.value, back != 0};
}

void memory::store(std::size_t thread, index location, word value, order o) {
    thread_state& t = threads_[thread];
    note_use(thread, location);
    append(t, location, value, o);
    t.fresh = false;
    tick(thread);
}

word memory::read_newest(std::size_t thread, index location, order o) {
    thread_state& t = threads_[thread];
    place& p = places_[location];
    note_use(thread, location);
    const stored& s = p.stores[p.newest % depth];
    (acquires(o) ? t.now : t.read).join(s.released);
    t.now.seen[location] = p.newest;
    return s.value;
}

void memory::write_newest(std::size_t thread, index location, word value, order o) {
    thread_state& t = threads_[thread];
    place& p = places_[location];
    const view earlier = p.stores[p.newest % depth].released;
    append(t, location, value, o).released.join(earlier);  // a release sequence goes on through it
    t.fresh = false;
    tick(thread);
}

memory::stored& memory::append(thread_state& t, index location, word value, order o) {
    place& p = places_[location];
    ++p.newest;
    t.now.seen[location] = p.newest;
    if (o == order::seq_cst) seq_cst_[location] = p.newest;
    stored& s = p.stores[p.newest % depth];
    s.value = value;
    s.released = releases(o) ? t.now : t.at_fence;
    return s;
}

void memory::note_use(std::size_t thread, index location) {
    leave_footprint(thread, places_[location].users);
}

void memory::full_fence(std::size_t thread) {
    thread_state& t = threads_[thread];
    t.now.join(t.read);
    raise(t.now.seen, seq_cst_);
    raise(seq_cst_, t.now.seen);
    t.at_fence = t.now;
    tick(thread);
}

void memory::light_fence(std::size_t thread) {
    thread_state& t = threads_[thread];
    raise(t.now.seen, heavy_);
    raise(light_, t.now.seen);
}

void memory::heavy_fence(std::size_t thread) {
    thread_state& t = threads_[thread];
    raise(t.now.seen, light_);
    full_fence(thread);
    raise(heavy_, t.now.seen);
}

void memory::synchronize(std::size_t from, std::size_t to) {
    threads_[to].now.join(threads_[from].now);
    tick(from);
}

bool memory::ordered_after(std::size_t thread, const footprint& earlier) const {
    const auto& clock = threads_[thread].now.clock;
    for (std::size_t i = 0; i != max_threads; ++i) {
        if (earlier.last[i] > clock[i]) return false;
    }
    return true;
}

void memory::leave_footprint(std::size_t thread, footprint& f) const {
    f.last[thread] = threads_[thread].now.clock[thread];
}

}  // namespace sluice::model
