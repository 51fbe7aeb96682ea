#pragma once

// Everything that handling requests needs memory for: the input buffer, the parser, the replies. A
// connection borrows a workspace while it has bytes to handle and gives it back to a free list of
// the thread when it waits for more, so that idle connections hold no buffers at all.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "client.hpp"
#include "reply.hpp"
#include "request.hpp"

namespace kv {

class workspace {
public:
    enum class step : std::uint8_t {
        read,     ///< all complete requests are done: send the replies, then read more
        flush,    ///< there are many replies: send them, then run again
        blocked,  ///< send the replies, then wait for what the client is blocked on
        close,    ///< send the replies, then close
    };

    /// Where to read to; never empty. Grows with a request that is too long for the buffer, but
    /// only as its bytes arrive: announcing a large value costs nothing.
    std::span<std::byte> room();
    void filled(std::size_t bytes) { end_ += bytes; }
    /// Copies bytes in, as if read.
    void append(std::string_view bytes);

    /// Executes the requests in the buffer until there is a reason to stop. Messages that have come
    /// before go first.
    step run(client& self);

    reply& out() { return out_; }
    /// Bytes that are no complete request yet, or wait behind a blocked one.
    std::string_view rest() const { return {data_.get() + begin_, end_ - begin_}; }

    /// Empties it and gives back what unusually large requests took.
    void clear();

private:
    static constexpr std::size_t usual_capacity = 16 * 1024;

    struct release {
        void operator()(char* data) const;
    };

    void grow(std::size_t capacity);
    void make_contiguous();

    std::unique_ptr<char, release> data_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;  // of the first request not done
    std::size_t end_ = 0;
    request_parser parser_;
    reply out_;
};

struct give_back {
    void operator()(workspace* space) const;
};
using workspace_lease = std::unique_ptr<workspace, give_back>;

/// From this thread's free list. May be given back on another thread.
workspace_lease borrow_workspace();

}  // namespace kv
