// The first 2,500 primes with a task for each: the classic daisy chain. An operation is the whole.

#include "measure.hpp"
#include "thread_channel.hpp"

#include <sluice/channels/chan.hpp>
#include <sluice/runtime/spawn.hpp>

#include <deque>
#include <thread>
#include <vector>

namespace {

constexpr int primes = 2500;
constexpr std::int64_t largest = 22307;

sluice::task<> count(sluice::chan<std::int64_t> out) {
    for (std::int64_t i = 2; i <= largest; ++i) co_await out.send(i);
    out.close();
}

sluice::task<> filter(std::int64_t prime, sluice::chan<std::int64_t> in,
                      sluice::chan<std::int64_t> out) {
    while (auto value = co_await in.recv())
        if (*value % prime != 0) co_await out.send(*value);
    out.close();
}

sluice::task<bool> sieve(std::int64_t) {
    auto numbers = sluice::make_chan<std::int64_t>();
    sluice::go(count, numbers);
    std::int64_t prime = 0;
    for (int i = 0; i < primes; ++i) {
        const auto found = co_await numbers.recv();
        prime = *found;
        auto rest = sluice::make_chan<std::int64_t>();
        sluice::go(filter, prime, numbers, rest);
        numbers = rest;
    }
    const auto end = co_await numbers.recv();
    co_return prime == largest && !end;
}

using numbers = thread_channel<std::int64_t>;

void count_thread(numbers& out) {
    for (std::int64_t i = 2; i <= largest; ++i) out.send(i);
    out.close();
}

void filter_thread(std::int64_t prime, numbers& in, numbers& out) {
    while (auto value = in.recv())
        if (*value % prime != 0) out.send(*value);
    out.close();
}

bool sieve_threads(std::int64_t) {
    std::deque<numbers> links(primes + 1);
    std::vector<std::jthread> threads;
    threads.emplace_back(count_thread, std::ref(links[0]));
    std::int64_t prime = 0;
    for (int i = 0; i < primes; ++i) {
        prime = *links[i].recv();
        threads.emplace_back(filter_thread, prime, std::ref(links[i]), std::ref(links[i + 1]));
    }
    return !links.back().recv() && prime == largest;
}

const measured tasks("sieve", 1, sieve);
const measured threads("sieve", 1, sieve_threads);

}  // namespace
