#include <sluice/patterns/merge.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/context.hpp>
#include <sluice/runtime/random.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace sluice;
using namespace std::chrono_literals;

namespace {

struct item {
    int source;
    int number;
};

/// Sends until it has sent all, and closes then, or ctx ends. `sent` counts what was taken.
task<> produce(context ctx, chan<item> to, int source, int count, int* sent) {
    for (int i = 0; i < count; ++i) {
        const auto taken = co_await within(ctx, to.send(item{source, i}));
        if (!taken) co_return;
        ++*sent;
    }
    to.close();
}

/// Reads to the end: how many came from each source, in the order in which they were sent.
template <std::size_t Sources>
task<std::array<int, Sources>> drain(recv_chan<item> from) {
    std::array<int, Sources> got{};
    while (auto i = co_await from.recv()) {
        int& next = got[static_cast<std::size_t>(i->source)];
        EXPECT(i->number == next);
        ++next;
    }
    co_return got;
}

template <class T>
chan<T> closed_with(std::vector<T> values) {
    auto ch = make_chan<T>(static_cast<std::ptrdiff_t>(values.size()));
    for (T& v : values) ch.try_send(std::move(v));
    ch.close();
    return ch;
}

constexpr std::size_t sources = 4;
constexpr int each = 10;

/// The main program, with whatever happens to ctx.
task<> merge_all(context ctx) {
    std::array<chan<item>, sources> from;
    std::array<int, sources> sent{};
    wait_group producers;
    for (std::size_t s = 0; s < sources; ++s) {
        from[s] = make_chan<item>();
        producers.go(produce, ctx, from[s], static_cast<int>(s), each, &sent[s]);
    }
    const auto got = co_await drain<sources>(merge(ctx, from[0], from[1], from[2], from[3]));
    co_await producers.wait();
    for (std::size_t s = 0; s < sources; ++s) {
        if (!ctx.err()) EXPECT(got[s] == each);
        EXPECT(got[s] == sent[s] || (ctx.err() && got[s] + 1 == sent[s]));
    }
}

task<> merge_to_the_end() {
    co_await merge_all(background());
}

}  // namespace

TEST_CASE("merge: every value of every source arrives, those of one source in order") {
    simulated(merge_to_the_end, 1'000);
    on_real_workers(merge_to_the_end);
}

TEST_CASE("merge: a context that is cancelled ends it with at most one value a source in hand") {
    simulated_cancelled(merge_all, 50);
}

TEST_CASE("merge: of no sources closes at once, of one is that one") {
    on_workers([]() -> task<> {
        auto none = merge(background(), std::vector<recv_chan<int>>());
        EXPECT(!co_await none.recv());
        auto one = merge(background(), closed_with<int>({1, 2}));
        EXPECT(co_await one.recv() == 1);
        EXPECT(co_await one.recv() == 2);
        EXPECT(!co_await one.recv());
        EXPECT(one.capacity() == 0);
    });
}

TEST_CASE("merge: sources that are closed already are drained") {
    on_workers([]() -> task<> {
        std::vector<chan<int>> from;
        for (int i = 0; i < 3; ++i) from.push_back(closed_with<int>({1, 10, 100}));
        from.push_back(closed_with<int>({}));
        int sum = 0;
        auto all = merge(background(), from);
        while (auto v = co_await all.recv()) sum += *v;
        EXPECT(sum == 333);
    });
}

TEST_CASE("merge: a nil source never ends it, its context does") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        auto all = merge(ctx, recv_chan<int>(), recv_chan<int>(closed_with<int>({7})));
        EXPECT(co_await all.recv() == 7);
        const auto waited = co_await within(1h, all.recv());
        EXPECT(waited.error() == errc::deadline_exceeded);
        cancel();
        EXPECT(!co_await all.recv());
    });
}

TEST_CASE("merge: under a context that has ended nothing is taken from the sources") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        cancel();
        auto from = closed_with<int>({1, 2, 3});
        auto all = merge(ctx, from);
        EXPECT(!co_await all.recv());
        EXPECT(from.size() == 3);
    });
}

TEST_CASE("merge: one channel given twice gives each value once") {
    on_workers([]() -> task<> {
        auto from = closed_with<int>({1, 2, 3, 4});
        auto all = merge(background(), from, from);
        int sum = 0;
        while (auto v = co_await all.recv()) sum += *v;
        EXPECT(sum == 10);
    });
}

TEST_CASE("merge: values may be move-only, or none at all") {
    on_workers([]() -> task<> {
        std::vector<std::unique_ptr<int>> pointers;
        pointers.push_back(std::make_unique<int>(5));
        auto from = closed_with(std::move(pointers));
        auto owned = merge(background(), from, chan<std::unique_ptr<int>>(from));
        const auto five = co_await owned.recv();
        EXPECT(five && **five == 5);
        EXPECT(!co_await owned.recv());

        auto ticks = make_chan<>(3);
        for (int i = 0; i < 3; ++i) ticks.try_send();
        ticks.close();
        auto signals = merge(background(), ticks);
        int count = 0;
        for (;;) {
            const bool one = co_await signals.recv();
            if (!one) break;
            ++count;
        }
        EXPECT(count == 3);
    });
}

TEST_CASE("merge: on a thread that runs no tasks it throws, and takes nothing") {
    auto from = closed_with<int>({1});
    CHECK_THROWS_AS(merge(background(), from), std::logic_error);
    CHECK_THROWS_AS(merger<int>(background()), std::logic_error);
    CHECK(from.size() == 1);
}

TEST_CASE("merge: tasks that are cut in the middle of it leave nothing behind") {
    struct gave_up {};
    for (const unsigned workers : {1U, 2U}) {
        options o;
        o.workers = workers;
        CHECK_THROWS_AS(run(o,
                            []() -> task<> {
                                auto from = make_chan<std::unique_ptr<int>>();
                                auto nil = recv_chan<std::unique_ptr<int>>();
                                auto all = merge(background(), recv_chan(from), nil);
                                co_await from.send(std::make_unique<int>(1));
                                co_await yield();
                                throw gave_up();
                            }),
                        gave_up);
    }
}

TEST_CASE("merger: sources can be added while it runs, until it is finished") {
    on_workers([]() -> task<> {
        merger<int> all(background());
        auto out = all.out();
        all.add(closed_with<int>({1}));
        EXPECT(co_await out.recv() == 1);
        all.add(closed_with<int>({2}));
        EXPECT(co_await out.recv() == 2);
        all.add(closed_with<int>({3}));
        all.finish();
        all.finish();
        EXPECT(co_await out.recv() == 3);
        EXPECT(!co_await out.recv());
        bool refused = false;
        try {
            all.add(recv_chan<int>());
        } catch (const std::logic_error&) {
            refused = true;
        }
        EXPECT(refused);
        EXPECT(!co_await out.recv());
    });
}

TEST_CASE("merger: without sources it stays open until it is finished") {
    simulated([]() -> task<> {
        merger<int> all(background());
        auto out = all.out();
        const auto waited = co_await within(1h, out.recv());
        EXPECT(waited.error() == errc::deadline_exceeded);
        all.finish();
        EXPECT(!co_await out.recv());
    });
}

TEST_CASE("merger: letting it go finishes it, and its sources are read to the end") {
    on_workers([]() -> task<> {
        recv_chan<int> out;
        {
            merger<int> all(background());
            all.add(closed_with<int>({1, 2}));
            out = all.out();
        }
        EXPECT(co_await out.recv() == 1);
        EXPECT(co_await out.recv() == 2);
        EXPECT(!co_await out.recv());
    });
}

TEST_CASE("merger: what was taken from a source before its removal is delivered, the rest stays") {
    simulated([]() -> task<> {
        merger<int> all(background());
        auto out = all.out();
        auto from = closed_with<int>({1, 2, 3});
        const auto source = all.add(from);
        co_await sleep_for(1s);  // now its task waits for the reader, with 1 in hand
        EXPECT(all.remove(source));
        EXPECT(!all.remove(source));
        EXPECT(co_await out.recv() == 1);
        const auto waited = co_await within(1h, out.recv());
        EXPECT(waited.error() == errc::deadline_exceeded);
        EXPECT(from.size() == 2);
        all.finish();
        EXPECT(!co_await out.recv());
    });
}

TEST_CASE("merger: removing a source that has ended, or is none of its own, says false") {
    simulated([]() -> task<> {
        merger<int> all(background());
        auto out = all.out();
        const auto ended = all.add(closed_with<int>({}));
        co_await sleep_for(1s);
        EXPECT(!all.remove(ended));
        EXPECT(!all.remove(merger<int>::source(0)));
        EXPECT(!all.remove(merger<int>::source(99)));
        const auto waited = co_await within(1h, out.recv());
        EXPECT(waited.error() == errc::deadline_exceeded);  // still open
    });
}

TEST_CASE("merger: a nil source can be removed, also when it is the last one and all is finished") {
    simulated([]() -> task<> {
        merger<int> all(background());
        const auto nil = all.add(recv_chan<int>());
        all.finish();
        auto out = all.out();
        const auto waited = co_await within(1h, out.recv());
        EXPECT(waited.error() == errc::deadline_exceeded);
        EXPECT(all.remove(nil));
        EXPECT(!co_await out.recv());
    });
}

TEST_CASE("merger: a cancelled context closes the output of one that was not finished") {
    simulated([]() -> task<> {
        auto [ctx, cancel] = with_cancel(background());
        merger<int> all(ctx);
        auto out = all.out();
        auto from = make_chan<int>(1);
        all.add(from);
        cancel();
        EXPECT(!co_await out.recv());
        auto late = closed_with<int>({1});
        const auto source = all.add(late);
        EXPECT(!all.remove(source));
        co_await sleep_for(1s);
        EXPECT(late.size() == 1);
        all.finish();
    });
}

namespace {

/// `removals` counts those of each source.
task<> change_sources(merger<item>* all, std::array<chan<item>, sources>* from,
                      std::array<int, sources>* removals) {
    std::array<merger<item>::source, sources> added{};
    for (std::size_t s = 0; s < sources; ++s) {
        added[s] = all->add((*from)[s]);
        co_await yield();
    }
    for (int i = 0; i < 20; ++i) {
        const std::size_t s = random_bits() % sources;
        all->remove(added[s]);
        ++(*removals)[s];
        co_await yield();
        added[s] = all->add((*from)[s]);
        co_await yield();
    }
    all->finish();
}

/// Sources come and go while their senders send; in the end all are there.
task<> merge_changing(context ctx) {
    std::array<chan<item>, sources> from;
    std::array<int, sources> sent{};
    wait_group others;
    merger<item> all(ctx);
    for (std::size_t s = 0; s < sources; ++s) {
        from[s] = make_chan<item>();
        others.go(produce, ctx, from[s], static_cast<int>(s), each, &sent[s]);
    }
    std::array<int, sources> removals{};
    others.go(change_sources, &all, &from, &removals);
    std::array<int, sources> got{};
    auto out = all.out();
    while (auto i = co_await out.recv()) ++got[static_cast<std::size_t>(i->source)];
    co_await others.wait();
    for (std::size_t s = 0; s < sources; ++s) {
        if (ctx.err()) {
            // Lost is what was in hand: of the source's task, and of one that each removal may have
            // left behind to deliver.
            EXPECT(got[s] <= sent[s]);
            EXPECT(sent[s] - got[s] <= 1 + removals[s]);
        } else {
            EXPECT(got[s] == each);
            EXPECT(sent[s] == each);
        }
    }
}

task<> merge_changing_to_the_end() {
    co_await merge_changing(background());
}

}  // namespace

TEST_CASE("merger: sources that are removed and added again at any moment lose no value") {
    simulated(merge_changing_to_the_end, 1'000);
    on_real_workers(merge_changing_to_the_end);
}

TEST_CASE("merger: a context cancelled at any moment ends it while sources come and go") {
    simulated_cancelled(merge_changing, 20);
}

TEST_CASE("merger: ten thousand sources come, give one value each or are removed") {
    on_real_workers([]() -> task<> {
        constexpr int many = 10'000;
        merger<int> all(background());
        std::vector<merger<int>::source> removed;
        for (int i = 0; i < many; ++i) {
            if (i % 2 == 0) {
                all.add(closed_with<int>({1}));
            } else {
                removed.push_back(all.add(recv_chan<int>()));
            }
        }
        auto out = all.out();
        int sum = 0;
        while (sum < many / 2) sum += (co_await out.recv()).value_or(0);
        for (const auto s : removed) EXPECT(all.remove(s));
        all.finish();
        EXPECT(!co_await out.recv());
    });
}
