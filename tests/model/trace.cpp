#include "trace.hpp"

#include <algorithm>

namespace sluice::model {

void trace::add(std::size_t thread, const std::string& text) {
    if (!enabled_) return;
    lines_.push_back("thread " + std::to_string(thread) + std::string(2 + 12 * thread, ' ') + text);
}

std::string trace::name(word value) {
    constexpr word smallest_address = word{1} << 32;
    if (static_cast<std::int64_t>(value) < 0) {
        return std::to_string(static_cast<std::int64_t>(value));
    }
    if (value < smallest_address) return std::to_string(value);
    auto known = std::find(addresses_.begin(), addresses_.end(), value);
    if (known == addresses_.end()) known = addresses_.insert(known, value);
    return "@" + std::to_string(known - addresses_.begin());
}

std::string trace::text() const {
    constexpr std::size_t head = 100;
    constexpr std::size_t tail = 100;
    std::string all;
    for (std::size_t i = 0; i != lines_.size(); ++i) {
        if (i == head && lines_.size() > head + tail) {
            all += "...\n";
            i = lines_.size() - tail;
        }
        all += std::to_string(i + 1) + "\t" + lines_[i] + "\n";
    }
    return all;
}

const char* name_of(std::memory_order o) {
    switch (o) {
        case std::memory_order_relaxed:
            return "relaxed";
        case std::memory_order_consume:
            return "consume";
        case std::memory_order_acquire:
            return "acquire";
        case std::memory_order_release:
            return "release";
        case std::memory_order_acq_rel:
            return "acq_rel";
        case std::memory_order_seq_cst:
            return "seq_cst";
    }
    return "?";
}

}  // namespace sluice::model
