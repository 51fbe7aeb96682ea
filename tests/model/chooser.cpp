#include "chooser.hpp"

#include <stdexcept>

namespace sluice::model {

namespace {

constexpr unsigned weaknesses_of_a_random_schedule = 12;
constexpr std::string_view digits36 = "0123456789abcdefghijklmnopqrstuvwxyz";

std::size_t random_weakness(generator& g, unsigned& left, std::size_t n) {
    if (left == 0 || g.below(2) == 0) return 0;
    const std::size_t chosen = g.below(n);
    if (chosen != 0) --left;
    return chosen;
}

}  // namespace

std::uint64_t generator::next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

random_chooser::random_chooser(std::uint64_t number)
    : number_(number),
      generator_(number),
      reluctance_(generator_.below(8)),
      weakness_left_(weaknesses_of_a_random_schedule) {}

std::size_t random_chooser::next_thread(std::span<const index> ready, bool may_stay) {
    if (may_stay && generator_.below(8) < reluctance_) return 0;
    return generator_.below(ready.size());
}

std::size_t random_chooser::weakness(std::size_t n) {
    return random_weakness(generator_, weakness_left_, n);
}

std::string random_chooser::seed() const {
    return "random:" + std::to_string(number_);
}

priority_chooser::priority_chooser(std::uint64_t number)
    : number_(number),
      generator_(number),
      lowest_(1'000'000),
      weakness_left_(weaknesses_of_a_random_schedule) {
    for (auto& p : priority_) {
        p = lowest_ + static_cast<std::uint32_t>(generator_.below(lowest_));
    }
    const std::size_t depth = 1 + generator_.below(4);
    const std::size_t length = std::size_t{16} << generator_.below(5);
    for (std::size_t i = 0; i != depth; ++i) falls_.push_back(generator_.below(length));
}

std::size_t priority_chooser::next_thread(std::span<const index> ready, bool may_stay) {
    if (may_stay && std::find(falls_.begin(), falls_.end(), step_) != falls_.end()) {
        priority_[ready[0]] = --lowest_;
    }
    ++step_;
    std::size_t best = 0;
    for (std::size_t i = 1; i != ready.size(); ++i) {
        if (priority_[ready[i]] > priority_[ready[best]]) best = i;
    }
    return best;
}

std::size_t priority_chooser::weakness(std::size_t n) {
    return random_weakness(generator_, weakness_left_, n);
}

std::string priority_chooser::seed() const {
    return "priority:" + std::to_string(number_);
}

path_chooser::path_chooser(const std::string& digits) : limits_{~0u, ~0u} {
    for (const char c : digits) {
        const auto way = digits36.find(c);
        if (way == std::string_view::npos) throw std::invalid_argument("not a path: " + digits);
        path_.push_back({static_cast<index>(way), static_cast<index>(way + 1)});
    }
}

std::size_t path_chooser::next_thread(std::span<const index> ready, bool may_stay) {
    // Recorded even where the bound leaves one way, so that a path means the same without bounds.
    if (!may_stay) return choose(ready.size());
    const std::size_t chosen = choose(preemptions_ < limits_.preemptions ? ready.size() : 1);
    if (chosen != 0) ++preemptions_;
    return chosen;
}

std::size_t path_chooser::weakness(std::size_t n) {
    const std::size_t chosen = choose(weaknesses_ < limits_.weaknesses ? n : 1);
    if (chosen != 0) ++weaknesses_;
    return chosen;
}

std::size_t path_chooser::choose(std::size_t n) {
    if (depth_ == path_.size()) path_.push_back({0, 0});
    fork& here = path_[depth_++];
    here.ways = static_cast<index>(n);
    here.taken = std::min(here.taken, static_cast<index>(n - 1));  // a seed of another program
    return here.taken;
}

std::string path_chooser::seed() const {
    std::string text = "path:";
    for (const fork& f : path_) text += digits36.at(f.taken);
    text.erase(text.find_last_not_of('0') + 1);
    return text;
}

bool path_chooser::advance() {
    path_.resize(std::min(depth_, path_.size()));
    while (!path_.empty() && path_.back().taken + 1 >= path_.back().ways) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
    depth_ = 0;
    preemptions_ = 0;
    weaknesses_ = 0;
    return true;
}

std::unique_ptr<chooser> make_chooser(const std::string& seed) {
    const auto colon = seed.find(':');
    const std::string kind = seed.substr(0, colon);
    const std::string rest = colon == std::string::npos ? "" : seed.substr(colon + 1);
    if (kind == "random") return std::make_unique<random_chooser>(std::stoull(rest));
    if (kind == "priority") return std::make_unique<priority_chooser>(std::stoull(rest));
    if (kind == "path") return std::make_unique<path_chooser>(rest);
    throw std::invalid_argument("a seed is random:N, priority:N or path:DIGITS, not " + seed);
}

}  // namespace sluice::model
