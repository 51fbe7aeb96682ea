// Accounts that many tasks change where they stand, one at a time or two in one step.
#include <sluice/sluice.hpp>

#include <sluice/patterns/sharded_map.hpp>

using bank = sluice::sharded_map<std::string, long>;

// with() locks one shard while the function runs. It is a plain function, so nothing can wait in
// it.
sluice::task<> deposit(bank* accounts, std::string name, long amount) {
    accounts->with(name, [&](auto& place) {
        long* const balance = place.get();
        if (balance != nullptr)
            *balance += amount;
        else
            place.emplace(amount);
    });
    co_return;
}

// with_all() locks the shards of all the keys, always in the same order: no deadlock, and nobody
// sees the money on its way.
sluice::task<> transfer(bank* accounts, std::string from, std::string to, long amount) {
    const std::array names{from, to};
    accounts->with_all(names, [&](auto& locked) {
        long* const source = locked.at(from).get();
        long* const target = locked.at(to).get();
        if (source == nullptr || target == nullptr || *source < amount) return;
        *source -= amount;
        *target += amount;
    });
    co_return;
}

sluice::task<> day() {
    bank accounts(16);
    sluice::wait_group group;
    for (int i = 0; i < 100; ++i) {
        group.go(deposit, &accounts, "ada", 10);
        group.go(deposit, &accounts, "bob", 5);
    }
    co_await group.wait();
    for (int i = 0; i < 50; ++i) {
        group.go(transfer, &accounts, "ada", "bob", 2);
        group.go(transfer, &accounts, "bob", "ada", 1);
    }
    co_await group.wait();

    std::printf("ada has %ld, bob has %ld\n", accounts.find("ada").value(),
                accounts.find("bob").value());
    long total = 0;
    accounts.for_each_shard([&](auto& shard) {
        shard.for_each([&](const std::string&, long balance) { total += balance; });
    });
    std::printf("%zu accounts hold %ld\n", accounts.size(), total);
}

int main() {
    return sluice::run(day);
}

// Output:
// ada has 950, bob has 550
// 2 accounts hold 1500
