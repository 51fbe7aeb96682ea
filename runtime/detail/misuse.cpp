#include <sluice/runtime/detail/misuse.hpp>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace sluice::detail {

namespace {

constinit thread_local const std::function<std::string()>* repeat_by = nullptr;

}  // namespace

void die_of_misuse(const char* what) noexcept {
    std::fprintf(stderr, "sluice: %s%s\n", what, how_to_repeat().c_str());
    std::abort();
}

repeatable::repeatable(const std::function<std::string()>& how) noexcept
    : outer_(std::exchange(repeat_by, &how)) {}

repeatable::~repeatable() {
    repeat_by = outer_;
}

std::string how_to_repeat() {
    return repeat_by == nullptr ? std::string() : " (repeat it with " + (*repeat_by)() + ")";
}

}  // namespace sluice::detail
