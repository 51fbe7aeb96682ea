#include <sluice/sluice.hpp>

#include <sluice/patterns/debounce.hpp>

using namespace std::chrono_literals;

// Types two words, with a pause between them.
sluice::task<> type(sluice::chan<std::string> field) {
    std::string text;
    for (const char key : std::string("cat dog")) {
        if (key == ' ') co_await sluice::sleep_for(150ms);
        text += key;
        co_await field.send(text);
    }
    field.close();
}

sluice::task<> search() {
    auto field = sluice::make_chan<std::string>();
    auto queries = sluice::debounce(sluice::background(), field, 50ms);
    sluice::go(type, field);
    while (auto query = co_await queries.recv()) {
        std::printf("search for \"%s\"\n", query->c_str());
    }
}

// In virtual time, so that the output is the same on any machine; run() takes the same functions.
int main() {
    return sluice::simulate({}, search);
}

// Output:
// search for "cat"
// search for "cat dog"
