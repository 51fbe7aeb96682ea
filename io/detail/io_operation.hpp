// Operations on descriptors: an attempt that never blocks, repeated until it says something.
//
// A wait is served where the edge is reported: descriptor::serve() makes the attempt for the one
// who waits, under the gate, and readies the task with the outcome. So an operation that is awaited
// by itself is a sole wait. What has won a race and finds that its attempt would still have blocked
// starts over, as does a sole wait whose registration has ended.
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

    /// Begins a sole wait.
    sluice::detail::sole_start begin() noexcept;

    /// The wait has been won; false: the attempt would still have blocked.
    bool finish() noexcept;

    /// Gate held. One try. True: there is an outcome.
    bool try_now() noexcept;

    /// Gate held; for the leaf of a sole wait that is about to be claimed. Once readied, it begins
    /// its wait anew.
    void start_over() noexcept;

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
    // Stands in for the frame in the queue of its worker.
    struct restart : sluice::detail::runnable {
        io_leaf* of = nullptr;
        sluice::detail::runnable* frame = nullptr;
    };

    static void begin_again(void* self);
    bool must_wait() noexcept;

    descriptor* descriptor_;
    const char* what_;
    side side_;
    bool complete_ = false;
    int error_ = 0;
    restart restart_;  // seldom used
};

/// The operation whose leaf is Leaf, which also gives result_type and take(). One that is not
/// raceable may have taken effect in part when it loses: within() bounds it, select refuses it.
template <class Leaf, bool Raceable = true>
class [[nodiscard]] io_operation
    : public sluice::detail::sole_operation<io_operation<Leaf, Raceable>> {
public:
    using result_type = typename Leaf::result_type;
    static constexpr bool raceable = Raceable;

    template <class... Args>
    explicit io_operation(std::in_place_t, Args&&... args) : leaf_(std::forward<Args>(args)...) {}
    io_operation(io_operation&&) noexcept = default;

    Leaf& the_leaf() noexcept { return leaf_; }
    sluice::detail::sole_start begin() noexcept { return leaf_.begin(); }
    bool finish(std::size_t) noexcept { return leaf_.finish(); }
    result_type take(std::size_t) { return leaf_.take(); }

private:
    Leaf leaf_;
};

}  // namespace sluice::io::detail
