#include <sluice/runtime/detail/choice_tree.hpp>

#include <charconv>
#include <stdexcept>
#include <system_error>

namespace sluice::detail {

void choice_tree::go_to(std::string_view path) {
    path_.clear();
    const char* at = path.data();
    const char* const end = at + path.size();
    for (;;) {
        fork f{0, 0, false};
        const auto [after, error] = std::from_chars(at, end, f.taken);
        if (error != std::errc{} || (after != end && *after != '.')) {
            throw std::invalid_argument("sluice: SLUICE_ORDER is \"" + std::string(path) +
                                        "\", not numbers with dots between them");
        }
        path_.push_back(f);
        if (after == end) break;
        at = after + 1;
    }
    while (!path_.empty() && path_.back().taken == 0) path_.pop_back();  // as path() has it
}

void choice_tree::begin() noexcept {
    depth_ = 0;
    begin_order();
    preemptions_ = 0;
    diverged_ = false;
}

std::uint32_t choice_tree::below(std::uint32_t ways) noexcept {
    return ways == 1 ? 0 : choose(ways);
}

std::uint32_t choice_tree::draw(std::uint32_t ways) noexcept {
    ++draws_;
    return below(ways);
}

// Unless there were other choices as well since the order began.
void choice_tree::drawn_in_vain() noexcept {
    if (order_ + draws_ != depth_) return;
    for (std::size_t i = order_; i != depth_; ++i) path_[i].vain = true;
}

// What may not be preempted any more is noted all the same: so a path means the same under every
// bound.
std::uint32_t choice_tree::preempt(std::uint32_t ways) noexcept {
    if (ways == 1) return 0;
    const bool known = depth_ < path_.size() && path_[depth_].ways == 0;
    const std::uint32_t i = choose(preemptions_ < most_ || known ? ways : 1);
    if (i != 0) ++preemptions_;
    return i;
}

std::uint32_t choice_tree::choose(std::uint32_t ways) noexcept {
    if (depth_ == path_.size()) path_.push_back({0, ways, false});
    fork& f = path_[depth_++];
    if (f.ways == 0 && f.taken < ways) f.ways = ways;
    if (f.ways != ways) diverged_ = true;
    return f.taken < ways ? f.taken : 0;
}

bool choice_tree::advance() noexcept {
    const auto done = [](const fork& f) { return f.vain || f.taken + 1 >= f.ways; };
    while (!path_.empty() && done(path_.back())) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
    return true;
}

std::string choice_tree::path() const {
    std::size_t length = depth_;
    while (length != 0 && path_[length - 1].taken == 0) --length;
    if (length == 0) return "0";
    std::string text;
    for (std::size_t i = 0; i != length; ++i) {
        if (i != 0) text += '.';
        text += std::to_string(path_[i].taken);
    }
    return text;
}

}  // namespace sluice::detail
