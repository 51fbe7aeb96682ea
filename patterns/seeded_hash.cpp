#include <sluice/patterns/seeded_hash.hpp>

#include <cerrno>
#include <system_error>

#include <unistd.h>

namespace sluice {

hash_seed hash_seed::random() {
    hash_seed seed;
    if (::getentropy(&seed, sizeof seed) != 0) {
        throw std::system_error(errno, std::system_category(), "hash_seed");
    }
    return seed;
}

}  // namespace sluice
