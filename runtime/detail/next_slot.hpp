// The task that its worker runs next: the one most recently made ready there.
//
// Concepts
//   Two tasks that hand values to each other meet here, once per hand-off, so that the owner's side
//   must not pay for a read-modify-write. A thief comes rarely (when the owner has computed for
//   long and left its next task waiting), so it pays: it raises its flag, runs a heavy fence, and
//   takes the entry unless it finds the owner inside.
//
// Invariants
//   Each entry leaves the slot once. The owner is inside between `owner_ = true` and `owner_ =
//   false`; thief and owner are never both past their checks: the owner stores owner_, then (light
//   fence) loads thief_; the thief stores thief_, then (heavy fence) loads owner_. One of them sees
//   the other. An owner that sees a thief steps back and waits for it, some microseconds; a thief
//   that sees the owner gives up.
//   So item_ publishes nothing by itself: a thief that is past its check and finds the entry of
//   some put() has seen owner_ false as that put() left it, or later. For if its heavy fence came
//   after that put()'s light fence, it saw owner_ true before it saw it false; and if it came
//   before, that put() saw the thief, and stored the entry after it was gone.
//
// Rejected: an exchange in put() and take() (20 ns more for a ping-pong round trip).
#pragma once

#include <sluice/runtime/detail/seam.hpp>

namespace sluice::detail {

struct runnable;

class next_slot {
public:
    /// Owner. Puts r there, or takes what is there with put(nullptr). Returns what was there
    /// before.
    runnable* put(runnable* r) noexcept {
        enter();
        runnable* const old = item_.load(relaxed);
        item_.store(r, relaxed);
        // release: pairs with the acquire of owner_ in steal(); the entry seen there is the current
        // one, and whole.
        owner_.store(false, release);
        return old;
    }

    runnable* take() noexcept {
        if (item_.load(relaxed) == nullptr) return nullptr;
        return put(nullptr);
    }

    /// Any other thread. Null: nothing there, or the owner or another thief is at it.
    runnable* steal() noexcept {
        // acquire: pairs with the release below; the entry that another thief took is gone.
        if (item_.load(relaxed) == nullptr || thief_.exchange(true, acquire)) return nullptr;
        heavy_fence();
        runnable* r = nullptr;
        // acquire: pairs with the release in put().
        if (!owner_.load(acquire)) {
            r = item_.load(relaxed);
            item_.store(nullptr, relaxed);
        }
        // release: pairs with the acquires in enter() and above; they see the slot as we left it.
        thief_.store(false, release);
        return r;
    }

    bool empty() const noexcept { return item_.load(relaxed) == nullptr; }

private:
    void enter() noexcept {
        for (;;) {
            owner_.store(true, relaxed);
            light_fence();
            // acquire: pairs with the release in steal().
            if (!thief_.load(acquire)) [[likely]]
                return;
            give_way();
        }
    }

    [[gnu::noinline]] void give_way() noexcept {
        // release: as in put(), whose false this one covers.
        owner_.store(false, release);
        spin_wait wait;
        while (thief_.load(relaxed)) wait.pause();
    }

    atomic<runnable*> item_{nullptr};
    atomic<bool> owner_{false};  // owner writes
    atomic<bool> thief_{false};  // thieves, by exchange
};

}  // namespace sluice::detail
