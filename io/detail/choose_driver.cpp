// What the runtime needs of io/: which driver this process may use, and a driver.
#include <cstring>
#include <system_error>

#include <sluice/io/detail/epoll.hpp>
#include <sluice/io/detail/uring.hpp>
#include <sluice/runtime/driver.hpp>

namespace sluice::detail {

driver_choice choose_driver(driver_kind wanted) {
    if (wanted == driver_kind::epoll) return {driver_kind::epoll, "as asked for"};
    const int refusal = io::detail::uring_reactor::probe();
    if (wanted == driver_kind::uring) {
        if (refusal == 0) return {driver_kind::uring, "as asked for"};
        throw std::system_error(refusal, std::generic_category(),
                                "sluice: io_uring was asked for, and the kernel refuses it");
    }
    if (refusal == 0) return {driver_kind::uring, "available"};
    return {driver_kind::epoll, std::string("io_uring is refused: ") + std::strerror(refusal)};
}

std::unique_ptr<driver> make_driver(driver_kind kind) {
    if (kind == driver_kind::uring) return std::make_unique<io::detail::uring_reactor>();
    return std::make_unique<io::detail::epoll_reactor>();
}

}  // namespace sluice::detail
