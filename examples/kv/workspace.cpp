#include "workspace.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "commands.hpp"

namespace kv {

namespace {

/// Beyond this the replies are sent before more requests are looked at.
constexpr std::size_t many_replies = 256 * 1024;

constexpr std::size_t most_free = 32;

// Only the two functions below use it and neither is ever inlined: a coroutine may go on on another
// thread, and must not see an address of the one it came from.
std::vector<std::unique_ptr<workspace>>& free_list() {
    static thread_local std::vector<std::unique_ptr<workspace>> spaces;
    return spaces;
}

}  // namespace

[[gnu::noinline]] workspace_lease borrow_workspace() {
    auto& spaces = free_list();
    if (spaces.empty()) return workspace_lease(new workspace);
    workspace_lease lease(spaces.back().release());
    spaces.pop_back();
    return lease;
}

[[gnu::noinline]] void give_back::operator()(workspace* space) const {
    std::unique_ptr<workspace> owned(space);
    auto& spaces = free_list();
    if (spaces.size() == most_free) return;
    owned->clear();
    spaces.push_back(std::move(owned));
}

void workspace::release::operator()(char* data) const {
    std::free(data);
}

// realloc, because it moves large blocks by their page tables instead of copying them.
void workspace::grow(std::size_t capacity) {
    char* const before = data_.release();
    void* const grown = std::realloc(before, capacity);
    data_.reset(grown ? static_cast<char*>(grown) : before);
    if (!grown) throw std::bad_alloc();
    capacity_ = capacity;
}

void workspace::make_contiguous() {
    if (begin_ == 0) return;
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    parser_.reset();
}

std::span<std::byte> workspace::room() {
    if (end_ == capacity_) make_contiguous();
    if (end_ == capacity_) {
        // By half at least: of a line without an end one byte more is wanted, again and again.
        grow(std::max(usual_capacity,
                      std::clamp(parser_.wanted(), capacity_ + capacity_ / 2, 2 * capacity_)));
    }
    return std::as_writable_bytes(std::span(data_.get() + end_, capacity_ - end_));
}

void workspace::append(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto to = room();
        const std::size_t size = std::min(to.size(), bytes.size());
        std::memcpy(to.data(), bytes.data(), size);
        filled(size);
        bytes.remove_prefix(size);
    }
}

workspace::step workspace::run(client& self) {
    using status = request_parser::status;
    self.take_mail(out_);
    std::uint64_t done = 0;
    step next = step::read;
    while (begin_ != end_ && next == step::read) {
        const status parsed = parser_.parse(rest());
        if (parsed == status::incomplete) {
            // Redis drops a client that would make it buffer too much, without a word.
            if (parser_.wanted() > self.server().limits.buffered) next = step::close;
            break;
        }
        if (parsed == status::broken) {
            out_.error(parser_.error());
            next = step::close;
            break;
        }
        begin_ += parser_.consumed();
        ++done;
        const outcome result = execute(self, parser_.args(), out_);
        if (result == outcome::quit)
            next = step::close;
        else if (result == outcome::blocked)
            next = step::blocked;
        else if (out_.bytes().size() > many_replies)
            next = step::flush;
    }
    if (begin_ == end_) begin_ = end_ = 0;
    self.server().commands.fetch_add(done, std::memory_order_relaxed);
    return next;
}

void workspace::clear() {
    begin_ = end_ = 0;
    parser_.shrink();
    out_.shrink();
    if (capacity_ > usual_capacity) {
        data_.reset();
        capacity_ = 0;
    }
}

}  // namespace kv
