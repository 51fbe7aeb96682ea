#include <sluice/patterns/detail/token_bucket.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;

namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("rate: is a number of events in a period, which must be sensible") {
    CHECK(rate(100).events() == 100);
    CHECK(rate(100).period() == 1s);
    CHECK(rate(1, 10min).period() == 10min);
    CHECK_FALSE(rate(100).is_infinite());
    CHECK(rate::infinite().is_infinite());
    CHECK_THROWS_AS(rate(-1), std::invalid_argument);
    CHECK_THROWS_AS(rate(1, 0s), std::invalid_argument);
    CHECK_THROWS_AS(rate(1, -1s), std::invalid_argument);
}

TEST_CASE("token_bucket: what comes in in many odd steps is what comes in in one") {
    const rate rates[] = {rate(1),
                          rate(3),
                          rate(7, 1h),
                          rate(1, 3ns),
                          rate(999'999'937),
                          rate(largest),
                          rate(5, nanoseconds(largest))};
    for (const rate& r : rates) {
        std::int64_t time = 0;
        detail::token_bucket steps(-1'000'000, 0);
        detail::token_bucket whole = steps;
        for (std::int64_t step = 1; step < 2'000; step += 7) {
            time += step * step * 991;
            steps.accrue(r, largest, time);
        }
        whole.accrue(r, largest, time);
        CHECK(steps.tokens() == whole.tokens());
        CHECK(steps.paid(r, time) == whole.paid(r, time));
    }
}

TEST_CASE("token_bucket: a third of a token is worth a third for ever") {
    const rate third(1, 3ns);
    detail::token_bucket bucket(0, 0);
    for (std::int64_t time = 1; time <= 3'000'000; ++time) bucket.accrue(third, largest, time);
    CHECK(bucket.tokens() == 1'000'000);
}

TEST_CASE("token_bucket: no rate, burst or time overflows") {
    const std::int64_t numbers[] = {1, 1'000, largest / 2, largest};
    for (const std::int64_t events : numbers) {
        for (const std::int64_t period : numbers) {
            const rate r(events, nanoseconds(period));
            detail::token_bucket bucket(0, 0);
            bucket.accrue(r, largest, largest);
            using wide = detail::token_bucket::wide;
            CHECK(bucket.tokens() ==
                  std::min<wide>(static_cast<wide>(largest) * events / period, largest));
            CHECK(bucket.take(bucket.tokens()));
            CHECK(bucket.paid(r, largest) == largest);
            CHECK(bucket.take(1));
            CHECK(bucket.paid(r, largest) == largest);  // later than the last time there is
            detail::token_bucket indebted(0, 0);
            CHECK(indebted.take(detail::token_bucket::most_debt));
            CHECK_FALSE(indebted.take(1));
            CHECK(indebted.debt() == std::uint64_t{1} << 62);
            CHECK(indebted.paid(r, 0) > 0);
            indebted.put_back(r, largest, largest, 0);
            CHECK(indebted.tokens() == largest - detail::token_bucket::most_debt);
        }
    }
}

TEST_CASE("rate_limiter 6.9: time that goes backwards brings nothing, and is not counted twice") {
    const rate r(1);
    constexpr std::int64_t second = 1'000'000'000;
    detail::token_bucket bucket(0, 10 * second);
    bucket.accrue(r, 100, 5 * second);
    CHECK(bucket.tokens() == 0);
    bucket.accrue(r, 100, 10 * second);
    CHECK(bucket.tokens() == 0);
    bucket.accrue(r, 100, 11 * second);
    CHECK(bucket.tokens() == 1);
}
