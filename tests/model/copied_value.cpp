// The value of a map that is written under a lock and read without, under the explorer.

#include <sluice/patterns/detail/copied_value.hpp>

#include <cstdint>
#include <optional>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

struct pair_of_words {
    std::uint64_t first;
    std::uint64_t second;
};

using value = copied_value<pair_of_words>;

void write(value& to, std::uint64_t what) {
    pair_of_words* const lent = to.lend();
    lent->first = what;
    lent->second = what;
    to.take_back();
}

// The number read, or none.
std::optional<std::uint64_t> read(const value& from) {
    value::words words{};
    if (!from.read(words)) return std::nullopt;
    const pair_of_words seen = value::to_value(words);
    check(seen.first == seen.second, "halves of two values were read");
    return seen.first;
}

}  // namespace

TEST_CASE("copied_value: a reader gets a whole value, never an older one than before, or none") {
    model::require_exhausted([] {
        value shared(pair_of_words{0, 0});
        write(shared, 0);
        {
            thread writer([&] {
                write(shared, 1);
                write(shared, 2);
            });
            thread reader([&] {
                const std::uint64_t first = read(shared).value_or(0);
                check(read(shared).value_or(2) >= first, "time went backwards");
            });
        }
        check(read(shared) == 2, "the last value is not there");
    });
}

TEST_CASE("copied_value: what is lent is not read") {
    model::require_exhausted([] {
        value shared(pair_of_words{0, 0});
        shared.lend();
        check(!read(shared), "read while it was lent");
    });
}
