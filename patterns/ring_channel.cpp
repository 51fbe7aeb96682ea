#include <sluice/patterns/ring_channel.hpp>

#include <sluice/runtime/detail/completer.hpp>

namespace sluice::detail {

leaf* claim_receiver(wait_queue& receivers, wake_list& wakes) noexcept {
    return claim_front(receivers, wakes);
}

void throw_send_on_closed_ring() {
    throw channel_closed("sluice: send on a closed ring_channel");
}

void throw_close_of_closed_ring() {
    throw channel_closed("sluice: close of a closed ring_channel");
}

}  // namespace sluice::detail
