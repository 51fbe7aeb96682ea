// A table of sessions that many tasks use at once, each entry by its whole value.
#include <sluice/sluice.hpp>

#include <sluice/patterns/sync_map.hpp>

#include <atomic>
#include <memory>

using sessions = sluice::sync_map<std::string, std::shared_ptr<const std::string>>;

// Whoever comes first makes the session; all others get that one.
sluice::task<> log_in(sessions* all, std::string user, std::atomic<int>* made) {
    auto fresh = std::make_shared<const std::string>("session of " + user);
    const auto got = all->load_or_store(user, fresh);
    if (!got.loaded) ++*made;
    co_return;
}

sluice::task<> count_up(sluice::sync_map<std::string, int>* hits, std::string page) {
    hits->load_or_store(page, 0);
    for (;;) {  // several steps made one: try again if another was faster
        const int before = hits->load(page).value();
        if (hits->compare_and_swap(page, before, before + 1)) break;
    }
    co_return;
}

sluice::task<> day() {
    sessions all;
    sluice::sync_map<std::string, int> hits;
    std::atomic<int> made = 0;
    sluice::wait_group group;
    for (int i = 0; i < 100; ++i) {
        group.go(log_in, &all, i % 2 == 0 ? "ada" : "bob", &made);
        group.go(count_up, &hits, "/index");
    }
    co_await group.wait();
    std::printf("%d sessions were made, /index had %d hits\n", made.load(),
                hits.load("/index").value());

    int seen = 0;
    all.range([&](const std::string& user, const auto&) {
        all.erase(user);  // the callback may use the map
        ++seen;
        return true;  // go on
    });
    std::printf("%d are logged out, ada has %s session\n", seen, all.load("ada") ? "a" : "no");
}

int main() {
    return sluice::run(day);
}

// Output:
// 2 sessions were made, /index had 100 hits
// 2 are logged out, ada has no session
