// The idioms that our headers, examples and tests keep to, because g++ 12 compiles their shorter
// forms wrongly: name what is awaited before it decides, and give awaiters constructors. If one of
// these fails, the compiler has a new trap.
#include <sluice/runtime/task.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/select.hpp>
#include <sluice/runtime/sleep.hpp>
#include <sluice/runtime/spawn.hpp>
#include <sluice/runtime/within.hpp>

#include "support.hpp"

using sluice::task;

namespace {

/// Knows how many of its kind are alive, and whether one ended twice.
class tracked {
public:
    explicit tracked(int* balance) noexcept : balance_(balance) { ++*balance_; }
    tracked(const tracked& other) noexcept : balance_(other.balance_) { ++*balance_; }
    tracked(tracked&& other) noexcept : balance_(other.balance_) { ++*balance_; }
    tracked& operator=(const tracked&) = delete;
    ~tracked() {
        EXPECT(self_ == this);
        self_ = nullptr;
        --*balance_;
    }

private:
    int* balance_;
    const tracked* self_ = this;
};

task<bool> truth(bool value, int* calls) {
    co_await sluice::yield();
    ++*calls;
    co_return value;
}

task<std::string> text(std::string s) {
    co_await sluice::yield();
    co_return s + "!";
}

task<std::size_t> total(std::vector<std::string> words, tracked) {
    co_await sluice::yield();
    std::size_t n = 0;
    for (const std::string& w : words) n += w.size();
    co_return n;
}

task<tracked> make_tracked(int* balance) {
    co_await sluice::yield();
    co_return tracked(balance);
}

task<> no_locals(bool* reached, int* calls) {
    const bool ok = co_await truth(true, calls);
    if (ok) *reached = true;
}

template <class F>
task<int> call_twice(F fn) {
    const int a = co_await fn();
    const int b = co_await fn();
    co_return a + b;
}

/// An awaiter whose await_resume throws. It has a constructor: aggregates are the trap.
class throwing_awaiter {
public:
    using sluice_awaitable = void;
    explicit throwing_awaiter(int* balance) noexcept : held_(balance) {}
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const { throw std::runtime_error("resumed"); }

private:
    tracked held_;
};

}  // namespace

TEST_CASE("canary: an await into a local decides an if, a while and a switch") {
    on_workers([]() -> task<> {
        bool reached = false;
        int calls = 0;
        co_await no_locals(&reached, &calls);
        EXPECT(reached);
        for (;;) {
            const bool go_on = co_await truth(calls < 5, &calls);
            if (!go_on) break;
        }
        EXPECT(calls == 6);
        const bool which = co_await truth(false, &calls);
        switch (static_cast<int>(which)) {
            case 0:
                reached = false;
                break;
            default:
                break;
        }
        EXPECT(!reached);
    });
}

TEST_CASE(
    "canary: awaits that are named first may be combined by the conditional and logical "
    "operators") {
    on_workers([]() -> task<> {
        int calls = 0;
        const bool yes = co_await truth(true, &calls);
        const bool no = co_await truth(false, &calls);
        EXPECT((yes && !no));
        const std::string a = co_await text("a");
        const std::string b = co_await text("b");
        const std::string chosen = yes ? a : b;
        EXPECT(chosen == "a!");
        auto awaited = text("first");
        if (no) awaited = text("second");
        const std::string got = co_await std::move(awaited);
        EXPECT(got == "first!");
    });
}

TEST_CASE("canary: arguments that are named first are destroyed once") {
    on_workers([]() -> task<> {
        int balance = 0;
        {
            std::vector<std::string> words;
            words.push_back("one");
            words.push_back("three");
            tracked token(&balance);
            const std::size_t n = co_await total(std::move(words), token);
            EXPECT(n == 8);
            EXPECT(balance == 1);
        }
        EXPECT(balance == 0);
    });
}

TEST_CASE("canary: a temporary argument with a destructor is destroyed once") {
    on_workers([]() -> task<> {
        int balance = 0;
        const std::size_t n = co_await total(std::vector<std::string>(2, "ab"), tracked(&balance));
        EXPECT(n == 4);
        EXPECT(balance == 0);
        const std::string long_text = co_await text(std::string(100, 'x'));
        EXPECT(long_text.size() == 101);
    });
}

TEST_CASE("canary: results with destructors reach their local, and end once") {
    on_workers([]() -> task<> {
        int balance = 0;
        {
            const tracked kept = co_await make_tracked(&balance);
            EXPECT(balance == 1);
            static_cast<void>(co_await make_tracked(&balance));
            EXPECT(balance == 1);
        }
        EXPECT(balance == 0);
    });
}

TEST_CASE("canary: a closure that is named first may be a coroutine, with captures") {
    on_workers([]() -> task<> {
        int balance = 0;
        {
            const tracked token(&balance);
            const auto closure = [token, n = 21]() -> task<int> {
                co_await sluice::yield();
                co_return n;
            };
            const int sum = co_await call_twice(closure);
            EXPECT(sum == 42);
        }
        EXPECT(balance == 0);
    });
}

TEST_CASE("canary: an awaiter with a constructor may throw when it is resumed") {
    on_workers([]() -> task<> {
        int balance = 0;
        bool caught = false;
        try {
            const int never = co_await throwing_awaiter(&balance);
            EXPECT(never == 0);
        } catch (const std::runtime_error&) {
            caught = true;
        }
        EXPECT(caught);
        EXPECT(balance == 0);
    });
}

TEST_CASE("canary: initializer lists are made before the await that uses them") {
    on_workers([]() -> task<> {
        int balance = 0;
        std::size_t sum = 0;
        const std::vector<std::string> words = {std::string(20, 'a'), std::string(30, 'b')};
        for (const std::string& w : words) {
            tracked token(&balance);
            std::vector<std::string> one(1, w);
            sum += co_await total(std::move(one), std::move(token));
        }
        EXPECT(sum == 50);
        EXPECT(balance == 0);
    });
}

TEST_CASE("canary: operations are awaited in every form of the documentation") {
    on_workers([]() -> task<> {
        const auto ch = sluice::make_chan<std::string>(2);
        co_await ch.send(std::string(40, 'x'));
        co_await ch.send("short");
        const auto first = co_await ch.recv();
        EXPECT(first->size() == 40);
        int received = 0;
        ch.close();
        while (auto v = co_await ch.recv()) ++received;
        EXPECT(received == 1);
        auto got = co_await select(ch.recv(), sluice::sleep_for(std::chrono::hours(1)));
        EXPECT(std::get_if<0>(&got) != nullptr);
        const auto bounded = co_await within(std::chrono::hours(1), ch.recv());
        EXPECT((bounded && !bounded.value()));
        auto handle = sluice::spawn(text, "spawned");
        const std::string joined = co_await handle.join();
        EXPECT(joined == "spawned!");
        try {
            co_await ch.send("refused");
            EXPECT(false);
        } catch (const sluice::channel_closed&) {
        }
    });
}
