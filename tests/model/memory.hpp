#pragma once

// Memory as the C++20 standard allows it, not as one processor does it.
//
// Each location keeps its last stores in modification order. A thread's view says, per location,
// the oldest store it may still read; reading, synchronising and fences only raise it. A load is
// then a choice between the view's store and the newest one. This contains what store buffers do
// (a thread reads a value that another has already overwritten), and also what weaker machines do
// (two relaxed stores seen in the other order). A release store carries its thread's view, and an
// acquire load that reads it joins that view; the views' clocks give "happens before", by which
// races on plain data, and destruction under a user's feet, are found in any schedule, whatever
// order the accesses took in it.
//
// Not modelled: load buffering, that is, a load that a machine performs after a later store of its
// own thread. So an order whose only work is to keep a load above such a store (the release of a
// compare-and-swap by which a reader gives a slot back) can be weakened without a finding here.
//
// The fences raise `seen` only: by themselves they order loads and stores but publish no data.
// Source of the view machine: Kang et al., "A promising semantics for relaxed-memory concurrency"
// (POPL 2017), without promises; of the asymmetric fences: WG21 P1202.

#include <atomic>
#include <optional>
#include <string>

#include "chooser.hpp"
#include "view.hpp"

namespace sluice::model {

using order = std::memory_order;

/// Who touched an object last: enough to tell whether the next access happens after those.
struct footprint {
    std::array<stamp, max_threads> last{};
};

class memory {
public:
    struct seen_value {
        word value;
        bool stale;
    };

    void reset();

    /// `static_storage`: constructed before the program began, as a global object is.
    index create(std::size_t thread, const void* owner, word value, bool static_storage);
    /// What is wrong with an access to `location` by `thread`, or with its end; null if nothing is.
    const char* access_fault(std::size_t thread, index location, const void* owner) const;
    const char* destroy(std::size_t thread, index location);

    seen_value load(std::size_t thread, index location, order o, chooser& choices);
    void store(std::size_t thread, index location, word value, order o);
    word newest(index location) const {
        return places_[location].stores[places_[location].newest % depth].value;
    }
    /// A read-modify-write is both halves with nothing between them; it always reads the newest.
    word read_newest(std::size_t thread, index location, order o);
    void write_newest(std::size_t thread, index location, word value, order o);

    void full_fence(std::size_t thread);
    void light_fence(std::size_t thread);
    void heavy_fence(std::size_t thread);

    /// What `to` does from now on happens after what `from` has done.
    void synchronize(std::size_t from, std::size_t to);

    /// Until its next store the thread reads newest values only: it has waited long enough.
    void refresh(std::size_t thread) { threads_[thread].fresh = true; }

    /// Plain data. False: a race.
    bool ordered_after(std::size_t thread, const footprint& earlier) const;
    void leave_footprint(std::size_t thread, footprint& f) const;

    const view& view_of(std::size_t thread) const { return threads_[thread].now; }
    void raise_view(std::size_t thread, const view& v) { threads_[thread].now.join(v); }
    void tick(std::size_t thread) { ++threads_[thread].now.clock[thread]; }

private:
    static constexpr std::size_t depth = 8;  // stores kept; older ones are seen by nobody

    struct stored {
        word value = 0;
        view released;  // what an acquire load that reads this joins
    };
    struct place {
        const void* owner = nullptr;  // null: free
        stamp oldest = 0;
        stamp newest = 0;
        std::size_t creator = 0;
        stamp created_at = 0;
        footprint users;
        std::array<stored, depth> stores;
    };
    struct thread_state {
        view now;
        view read;      // joined into `now` by a full fence
        view at_fence;  // `now` at the last full fence: what a relaxed store carries
        bool fresh = false;
    };

    stored& append(thread_state& t, index location, word value, order o);
    void note_use(std::size_t thread, index location);

    std::array<thread_state, max_threads> threads_;
    std::array<place, max_locations> places_;
    std::size_t used_ = 0;
    stamps seq_cst_{};  // raised by seq_cst stores and by full and heavy fences
    stamps light_{};    // raised by light fences, read by heavy ones
    stamps heavy_{};    // raised by heavy fences, read by light ones
};

}  // namespace sluice::model
