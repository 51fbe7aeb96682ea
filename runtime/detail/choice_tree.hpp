// The choices of a program that is run again and again, each time with another answer to one of
// them, until there is none left: a walk in depth through a tree of which no more is kept than the
// path to where it stands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

/// The first answer to each choice is 0. Not thread-safe.
class choice_tree final : public choice_source {
public:
    /// Every path with at most so many preemptions; first the one of all zeros.
    explicit choice_tree(unsigned most_preemptions) noexcept : most_(most_preemptions) {}

    /// Goes to the path that path() has given. Throws std::invalid_argument for another text.
    void go_to(std::string_view path);

    /// Before each run.
    void begin() noexcept;

    /// A number below `ways`, which is at least 1. A choice of one way is none.
    std::uint32_t below(std::uint32_t ways) noexcept;

    void begin_order() noexcept override {
        order_ = depth_;
        draws_ = 0;
    }
    std::uint32_t draw(std::uint32_t ways) noexcept override;
    void drawn_in_vain() noexcept override;

    /// The same where a task could go on, which is the answer 0, and any other preempts it.
    std::uint32_t preempt(std::uint32_t ways) noexcept;

    /// After each run: goes on to the next path. False: that was the last one.
    bool advance() noexcept;

    /// The answers given so far, without zeros at the end; "0" if there are no others.
    std::string path() const;

    /// The latest run has not asked the same questions as the one before, up to where it was to
    /// differ.
    bool diverged() const noexcept { return diverged_ || depth_ < path_.size(); }

private:
    struct fork {
        std::uint32_t taken;
        std::uint32_t ways;  // 0: not known yet
        bool vain;           // the answer makes no difference
    };

    std::uint32_t choose(std::uint32_t ways) noexcept;

    const unsigned most_;
    std::vector<fork> path_;
    std::size_t depth_ = 0;
    std::size_t order_ = 0;  // depth_ when the latest order began
    std::size_t draws_ = 0;  // of it: several, if selects are nested
    unsigned preemptions_ = 0;
    bool diverged_ = false;
};

}  // namespace sluice::detail
