// Operations on descriptors: an attempt that never blocks, repeated after each edge until it says
// something.
#pragma once

#include <cerrno>
#include <coroutine>
#include <mutex>

#include <sluice/io/detail/descriptor.hpp>
#include <sluice/runtime/operation.hpp>
#include <sluice/runtime/result.hpp>

namespace sluice::io::detail {

/// A task's place at one side of a descriptor.
class io_leaf : public sluice::detail::leaf {
public:
    sluice::detail::spin_lock* gate() noexcept final {
        return descriptor_ == nullptr ? nullptr : &descriptor_->gate();
    }
    bool ready() noexcept final;
    bool commit(sluice::detail::wake_list& wakes) noexcept final;
    void enlist() noexcept final { descriptor_->enlist(side_, *this); }
    void retract() noexcept final;
    sluice::detail::wait_site site() const noexcept final { return {what_, descriptor_}; }

    /// One try, if it may succeed. True: there is an outcome.
    bool try_at_once() noexcept;

    /// The wait has been won; false: the attempt would still have blocked.
    bool finish() noexcept;

protected:
    io_leaf(descriptor* d, side s, const char* what) noexcept
        : descriptor_(d), what_(what), side_(s) {}
    io_leaf(io_leaf&&) noexcept = default;
    ~io_leaf() = default;

    /// Gate held. One try. EAGAIN: it would have blocked; else the outcome, 0 or an errno.
    virtual int attempt() noexcept = 0;
    /// Gate held. Makes sure that the reactor tells when to try again. Returns errno.
    virtual int watch() noexcept { return descriptor_->watch(); }
    int fd() const noexcept { return descriptor_->fd(); }
    descriptor& of() const noexcept { return *descriptor_; }
    std::error_code error() const noexcept { return {error_, std::generic_category()}; }

private:
    bool try_now() noexcept;

    descriptor* descriptor_;
    const char* what_;
    side side_;
    bool complete_ = false;
    int error_ = 0;
};

/// The operation whose leaf is Leaf, which also gives result_type and take(). One that is not
/// raceable may have taken effect in part when it loses: within() bounds it, select refuses it.
template <class Leaf, bool Raceable = true>
class [[nodiscard]] io_operation
    : public sluice::detail::multi_operation<io_operation<Leaf, Raceable>, 1> {
    using waiting = sluice::detail::multi_operation<io_operation, 1>;

public:
    using result_type = typename Leaf::result_type;
    static constexpr bool raceable = Raceable;

    template <class... Args>
    explicit io_operation(std::in_place_t, Args&&... args) : leaf_(std::forward<Args>(args)...) {}
    io_operation(io_operation&&) noexcept = default;
    ~io_operation() { this->abandon_if_parked(); }

    // An attempt that succeeds at once needs no multi_wait.
    bool await_ready() noexcept {
        done_ = leaf_.try_at_once();
        return done_ && sluice::detail::spend_budget();
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
        if (!done_) return waiting::await_suspend(frame);
        frame.promise().runs_again();
        sluice::detail::run_again_last(frame);
        return true;
    }
    result_type await_resume() { return leaf_.take(); }

    void bind(sluice::detail::leaf_sink& sink) noexcept { sink.add(leaf_); }
    void order(sluice::detail::poll_order& o, std::uint32_t base) const noexcept { o.add(base); }
    bool finish(std::size_t) noexcept { return leaf_.finish(); }
    result_type take(std::size_t) { return leaf_.take(); }

private:
    Leaf leaf_;
    bool done_ = false;
};

}  // namespace sluice::io::detail
