#include "waiting.hpp"

namespace kv {

bool blocked_pop::serve(std::string_view key, list& from) {
    const std::lock_guard guard(lock_);
    if (state_ != state::waiting) return false;
    state_ = state::served;
    key_ = key;
    element_ = std::move(from.front());
    from.pop_front();
    return true;
}

bool blocked_pop::give_up() {
    const std::lock_guard guard(lock_);
    if (state_ == state::served) return false;
    state_ = state::given_up;
    return true;
}

bool blocked_pop::served() const {
    const std::lock_guard guard(lock_);
    return state_ == state::served;
}

}  // namespace kv
