// The arithmetic of token buckets: whole numbers throughout, so that nothing drifts.
//
// Concepts
//   The level is a number of whole tokens and a fraction of one, in units of 1/period: with e
//   events in p nanoseconds a nanosecond brings e units, and p units are a token. A negative level
//   is a debt: tokens that were given out and have yet to accrue. The rate and the burst are
//   arguments, so that many buckets can share them; times are nanoseconds of now().
//
// Invariants
//   0 <= fraction < period; no fraction at a full bucket. -most_debt <= tokens <= burst after
//   accrue(). Products of two 63-bit numbers and sums of two of those fit into 128 bits: nothing
//   overflows, whatever the rate, the burst and the time.
#pragma once

#include <cstdint>

#include <sluice/patterns/rate.hpp>

namespace sluice::detail {

class token_bucket {
public:
    __extension__ using wide = __int128;

    static constexpr std::int64_t most_debt = std::int64_t{1} << 62;

    token_bucket(std::int64_t tokens, std::int64_t now) noexcept : tokens_(tokens), last_(now) {}

    /// Adds what came in since the last call, up to the burst. A time before that adds nothing, and
    /// is not remembered: the time between is counted once.
    void accrue(const rate& r, std::int64_t burst, std::int64_t now) noexcept;

    std::int64_t tokens() const noexcept { return tokens_; }
    std::uint64_t debt() const noexcept {
        return tokens_ < 0 ? static_cast<std::uint64_t>(-tokens_) : 0;
    }

    /// False: the debt would be more than most_debt.
    bool take(std::int64_t n) noexcept {
        if (static_cast<wide>(tokens_) - n < -static_cast<wide>(most_debt)) return false;
        tokens_ -= n;
        return true;
    }

    /// When a debt is paid, as seen after accrue(now): `now` if there is none; `never` if it takes
    /// too long to say.
    std::int64_t paid(const rate& r, std::int64_t now) const noexcept;

    /// Whether n tokens accrue in `late` nanoseconds, or more: nothing is put back then.
    static bool outlived(const rate& r, std::int64_t n, std::int64_t late) noexcept {
        return left_of(r, n, late) <= 0;
    }
    /// Puts n tokens back, less what has accrued in `late` nanoseconds. Nothing if that is more.
    void put_back(const rate& r, std::int64_t burst, std::int64_t n, std::int64_t late) noexcept;

    /// The same level under another rate; what is less than a unit of it is dropped.
    void convert(const rate& from, const rate& to) noexcept;

private:
    /// In units.
    static wide left_of(const rate& r, std::int64_t n, std::int64_t late) noexcept {
        return static_cast<wide>(n) * r.period().count() - static_cast<wide>(late) * r.events();
    }
    void add(wide units, const rate& r, std::int64_t burst) noexcept;

    std::int64_t tokens_;
    std::int64_t fraction_ = 0;
    std::int64_t last_;
};

}  // namespace sluice::detail
