// Pages of a long answer come one by one, each as a channel of lines; the reader sees the lines.
#include <sluice/patterns/bridge.hpp>
#include <sluice/sluice.hpp>

using namespace sluice;

task<> send_lines(chan<std::string> page, int number) {
    const std::string name = "page " + std::to_string(number);
    co_await page.send(name + ", top");
    co_await page.send(name + ", bottom");
    page.close();
}

task<> send_pages(chan<recv_chan<std::string>> pages) {
    for (int number = 1; number <= 2; ++number) {
        auto page = make_chan<std::string>();
        go(send_lines, page, number);
        co_await pages.send(page);
    }
    pages.close();
}

task<> read_lines() {
    auto pages = make_chan<recv_chan<std::string>>();
    go(send_pages, pages);
    auto lines = bridge(background(), pages);
    while (auto line = co_await lines.recv()) std::printf("%s\n", line->c_str());
}

int main() {
    return run(read_lines);
}

// Output:
// page 1, top
// page 1, bottom
// page 2, top
// page 2, bottom
