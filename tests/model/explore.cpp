#include "explore.hpp"

#include <cstdlib>

#include "sanitizers.hpp"

namespace sluice::model {

namespace {

#if defined(MODEL_TSAN) || defined(MODEL_ASAN)
constexpr std::uint64_t slowness = 50;
#elif !defined(__OPTIMIZE__)
constexpr std::uint64_t slowness = 20;
#else
constexpr std::uint64_t slowness = 1;
#endif

std::uint64_t number_from_environment(std::uint64_t usual) {
    const char* text = std::getenv("SLUICE_SCHEDULES");
    return text == nullptr ? usual : std::strtoull(text, nullptr, 10);
}

// False: this schedule fails, and the report says how.
bool passes(world& w, const program& p, chooser& choices, const effort& e, report& r) {
    ++r.schedules;
    if (!w.run(p, choices, e.max_steps, false)) return true;
    const std::string seed = choices.seed();
    r.found = replay(p, seed, e).found;
    if (!r.found) r.found = finding{"a failure that its seed does not repeat", seed, ""};
    return false;
}

}  // namespace

std::string report::text() const {
    const std::string count = std::to_string(schedules);
    if (!found) return count + " schedules" + (exhausted ? ", with every one of the search" : "");
    return found->what + "\nin schedule " + count + ", SLUICE_SEED=" + found->seed + "\n" +
           found->trace;
}

report sample(const program& p, const effort& e) {
    const leaks_allowed guard;
    report r;
    world w;
    const std::uint64_t count = number_from_environment(e.random_schedules / slowness);
    for (std::uint64_t i = 0; i != count; ++i) {
        const std::uint64_t number = e.first_seed + i / 2;
        if (i % 2 == 0) {
            random_chooser choices(number);
            if (!passes(w, p, choices, e, r)) return r;
        } else {
            priority_chooser choices(number);
            if (!passes(w, p, choices, e, r)) return r;
        }
    }
    return r;
}

report search(const program& p, const effort& e) {
    const leaks_allowed guard;
    report r;
    world w;
    path_chooser choices(e.limits);
    const std::uint64_t most = number_from_environment(e.search_schedules / slowness);
    do {
        if (r.schedules == most) return r;
        if (!passes(w, p, choices, e, r)) return r;
    } while (choices.advance());
    r.exhausted = true;
    return r;
}

bool search_is_cut() {
    return slowness != 1 || std::getenv("SLUICE_SCHEDULES") != nullptr;
}

report replay(const program& p, const std::string& seed, const effort& e) {
    const leaks_allowed guard;
    report r;
    world w;
    const auto choices = make_chooser(seed);
    r.schedules = 1;
    if (auto what = w.run(p, *choices, e.max_steps, true)) {
        r.found = finding{*what, seed, w.trace_text()};
    }
    return r;
}

report explore(const program& p, const effort& e) {
    if (const char* seed = std::getenv("SLUICE_SEED")) return replay(p, seed, e);
    report sampled = sample(p, e);
    if (sampled.found) return sampled;
    report searched = search(p, e);
    searched.schedules += sampled.schedules;
    return searched;
}

}  // namespace sluice::model
