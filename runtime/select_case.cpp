#include <sluice/runtime/select_case.hpp>

#include <numeric>
#include <stdexcept>

namespace sluice {

dynamic_select_base::dynamic_select_base(std::span<select_case> cases, bool has_default)
    : cases_(cases), has_default_(has_default) {
    for (std::uint32_t c = 0; c != cases.size(); ++c) {
        if (cases[c].body_ == nullptr || cases[c].used_)
            throw std::logic_error("sluice: a select_case is used up by one select");
        const auto n = static_cast<std::uint32_t>(cases[c].body_->leaf_count());
        first_leaf_.push_back(static_cast<std::uint32_t>(places_.size()));
        for (std::uint32_t i = 0; i != n; ++i) places_.push_back({c, i});
        holds_ |= cases[c].body_->holds();
    }
    leaves_.resize(2 * places_.size());
    shuffle_room_.resize(cases.size());
    for (select_case& c : cases) c.used_ = true;
}

bool dynamic_select_base::visit_cases(std::uint32_t base, select_case::visitor& v) noexcept {
    const auto visit_case = [&](std::uint32_t c) {
        return cases_[c].body_->visit(base + first_leaf_[c], v);
    };
    if (!v.shuffles) {
        for (std::uint32_t c = 0; c != cases_.size(); ++c) {
            if (visit_case(c)) return true;
        }
        return false;
    }
    std::iota(shuffle_room_.begin(), shuffle_room_.end(), 0u);
    return detail::in_random_order(shuffle_room_.data(), static_cast<std::uint32_t>(cases_.size()),
                                   visit_case);
}

bool dynamic_select_base::finish(std::size_t i) noexcept {
    const place won = places_[i];
    return cases_[won.case_index].body_->finish(won.leaf_index);
}

std::optional<std::size_t> dynamic_select_base::take_winner() {
    if (winner() == detail::multi_wait::nothing) return std::nullopt;
    const place won = places_[winner()];
    cases_[won.case_index].body_->take(won.leaf_index);
    return won.case_index;
}

}  // namespace sluice
