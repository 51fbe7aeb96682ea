// What the tests of spans have in common.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <sluice/channels/chan.hpp>
#include <sluice/patterns/trace_span.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "support.hpp"

namespace trace_span_steps {

using namespace sluice;
using namespace std::chrono_literals;

using records = std::vector<span_record>;

inline const std::chrono::system_clock::time_point noon{1'000'000h};

/// An exporter that keeps everything, and counts its calls.
class collector {
public:
    void operator()(std::span<const span_record> spans) {
        all_->insert(all_->end(), spans.begin(), spans.end());
        ++*(spans.empty() ? ends_ : batches_);
    }

    const records& all() const { return *all_; }
    int batches() const { return *batches_; }
    int ends() const { return *ends_; }

    const span_record& named(std::string_view name) const {
        const auto found = std::ranges::find(*all_, name, &span_record::name);
        if (found == all_->end()) throw std::runtime_error("no span " + std::string(name));
        return *found;
    }

private:
    std::shared_ptr<records> all_ = std::make_shared<records>();
    std::shared_ptr<int> batches_ = std::make_shared<int>(0);
    std::shared_ptr<int> ends_ = std::make_shared<int>(0);
};

inline void expect_stats(const tracer& t, std::uint64_t exported, std::uint64_t dropped,
                         std::uint64_t failed) {
    const tracer_stats s = t.stats();
    EXPECT(s.exported == exported);
    EXPECT(s.dropped == dropped);
    EXPECT(s.failed == failed);
}

inline task<> close(tracer& t) {
    const auto how = co_await t.close();
    EXPECT(how.has_value());
}

/// Runs fn(context), whose spans go to a tracer, and gives them.
inline records recorded(const test_body_with_context& fn, tracer_options o = {}) {
    collector to;
    run_and_report([&] {
        simulate({}, [&]() -> task<> {
            tracer t(noon, to, o);
            co_await fn(with_tracer(background(), t));
            co_await close(t);
            EXPECT(t.stats().exported == to.all().size());
        });
    });
    return to.all();
}

}  // namespace trace_span_steps
