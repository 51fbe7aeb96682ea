#include "glob.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace kv {

namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

class matcher {
public:
    matcher(std::string_view pattern, bool ignore_case)
        : pattern_(pattern), ignore_case_(ignore_case) {}

    // Only the last star is ever taken back: what an earlier one could take, the last can as well.
    bool operator()(std::string_view text) const {
        // Redis's KEYS knows a single star; its matcher wants an empty pattern for an empty text.
        if (text.empty()) return pattern_.empty() || pattern_ == "*";
        std::size_t at = 0;
        std::size_t in_text = 0;
        std::optional<std::size_t> behind_star;
        std::size_t star_took_to = 0;
        while (in_text < text.size()) {
            if (at < pattern_.size() && pattern_[at] == '*') {
                behind_star = ++at;
                star_took_to = in_text;
            } else if (const std::size_t next = step(at, text[in_text])) {
                at = next;
                ++in_text;
            } else if (behind_star) {
                at = *behind_star;
                in_text = ++star_took_to;
            } else {
                return false;
            }
        }
        while (at < pattern_.size() && pattern_[at] == '*') ++at;
        return at == pattern_.size();
    }

private:
    // The position behind the pattern's element at `at` if that matches c, else 0.
    std::size_t step(std::size_t at, char c) const {
        if (at == pattern_.size()) return 0;
        switch (pattern_[at]) {
            case '?':
                return at + 1;
            case '[':
                return step_set(at + 1, c);
            case '\\':
                if (at + 1 < pattern_.size()) ++at;
                [[fallthrough]];
            default:
                return same(pattern_[at], c) ? at + 1 : 0;
        }
    }

    // A set without its closing bracket ends with the pattern, as in Redis.
    std::size_t step_set(std::size_t at, char c) const {
        const bool negated = at < pattern_.size() && pattern_[at] == '^';
        if (negated) ++at;
        bool hit = false;
        for (; at < pattern_.size() && pattern_[at] != ']'; ++at) {
            if (pattern_[at] == '\\' && at + 1 < pattern_.size()) {
                hit |= pattern_[++at] == c;
            } else if (at + 2 < pattern_.size() && pattern_[at + 1] == '-') {
                hit |= in_range(pattern_[at], pattern_[at + 2], c);
                at += 2;
            } else {
                hit |= same(pattern_[at], c);
            }
        }
        if (hit == negated) return 0;
        return std::min(at + 1, pattern_.size());
    }

    bool same(char a, char b) const { return ignore_case_ ? lower(a) == lower(b) : a == b; }

    bool in_range(char low, char high, char c) const {
        if (low > high) std::swap(low, high);
        if (ignore_case_) {
            low = lower(low);
            high = lower(high);
            c = lower(c);
        }
        return c >= low && c <= high;
    }

    std::string_view pattern_;
    bool ignore_case_;
};

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text, bool ignore_case) {
    return matcher(pattern, ignore_case)(text);
}

}  // namespace kv
