#pragma once

// A keyed hash for tables whose keys come from strangers. With an unkeyed hash an attacker computes
// keys that all collide and turns every lookup into a walk of one long chain; with a secret random
// seed he cannot.
//
// The function is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the
// 1-3 rounds are what Rust's and Python's tables use). About 15 ns for a 16-byte key.

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

// The secret. Two tables with different seeds order and collide differently.
struct hash_seed {
    std::uint64_t first = 0;
    std::uint64_t second = 0;

    /// From the kernel. Throws std::system_error when it has none to give.
    static hash_seed random();
};

namespace detail {

class siphash {
public:
    explicit siphash(hash_seed seed)
        : a_(seed.first ^ 0x736f6d6570736575),
          b_(seed.second ^ 0x646f72616e646f6d),
          c_(seed.first ^ 0x6c7967656e657261),
          d_(seed.second ^ 0x7465646279746573) {}

    std::uint64_t operator()(std::string_view bytes) {
        const char* at = bytes.data();
        std::size_t left = bytes.size();
        for (; left >= 8; at += 8, left -= 8) absorb(load(at, 8));
        absorb(load(at, left) | (std::uint64_t{bytes.size() & 0xff} << 56));
        c_ ^= 0xff;
        for (int round = 0; round < 3; ++round) mix();
        return a_ ^ b_ ^ c_ ^ d_;
    }

private:
    static std::uint64_t load(const char* at, std::size_t size) {
        std::uint64_t word = 0;
        if (size == 8) {
            std::memcpy(&word, at, 8);
        } else {
            for (std::size_t i = 0; i < size; ++i)
                word |= std::uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
        }
        return word;
    }

    void absorb(std::uint64_t word) {
        d_ ^= word;
        mix();
        a_ ^= word;
    }

    void mix() {
        a_ += b_;
        b_ = std::rotl(b_, 13) ^ a_;
        a_ = std::rotl(a_, 32);
        c_ += d_;
        d_ = std::rotl(d_, 16) ^ c_;
        a_ += d_;
        d_ = std::rotl(d_, 21) ^ a_;
        c_ += b_;
        b_ = std::rotl(b_, 17) ^ c_;
        c_ = std::rotl(c_, 32);
    }

    std::uint64_t a_, b_, c_, d_;
};

}  // namespace detail

// Hashes strings by their characters, plain values by their bytes, and tuples and pairs of such by
// their parts. A std::string and a std::string_view of the same characters hash alike, so either
// finds what the other stored.
class seeded_hash {
public:
    explicit seeded_hash(hash_seed seed = hash_seed::random()) : seed_(seed) {}

    std::uint64_t operator()(std::string_view text) const { return detail::siphash(seed_)(text); }

    template <typename Value>
        requires(!std::convertible_to<const Value&, std::string_view> &&
                 std::has_unique_object_representations_v<Value>)
    std::uint64_t operator()(const Value& value) const {
        return detail::siphash(seed_)({reinterpret_cast<const char*>(&value), sizeof value});
    }

    // What is equal hashes alike: the two zeros do.
    template <std::floating_point Number>
        requires(sizeof(Number) <= sizeof(std::uint64_t))
    std::uint64_t operator()(Number number) const {
        return (*this)(std::bit_cast<same_size<Number>>(number == 0 ? Number(0) : number));
    }

    // Of parts that can be hashed: by their hashes.
    template <typename... Parts>
    std::uint64_t operator()(const std::tuple<Parts...>& whole) const {
        return std::apply([this](const Parts&... parts) { return of_parts(parts...); }, whole);
    }
    template <typename First, typename Second>
        requires(!std::has_unique_object_representations_v<std::pair<First, Second>>)
    std::uint64_t operator()(const std::pair<First, Second>& both) const {
        return of_parts(both.first, both.second);
    }

private:
    template <typename Number>
    using same_size = std::conditional_t<sizeof(Number) == 4, std::uint32_t, std::uint64_t>;

    template <typename... Parts>
    std::uint64_t of_parts(const Parts&... parts) const {
        return (*this)(std::array<std::uint64_t, sizeof...(Parts)>{(*this)(parts)...});
    }

    hash_seed seed_;
};

}  // namespace sluice
