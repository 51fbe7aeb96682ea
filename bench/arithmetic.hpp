// The job of the workloads that compute, and what a number of them is to give.
#pragma once

#include <cstdint>

/// How many different jobs there are, so that the sum of all results is cheap to foresee.
constexpr std::uint64_t kinds = 16;

/// About as many microseconds: a chain of shifts that no compiler can shorten.
inline std::uint64_t arithmetic(std::uint64_t x, int microseconds) {
    for (int round = 0; round < 650 * microseconds; ++round) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

/// The sum over the jobs i % kinds for all i below n, a multiple of kinds.
inline std::uint64_t expected_sum(std::uint64_t n, int microseconds) {
    std::uint64_t sum = 0;
    for (std::uint64_t kind = 0; kind < kinds; ++kind)
        sum += arithmetic(kind, microseconds) * (n / kinds);
    return sum;
}
