#include <sluice/patterns/detail/group_core.hpp>

#include <mutex>
#include <stdexcept>

#include <sluice/runtime/detail/completer.hpp>
#include <sluice/runtime/detail/join_state.hpp>
#include <sluice/runtime/detail/misuse.hpp>

namespace sluice::detail {

group_member::~group_member() {
    if (core_ == nullptr) return;
    if (running_) core_->note_failure(errc::canceled, origin);
    core_->leave(has_slot_);
}

void group_member::failed(failure why) noexcept {
    core_->note_failure(std::move(why), origin);
}

group_core::~group_core() {
    if (failure_.exception() && !received_) {
        unjoined_exception(failure_.exception(), failed_);
    }
}

void group_core::set_limit(std::int64_t n) {
    wake_list wakes;
    {
        const std::lock_guard guard(gate_);
        if (taken_ != 0) {
            throw std::logic_error(
                "sluice: the limit of an error_group was changed while tasks hold slots");
        }
        limit_ = n;
        admit_waiting(wakes);
    }
    wakes.wake_all();
}

group_member group_core::try_admit() noexcept {
    const std::lock_guard guard(gate_);
    if (!has_room()) return {};
    return admit();
}

// Gate held, and there is room.
group_member group_core::admit() noexcept {
    count_.add(1);
    if (limit_ < 0) return group_member(*this, false);
    ++taken_;
    return group_member(*this, true);
}

// Gate held.
void group_core::admit_waiting(wake_list& wakes) noexcept {
    while (has_room()) {
        leaf* const first = claim_front(applicants_, wakes);
        if (first == nullptr) return;
        static_cast<slot_leaf*>(first)->grant();
    }
}

void group_core::note_failure(failure why, std::source_location of) noexcept {
    {
        const std::lock_guard guard(gate_);
        if (failure_) return;
        failure_ = why;
        failed_ = of;
    }
    if (ending_) ending_->second(why);
}

void group_core::leave(bool has_slot) noexcept {
    if (has_slot) {
        wake_list wakes;
        {
            const std::lock_guard guard(gate_);
            --taken_;
            admit_waiting(wakes);
        }
        wakes.wake_all();
    }
    switch (count_.finish(1)) {
        case group_count::outcome::more:
            return;
        case group_count::outcome::zero_and_waited:
            all_ended();
            return;
        case group_count::outcome::negative:
            break;
    }
    die_of_misuse("the counter of an error_group became negative");
}

void group_core::all_ended() noexcept {
    wake_list wakes;
    bool nobody_left = false;
    {
        const std::lock_guard guard(gate_);
        if (!count_.settle()) return;
        claim_all(waiters_, wakes, [](leaf&) {});
        nobody_left = abandoned_;
    }
    wakes.wake_all();
    if (nobody_left) delete this;
}

void group_core::end_context() const noexcept {
    if (ending_) ending_->second();
}

result<> group_core::outcome() {
    end_context();
    failure why;
    {
        const std::lock_guard guard(gate_);
        why = failure_;
        if (why) received_ = true;
    }
    if (why.exception()) std::rethrow_exception(why.exception());
    if (why) return fail(why.code());
    return {};
}

void group_core::abandon() noexcept {
    end_context();
    {
        const std::lock_guard guard(gate_);
        if (!count_.zero_or_wait()) {
            abandoned_ = true;
            return;
        }
    }
    delete this;
}

bool slot_leaf::commit(wake_list&) noexcept {
    if (!core_.has_room()) return false;
    grant();
    return true;
}

}  // namespace sluice::detail
