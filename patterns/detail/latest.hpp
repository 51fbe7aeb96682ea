// latest: an output that shows the newest value to whoever reads it next, for patterns that never
// wait for their reader.
#pragma once

#include <type_traits>
#include <utility>

#include <sluice/channels/chan.hpp>

namespace sluice::detail {

/// Puts a value that was received into a channel with a buffer of one, where an unread value gives
/// way to it. Only one task may send to it. Never waits.
template <class T>
void put_latest(const chan<T>& to, typename received<T>::type& value) {
    if constexpr (std::is_void_v<T>) {
        to.try_send();  // one that is unread is as good
    } else if (!to.try_send(std::move(*value))) {
        to.try_recv();  // or the reader was faster: there is room in any case
        to.try_send(std::move(*value));
    }
}

}  // namespace sluice::detail
