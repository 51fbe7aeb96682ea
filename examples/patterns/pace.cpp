// A printer takes one page every two seconds, however many are sent to it at once.
#include <sluice/sluice.hpp>

#include <sluice/patterns/pace.hpp>

using namespace std::chrono_literals;

sluice::task<> print_all() {
    auto pages = sluice::make_chan<int>(10);
    for (int page = 1; page <= 5; ++page) co_await pages.send(page);
    pages.close();

    const auto start = sluice::now();
    auto paced = sluice::pace(sluice::background(), pages, 2s);
    while (auto page = co_await paced.recv()) {
        const auto at = std::chrono::round<std::chrono::seconds>(sluice::now() - start);
        std::printf("page %d after %d s\n", *page, static_cast<int>(at.count()));
        if (*page == 2) co_await sluice::sleep_for(5s);  // a paper jam: no burst afterwards
    }
}

// In virtual time, so that it is exact and takes none. In earnest: sluice::run(print_all).
int main() {
    return sluice::simulate({.seed = 1}, print_all);
}

// Output:
// page 1 after 0 s
// page 2 after 2 s
// page 3 after 7 s
// page 4 after 9 s
// page 5 after 11 s
