// A task that sends to nobody, found by leak_check; and the same work without the leak.
#include <sluice/sluice.hpp>

#include <sluice/patterns/leak_check.hpp>

using namespace std::chrono_literals;

sluice::task<> ask(sluice::chan<std::string> answers, std::string server) {
    co_await answers.send("from " + server);
}

// Takes the first answer. Whoever is second waits for ever.
sluice::task<> first_answer() {
    auto answers = sluice::make_chan<std::string>();
    sluice::go(ask, answers, "one");
    sluice::go(ask, answers, "two");
    co_await answers.recv();
}

sluice::task<> ask_within(sluice::context ctx, sluice::chan<std::string> answers,
                          std::string server) {
    static_cast<void>(co_await within(ctx, answers.send("from " + server)));
}

// The context ends with this function, and with it whoever still waits.
sluice::task<> first_answer_and_end() {
    auto [ctx, cancel] = sluice::with_cancel(sluice::background());
    auto answers = sluice::make_chan<std::string>();
    sluice::go(ask_within, ctx, answers, "one");
    sluice::go(ask_within, ctx, answers, "two");
    co_await answers.recv();
}

sluice::task<> compare() {
    auto left = co_await sluice::leak_check(10ms, first_answer);
    for (const sluice::task_info& t : left) {
        const std::string line = t.describe();
        const auto at = line.find("waits for");
        std::printf("leaked: a task that %s\n", line.substr(at, line.find(" 0x") - at).c_str());
    }
    left = co_await sluice::leak_check(10ms, first_answer_and_end);
    std::printf("with a context: %zu leaked\n", left.size());
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    try {
        sluice::simulate({}, compare);
    } catch (const sluice::deadlock& d) {
        std::printf("at the end: %zu task left\n", d.tasks().size());
    }
}

// Output:
// leaked: a task that waits for send on a channel
// with a context: 0 leaked
// at the end: 1 task left
