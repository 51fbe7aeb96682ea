#include <sluice/patterns/actor_group.hpp>

#include <cstddef>
#include <exception>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/signals.hpp>
#include <sluice/runtime/sync/wait_group.hpp>

namespace sluice {

namespace {

using parts = detail::actor_parts;
using ending = detail::outcome<result<>>;

task<> run_actor(parts a, send_chan<ending> ended) {
    ending how = co_await a.execute(a.functions.get());
    ended.try_send(std::move(how));
}

// The first exception of those that are seen one after the other.
class first_exception {
public:
    void see(const std::exception_ptr& e) noexcept {
        if (!first_) first_ = e;
    }
    void raise() const {
        if (first_) std::rethrow_exception(first_);
    }

private:
    std::exception_ptr first_;
};

void interrupt_all(const std::vector<parts>& actors, const failure& why, first_exception& thrown) {
    for (const parts& a : actors) {
        try {
            a.interrupt(a.functions.get(), why);
        } catch (...) {
            thrown.see(std::current_exception());
        }
    }
}

task<result<>> run_all(std::vector<parts> actors) {
    if (actors.empty()) co_return result<>();
    // Room for all, so that none waits to be heard.
    const auto ended = make_chan<ending>(static_cast<std::ptrdiff_t>(actors.size()) + 1);
    wait_group alive;
    try {
        for (const parts& a : actors) alive.go(run_actor, a, send_chan<ending>(ended));
    } catch (...) {  // it is the first that ended
        ended.try_send(ending(std::current_exception()));
    }
    auto first = co_await ended.recv();
    const failure why = first->why();
    first_exception thrown;
    thrown.see(why.exception());
    interrupt_all(actors, why, thrown);
    co_await alive.wait();
    while (const auto later = ended.try_recv()) thrown.see(later->why().exception());
    thrown.raise();
    co_return first->take();
}

task<result<>> until_end(context ctx) {
    co_await ctx.done();
    co_return fail(ctx.err());
}

task<result<>> until_signal(context ctx) {
    co_await ctx.done();
    const std::error_code cause = ctx.cause().code();
    co_return fail(cause.category() == signal_category() ? cause : ctx.err());
}

}  // namespace

void actor_group::add(actor a) {
    actors_.push_back(std::move(a.parts_));
}

task<result<>> actor_group::run() {
    return run_all(std::exchange(actors_, {}));
}

actor signal_actor(const context& ctx, std::initializer_list<int> signals) {
    auto inner = with_cancel_cause(ctx);
    auto noted = notify_context(inner.first, signals);
    return actor([ended = std::move(noted.first)] { return until_signal(ended); },
                 [cancel = std::move(inner.second),
                  listening = std::move(noted.second)](const failure& why) mutable {
                     cancel(why);
                     listening();
                 });
}

actor context_actor(const context& ctx) {
    auto inner = with_cancel_cause(ctx);
    return actor([ended = std::move(inner.first)] { return until_end(ended); },
                 std::move(inner.second));
}

}  // namespace sluice
