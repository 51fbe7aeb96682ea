// The explorer on textbook programs: what the memory model allows is found, what it forbids is not.

#include <sluice/runtime/detail/seam.hpp>

#include "verdict.hpp"

using namespace sluice::detail;
using sluice::model::check;
using sluice::model::thread;

namespace model = sluice::model;

namespace {

constexpr const char* both_missed = "both threads missed the other's store";

// Dekker: each thread stores its word and loads the other's.
template <class Left, class Right>
model::program dekker(std::memory_order store, std::memory_order load, Left left, Right right) {
    return [=] {
        atomic<int> x{0};
        atomic<int> y{0};
        int seen_x = -1;
        int seen_y = -1;
        {
            thread a([&] {
                x.store(1, store);
                left();
                seen_y = y.load(load);
            });
            thread b([&] {
                y.store(1, store);
                right();
                seen_x = x.load(load);
            });
        }
        check(seen_x == 1 || seen_y == 1, both_missed);
    };
}

void nothing() {}

// One thread writes data and raises a flag, the other waits for the flag and reads the data.
template <class Data>
model::program message_passing(std::memory_order store, std::memory_order load) {
    return [=] {
        Data data = 0;
        atomic<bool> ready{false};
        thread writer([&] {
            data = 42;
            ready.store(true, store);
        });
        thread reader([&] {
            while (!ready.load(load)) cpu_relax();
            check(data == 42, "the message was not there");
        });
    };
}

struct relaxed_int : atomic<int> {
    relaxed_int(int value) : atomic<int>(value) {}
    void operator=(int value) { store(value, relaxed); }
    operator int() const { return load(relaxed); }
};

}  // namespace

TEST_CASE("litmus: without a fence both sides of Dekker's pattern can miss the other") {
    model::require_found(dekker(relaxed, relaxed, nothing, nothing), both_missed);
    model::require_found(dekker(release, acquire, nothing, nothing), both_missed);
}

TEST_CASE("litmus: Dekker's pattern holds with full fences, or with seq_cst throughout") {
    model::require_exhausted(dekker(relaxed, relaxed, full_fence, full_fence));
    model::require_exhausted(dekker(seq_cst, seq_cst, nothing, nothing));
}

TEST_CASE("litmus: Dekker's pattern holds with a light fence against a heavy one") {
    model::require_exhausted(dekker(relaxed, relaxed, light_fence, heavy_fence));
    model::require_exhausted(dekker(relaxed, relaxed, heavy_fence, heavy_fence));
    model::require_exhausted(dekker(relaxed, relaxed, full_fence, heavy_fence));
}

TEST_CASE("litmus: a light fence pairs with nothing but a heavy one") {
    model::require_found(dekker(relaxed, relaxed, light_fence, light_fence), both_missed);
    model::require_found(dekker(relaxed, relaxed, light_fence, full_fence), both_missed);
    model::require_found(dekker(relaxed, relaxed, nothing, heavy_fence), both_missed);
}

TEST_CASE("litmus: a seq_cst load is no fence for a release store before it") {
    model::require_found(dekker(release, seq_cst, nothing, nothing), both_missed);
}

TEST_CASE("litmus: a released message is there, whole") {
    model::require_exhausted(message_passing<plain<int>>(release, acquire));
    model::require_exhausted(message_passing<relaxed_int>(release, acquire));
}

TEST_CASE("litmus: a message published or taken by a relaxed order is a data race") {
    model::require_found(message_passing<plain<int>>(relaxed, acquire), "data race");
    model::require_found(message_passing<plain<int>>(release, relaxed), "data race");
}

TEST_CASE("litmus: a message in a relaxed atomic can be overtaken by its relaxed flag") {
    model::require_found(message_passing<relaxed_int>(relaxed, acquire), "was not there");
    model::require_found(message_passing<relaxed_int>(release, relaxed), "was not there");
}

TEST_CASE("litmus: a release goes on through read-modify-writes of others, not through stores") {
    const auto chain = [](bool by_store) {
        return [=] {
            plain<int> data = 0;
            atomic<int> flag{0};
            thread first([&] {
                data = 42;
                flag.store(1, release);
            });
            thread second([&] {
                while (flag.load(relaxed) != 1) cpu_relax();
                if (by_store) {
                    flag.store(2, relaxed);
                } else {
                    flag.fetch_add(1, relaxed);
                }
            });
            thread third([&] {
                while (flag.load(acquire) != 2) cpu_relax();
                check(data == 42, "the message was not there");
            });
        };
    };
    model::require_sound(chain(false));
    model::require_found(chain(true), "data race");
}

TEST_CASE("litmus: one location has one order of stores that every thread agrees on") {
    model::require_exhausted([] {
        atomic<int> x{0};
        int first = 0;
        int second = 0;
        {
            thread writer([&] {
                x.store(1, relaxed);
                x.store(2, relaxed);
            });
            thread reader([&] {
                first = x.load(relaxed);
                second = x.load(relaxed);
            });
        }
        check(first <= second, "a load went back in time");
    });
}

TEST_CASE("litmus: two writers are seen in one order when all is seq_cst, not when it is weaker") {
    const auto two_readers = [](std::memory_order store, std::memory_order load) {
        return [=] {
            atomic<int> x{0};
            atomic<int> y{0};
            int left = 0;
            int right = 0;
            {
                thread write_x([&] { x.store(1, store); });
                thread write_y([&] { y.store(1, store); });
                thread read_x_first([&] { left = x.load(load) == 1 && y.load(load) == 0; });
                thread read_y_first([&] { right = y.load(load) == 1 && x.load(load) == 0; });
            }
            check(!(left && right), "the readers saw different orders");
        };
    };
    model::require_found(two_readers(release, acquire), "different orders");
    model::require_sound(two_readers(seq_cst, seq_cst));
}

TEST_CASE("litmus: read-modify-writes lose no update, a load and a store do") {
    const auto count = [](bool whole) {
        return [=] {
            atomic<int> n{0};
            const auto add = [&] {
                if (whole) {
                    n.fetch_add(1, relaxed);
                } else {
                    n.store(n.load(relaxed) + 1, relaxed);
                }
            };
            {
                thread a(add);
                thread b(add);
            }
            check(n.load(relaxed) == 2, "an update was lost");
        };
    };
    model::require_exhausted(count(true));
    model::require_found(count(false), "an update was lost");
}

TEST_CASE("litmus: a weak compare-exchange may fail for no reason, a strong one may not") {
    const auto once = [](bool weak) {
        return [=] {
            atomic<int> n{0};
            int expected = 0;
            const bool done = weak ? n.compare_exchange_weak(expected, 1)
                                   : n.compare_exchange_strong(expected, 1);
            check(done, "the exchange failed");
        };
    };
    model::require_found(once(true), "the exchange failed");
    model::require_exhausted(once(false));
}
