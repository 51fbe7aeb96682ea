// stream: what the patterns that sit between channels have in common. Each has tasks of its own
// that receive from its input and send to an output that only they can send to.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/task.hpp>
#include <sluice/runtime/within.hpp>

namespace sluice::detail {

/// chan<T> or recv_chan<T>: templates do not see that the first converts to the second.
template <class C>
concept stream = requires { typename C::value_type; } &&
                 std::convertible_to<const C&, recv_chan<typename C::value_type>>;

template <stream C>
using receiving_end = recv_chan<typename C::value_type>;

/// The sending end of a pattern's output. The channel is closed when the last copy of this has
/// gone: each task of the pattern holds one, so it is closed however they end, also when a shutdown
/// cuts them.
template <class T>
class output {
public:
    explicit output(chan<T> ch) : last_(std::make_shared<closing>(std::move(ch))) {}

    const chan<T>& channel() const noexcept { return last_->ch; }

private:
    struct closing {
        explicit closing(chan<T> c) noexcept : ch(std::move(c)) {}
        closing(const closing&) = delete;
        closing& operator=(const closing&) = delete;
        ~closing() { ch.close(); }
        const chan<T> ch;
    };
    std::shared_ptr<const closing> last_;
};

/// The send of a value that was received.
template <class T>
send_operation<T> hand_on(const chan<T>& out, typename received<T>::type& got) noexcept {
    if constexpr (std::is_void_v<T>) {
        return out.send();
    } else {
        return out.send(std::move(*got));
    }
}

/// Hands on what `in` gives until it is closed: true. False: `taking` ended, and no more is taken
/// from `in`; or `giving` ended, and a value that was in hand is gone.
template <class T>
task<bool> forward_values(context taking, context giving, recv_chan<T> in, chan<T> out) {
    while (auto got = co_await within(taking, in.recv())) {
        if (!*got) co_return true;
        const auto sent = co_await within(giving, hand_on<T>(out, *got));
        if (!sent) co_return false;
    }
    co_return false;
}

}  // namespace sluice::detail
