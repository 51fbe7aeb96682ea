// A producer makes ten values in the time in which the consumer takes one. Three policies for the
// ten seconds that follow, in a simulation; each time all sums add up.
#include <sluice/sluice.hpp>

#include <sluice/patterns/ring_channel.hpp>

using namespace std::chrono_literals;

constexpr auto produce_every = 10ms;
constexpr auto consume_every = 100ms;
constexpr auto duration = 10s;

struct sums {
    int made = 0;
    int sent = 0;
    int refused = 0;
    int received = 0;
};

template <class Channel>
sluice::task<> consume(Channel from, sums* all) {
    while (auto value = co_await from.recv()) {
        ++all->received;
        co_await sluice::sleep_for(consume_every);
    }
}

sluice::task<> produce_and_wait(sluice::chan<int> to, sums* all) {
    const auto end = sluice::now() + duration;
    while (sluice::now() < end) {
        co_await to.send(all->made++);  // waits while the buffer is full
        ++all->sent;
        co_await sluice::sleep_for(produce_every);
    }
    to.close();
}

sluice::task<> produce_or_refuse(sluice::chan<int> to, sums* all) {
    const auto end = sluice::now() + duration;
    while (sluice::now() < end) {
        const bool sent = to.try_send(all->made++);  // false: full, the newest is refused
        ++(sent ? all->sent : all->refused);
        co_await sluice::sleep_for(produce_every);
    }
    to.close();
}

sluice::task<> produce_and_drop(sluice::ring_channel<int> to, sums* all) {
    const auto end = sluice::now() + duration;
    while (sluice::now() < end) {
        to.send(all->made++);  // full: the oldest is dropped
        ++all->sent;
        co_await sluice::sleep_for(produce_every);
    }
    to.close();
}

template <class Channel, class Produce>
sluice::task<sums> run_policy(Channel channel, Produce produce) {
    sums all;
    sluice::wait_group both;
    both.go(produce, channel, &all);
    both.go(consume<Channel>, channel, &all);
    co_await both.wait();
    co_return all;
}

sluice::task<> compare() {
    const auto waiting = co_await run_policy(sluice::make_chan<int>(8), produce_and_wait);
    std::printf("wait:   made %d = sent %d = received %d\n", waiting.made, waiting.sent,
                waiting.received);
    const auto refusing = co_await run_policy(sluice::make_chan<int>(8), produce_or_refuse);
    std::printf("refuse: made %d = received %d + refused %d\n", refusing.made, refusing.received,
                refusing.refused);
    const sluice::ring_channel<int> ring(8);
    const auto dropping = co_await run_policy(ring, produce_and_drop);
    const auto dropped = static_cast<int>(ring.counters().dropped);
    std::printf("drop:   made %d = received %d + dropped %d\n", dropping.made, dropping.received,
                dropped);
    const bool exact = waiting.made == waiting.received &&
                       refusing.made == refusing.received + refusing.refused &&
                       dropping.made == dropping.received + dropped;
    std::printf("the sums are %s\n", exact ? "exact" : "wrong");
}

int main() {
    sluice::simulate({.seed = 1}, compare);
}

// Output:
// wait:   made 109 = sent 109 = received 109
// refuse: made 1000 = received 108 + refused 892
// drop:   made 1000 = received 108 + dropped 892
// the sums are exact
