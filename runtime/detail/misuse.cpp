#include <sluice/runtime/detail/misuse.hpp>

#include <cstdio>
#include <cstdlib>

namespace sluice::detail {

void die_of_misuse(const char* what) noexcept {
    std::fprintf(stderr, "sluice: %s\n", what);
    std::abort();
}

}  // namespace sluice::detail
