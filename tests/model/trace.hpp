#pragma once

// The steps of one schedule, written down for a reader.

#include <atomic>
#include <string>
#include <vector>

#include "view.hpp"

namespace sluice::model {

class trace {
public:
    void start(bool enabled) {
        enabled_ = enabled;
        lines_.clear();
        addresses_.clear();
    }

    bool enabled() const { return enabled_; }

    void add(std::size_t thread, const std::string& text);

    /// A number as such, an address as @n: the n-th one met, so that traces compare equal.
    std::string name(word value);

    std::string text() const;

private:
    bool enabled_ = false;
    std::vector<std::string> lines_;
    std::vector<word> addresses_;
};

const char* name_of(std::memory_order o);

}  // namespace sluice::model
