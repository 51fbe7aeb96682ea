#include <sluice/channels/chan.hpp>

namespace sluice::detail {

void throw_send_on_closed() {
    throw channel_closed("sluice: send on a closed channel");
}

void close_channel(chan_core* core) {
    if (core == nullptr) throw nil_channel("sluice: close of a nil channel");
    if (!core->close()) throw channel_closed("sluice: close of a closed channel");
}

}  // namespace sluice::detail
