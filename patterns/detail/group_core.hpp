// What an error_group shares with its tasks: who may start, how many live, what failed first.
//
// Invariants
//   count_ changes without the gate; all else is under it. A task is counted, and has its slot if
//   there is a limit, from its admission on. Both are given back by its group_member: the slot
//   first, so that the count of whoever takes it over is added before this one goes, and no wait
//   can end in between.
//   Room and a waiting applicant are never left together when the gate is released.
//   The core is deleted by abandon(), or, when tasks are alive then, by the last of them.
#pragma once

#include <cstdint>
#include <optional>
#include <source_location>
#include <utility>

#include <sluice/runtime/context.hpp>
#include <sluice/runtime/detail/group_count.hpp>
#include <sluice/runtime/detail/waiter.hpp>
#include <sluice/runtime/failure.hpp>
#include <sluice/runtime/result.hpp>

namespace sluice::detail {

class group_core;

/// One task's place in a group: its count and, where there is a limit, its slot. Given back at the
/// end of the task, also when it is cut before its first step.
class group_member {
public:
    group_member() noexcept = default;
    group_member(group_core& core, bool has_slot) noexcept : core_(&core), has_slot_(has_slot) {}
    group_member(group_member&& other) noexcept
        : origin(other.origin),
          core_(std::exchange(other.core_, nullptr)),
          has_slot_(other.has_slot_),
          running_(other.running_) {}
    group_member& operator=(group_member&& other) noexcept {
        group_member old(std::move(other));
        std::swap(core_, old.core_);
        std::swap(has_slot_, old.has_slot_);
        return *this;
    }
    ~group_member();

    explicit operator bool() const noexcept { return core_ != nullptr; }

    /// From here on, to be let go without ended() is a failure.
    void begins() noexcept { running_ = true; }
    void ended() noexcept { running_ = false; }
    void failed(failure why) noexcept;

    std::source_location origin;  // of the task, for a report on its exception

private:
    group_core* core_ = nullptr;
    bool has_slot_ = false;
    bool running_ = false;
};

class slot_leaf;

/// What a group shares with its tasks.
class group_core {
public:
    group_core() = default;
    explicit group_core(const context& parent) : ending_(with_cancel_cause(parent)) {}
    group_core(const group_core&) = delete;
    group_core& operator=(const group_core&) = delete;

    void set_limit(std::int64_t n);
    /// An empty one: no slot is free.
    group_member try_admit() noexcept;
    void note_failure(failure why, std::source_location of) noexcept;
    void leave(bool has_slot) noexcept;
    void end_context() const noexcept;
    result<> outcome();
    /// The group goes.
    void abandon() noexcept;

    context ctx() const { return ending_ ? ending_->first : background(); }

private:
    friend class slot_leaf;
    friend class group_wait_leaf;

    ~group_core();
    bool has_room() const noexcept { return limit_ < 0 || taken_ < limit_; }
    group_member admit() noexcept;
    void admit_waiting(wake_list& wakes) noexcept;
    void all_ended() noexcept;

    const std::optional<std::pair<context, cancel_cause_function>> ending_;
    group_count count_;
    spin_lock gate_{lock_rank::task_group};
    // Under gate_.
    std::int64_t limit_ = -1;  // negative: none, and nobody holds a slot
    std::int64_t taken_ = 0;
    wait_queue applicants_;  // operations that wait for a slot
    wait_queue waiters_;     // for the end of all tasks
    bool abandoned_ = false;
    bool received_ = false;  // somebody was told of the failure
    failure failure_;
    std::source_location failed_;
};

class slot_leaf final : public leaf {
public:
    explicit slot_leaf(group_core& c) noexcept : core_(c) {}
    slot_leaf(slot_leaf&& other) noexcept : leaf(), core_(other.core_) {}
    spin_lock* gate() noexcept override { return &core_.gate_; }
    bool ready() noexcept override { return core_.has_room(); }
    bool commit(wake_list&) noexcept override;
    void enlist() noexcept override { core_.applicants_.push_back(*this); }
    wait_site site() const noexcept override { return {"go of an error_group", &core_}; }

    /// Gate held.
    void grant() noexcept { granted_ = core_.admit(); }
    group_member take() noexcept { return std::move(granted_); }

private:
    group_core& core_;
    group_member granted_;  // given back if the task is cut before it runs again
};

class group_wait_leaf final : public leaf {
public:
    explicit group_wait_leaf(group_core& c) noexcept : core(c) {}
    group_wait_leaf(group_wait_leaf&&) noexcept = default;
    spin_lock* gate() noexcept override { return &core.gate_; }
    bool ready() noexcept override { return core.count_.zero_or_wait(); }
    bool commit(wake_list&) noexcept override { return core.count_.zero_or_wait(); }
    void enlist() noexcept override { core.waiters_.push_back(*this); }
    wait_site site() const noexcept override { return {"wait of an error_group", &core}; }

    group_core& core;
};

}  // namespace sluice::detail
