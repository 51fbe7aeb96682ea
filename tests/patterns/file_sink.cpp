#include <sluice/patterns/file_sink.hpp>

#include <array>
#include <cstdio>
#include <string>
#include <system_error>

#include <sluice/patterns/otlp_json.hpp>
#include <sluice/patterns/trace_span.hpp>

#include "support.hpp"

using namespace sluice;

TEST_CASE("file_sink: texts are in the file at once, one after the other") {
    std::FILE* const file = std::tmpfile();
    REQUIRE(file != nullptr);
    file_sink sink(file);
    CHECK(sink("one ").has_value());
    CHECK(sink("").has_value());
    CHECK(sink(std::string("two\0\n", 5)).has_value());
    std::rewind(file);
    std::array<char, 32> room{};
    const std::size_t read = std::fread(room.data(), 1, room.size(), file);
    CHECK(std::string(room.data(), read) == std::string("one two\0\n", 9));
    std::fclose(file);
}

TEST_CASE("file_sink: a write that fails says why") {
    std::FILE* const full = std::fopen("/dev/full", "w");
    REQUIRE(full != nullptr);
    file_sink sink(full);
    const auto how = sink("no room");
    REQUIRE_FALSE(how.has_value());
    CHECK(how.error() == std::errc::no_space_on_device);
    std::fclose(full);
    std::FILE* const reading = std::fopen("/dev/null", "r");
    REQUIRE(reading != nullptr);
    const auto refused = file_sink(reading)("not for writing");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error() == std::errc::bad_file_descriptor);
    std::fclose(reading);
}

namespace {

/// The error of a full disk reaches whoever closes the tracer.
task<> to_a_full_disk() {
    std::FILE* const full = std::fopen("/dev/full", "w");
    tracer t(std::chrono::system_clock::time_point(), otlp_json("shop", file_sink(full)));
    start_span(with_tracer(background(), t), "s").end();
    const auto how = co_await t.close();
    EXPECT(!how && how.error() == std::errc::no_space_on_device);
    EXPECT(t.stats().failed == 1);
    EXPECT(t.stats().exported == 0);
    std::fclose(full);
}

}  // namespace

TEST_CASE("file_sink: its error reaches whoever closes the tracer") {
    on_workers(to_a_full_disk);
}
