#include <sluice/runtime/sync/once.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/sync/wait_group.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using namespace std::chrono_literals;
using sluice::task;

TEST_CASE("once 4.1: of concurrent callers one function runs, and all wait for its end") {
    on_workers([]() -> task<> {
        for (int round = 0; round != 50; ++round) {
            sluice::once o;
            int ran = 0;
            sluice::wait_group group;
            EXPECT(!o.done());
            for (int i = 0; i != 10; ++i) {
                group.go([&o, &ran]() -> task<> {
                    co_await o.call([&ran]() -> task<int> {
                        for (int k = 0; k != 5; ++k) co_await sluice::yield();
                        co_return ++ran;
                    });
                    EXPECT(ran == 1);
                });
            }
            co_await group.wait();
            EXPECT(o.done());
            co_await o.call([&ran] { ++ran; });
            EXPECT(ran == 1);
        }
    });
}

TEST_CASE("once 4.2: the failure of its function is thrown to every caller") {
    on_workers([]() -> task<> {
        sluice::once o;
        int failed = 0;
        for (int i = 0; i != 3; ++i) {
            try {
                co_await o.call([](const std::string& text) { throw std::runtime_error(text); },
                                "first" + std::to_string(i));
            } catch (const std::runtime_error& e) {
                failed += std::string(e.what()) == "first0" ? 1 : 0;
            }
        }
        EXPECT(failed == 3);
    });
}

TEST_CASE("once: a caller that gives up leaves the function running, for the others") {
    on_workers([]() -> task<> {
        sluice::once o;
        const auto gate = sluice::make_chan<int>();
        int got = 0;
        const auto wait_for_it = [gate, &got]() -> task<> {
            const auto value = co_await gate.recv();
            got = *value;
        };
        const auto late = co_await sluice::within(1ms, o.call(wait_for_it));
        EXPECT(late.error() == sluice::errc::deadline_exceeded);
        const auto raced = co_await select(o.call(wait_for_it), gate.send(5));
        EXPECT(raced.index() == 1);
        co_await o.call(wait_for_it);
        EXPECT(got == 5);
    });
}

TEST_CASE("once_value: computed at the first call, the same object for all") {
    on_workers([]() -> task<> {
        int ran = 0;
        sluice::once_value text([&ran]() -> task<std::unique_ptr<std::string>> {
            co_await sluice::yield();
            ++ran;
            co_return std::make_unique<std::string>("value");
        });
        EXPECT(!text.done());
        EXPECT(ran == 0);
        std::atomic<const void*> first{nullptr};
        sluice::wait_group group;
        for (int i = 0; i != 20; ++i) {
            group.go([&text, &first]() -> task<> {
                const std::unique_ptr<std::string>& got = co_await text();
                EXPECT(*got == "value");
                const void* before = first.exchange(&got);
                EXPECT(before == nullptr || before == &got);
            });
        }
        co_await group.wait();
        EXPECT(ran == 1);
        sluice::once_value plain([] { return 42; });
        const int& number = co_await plain();
        EXPECT(number == 42);
        sluice::once_value nothing([&ran] { ++ran; });
        co_await nothing();
        co_await nothing();
        EXPECT(ran == 2);
    });
}

TEST_CASE("once_value: its value can be raced and bounded") {
    on_workers([]() -> task<> {
        const auto gate = sluice::make_chan<int>();
        sluice::once_value number([gate]() -> task<int> {
            const auto got = co_await gate.recv();
            co_return *got;
        });
        const auto late = co_await sluice::within(1ms, number());
        EXPECT(late.error() == sluice::errc::deadline_exceeded);
        co_await gate.send(5);
        const auto in_time = co_await sluice::within(1h, number());
        EXPECT(in_time->get() == 5);
        const auto raced = co_await select(number(), sluice::sleep_for(1h));
        EXPECT(std::get<0>(raced).get() == 5);
        const int& same = co_await number();
        EXPECT(&same == &std::get<0>(raced).get());
    });
}

TEST_CASE("once_value 4.2: the same failure for every caller, then and later") {
    on_workers([]() -> task<> {
        int ran = 0;
        sluice::once_value broken([&ran]() -> task<int> {
            ++ran;
            co_await sluice::yield();
            throw std::runtime_error("no value");
        });
        std::atomic<int> failed{0};
        sluice::wait_group group;
        for (int i = 0; i != 10; ++i) {
            group.go([&broken, &failed]() -> task<> {
                try {
                    static_cast<void>(co_await broken());
                } catch (const std::runtime_error&) {
                    ++failed;
                }
            });
        }
        co_await group.wait();
        EXPECT(failed == 10);
        EXPECT(ran == 1);
    });
}

TEST_CASE("once_value: what it was made with is gone when the value is there") {
    on_workers([]() -> task<> {
        const auto token = std::make_shared<int>(3);
        sluice::once_value value([token] { return *token + 1; });
        EXPECT(token.use_count() == 2);
        const int got = co_await value();
        EXPECT(got == 4);
        EXPECT(token.use_count() == 1);
    });
}

TEST_CASE("once: what its function held is gone when it has failed, too") {
    on_workers([]() -> task<> {
        const auto token = std::make_shared<int>(3);
        const auto fails = [token]() -> int { throw std::runtime_error("no value"); };
        const auto waits_and_fails = [](std::shared_ptr<int> held) -> task<> {
            co_await sluice::yield();
            throw std::runtime_error(std::to_string(*held));
        };
        const long held = token.use_count();
        sluice::once_value value(fails);
        sluice::once o;
        EXPECT(token.use_count() == held + 1);
        for (int i = 0; i != 2; ++i) {
            int failed = 0;
            try {
                static_cast<void>(co_await value());
            } catch (const std::runtime_error&) {
                ++failed;
            }
            EXPECT(token.use_count() == held);
            try {
                co_await o.call(waits_and_fails, token);
            } catch (const std::runtime_error&) {
                ++failed;
            }
            EXPECT(failed == 2);
            EXPECT(token.use_count() == held);
        }
    });
}

TEST_CASE("once: outside of a task it is an error") {
    sluice::once o;
    CHECK_THROWS_AS(static_cast<void>(o.call([] {})), std::logic_error);
    CHECK_FALSE(o.done());
}
